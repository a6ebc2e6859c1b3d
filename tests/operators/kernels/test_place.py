import numpy as np
import pytest

from operators.geometry.transforms import rigid, rotation_z, transform_points
from operators.kernels.place import place

T = rigid(np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0], (4.0, -2.0, 0.7))
LIBRARY = np.random.default_rng(1).normal(0, 3, (30, 3, 3))


def put(starts, counts, places, T_sensor_world=T, room=0, function=place):
    """-> triangles, source, piece; the rest of the arrays is unchanged."""
    size = sum(counts)
    triangles, source, piece = np.full((size + room, 3, 3), 9.0), np.full(size + room, -7), np.full(size + room, -7)
    starts, counts = np.array(starts, np.int64), np.array(counts, np.int64)
    function(LIBRARY, starts, counts, np.array(places, np.float64).reshape(-1, 4), T_sensor_world, triangles, source, piece)
    assert (triangles[size:] == 9).all() and (source[size:] == -7).all() and (piece[size:] == -7).all()
    return triangles[:size], source[:size], piece[:size]


def test_nothing():
    triangles, source, piece = put([], [], [], room=3)
    assert triangles.shape == (0, 3, 3) and len(source) == len(piece) == 0


@pytest.mark.parametrize("T_sensor_world", [np.eye(4), T], ids=["same frame", "turned"])
def test_equals_the_transform_of_numpy(T_sensor_world):
    """Pieces may repeat a mesh, overlap in the library, be of one triangle or of none."""
    starts, counts = [0, 12, 0, 29, 5, 20], [12, 4, 12, 1, 0, 10]
    places = np.random.default_rng(5).uniform([-50, -50, -2, -7], [50, 50, 2, 7], (6, 4))
    triangles, source, piece = put(starts, counts, places, T_sensor_world, room=2)
    at = 0
    for n, (start, count) in enumerate(zip(starts, counts, strict=True)):
        world = transform_points(LIBRARY[start : start + count].reshape(-1, 3), rigid(rotation_z(places[n, 3]), places[n, :3]))
        expected = transform_points(world, T_sensor_world).reshape(-1, 3, 3)
        np.testing.assert_allclose(triangles[at : at + count], expected, atol=1e-12)
        assert source[at : at + count].tolist() == list(range(start, start + count))
        assert (piece[at : at + count] == n).all()
        at += count
    assert at == len(triangles)


def test_at_home_nothing_moves():
    np.testing.assert_array_equal(put([3], [7], [(0, 0, 0, 0)], np.eye(4))[0], LIBRARY[3:10])


def test_plain_python_computes_the_same():
    """What numba compiles, run by the interpreter; under NUMBA_DISABLE_JIT=1 both are the interpreter."""
    pieces = [0, 4], [4, 9], [(1, 2, 3, 0.4), (-5, 1, 0, 2.0)]
    for got, want in zip(put(*pieces, function=getattr(place, "py_func", place)), put(*pieces), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-12)
