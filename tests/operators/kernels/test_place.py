import numpy as np
import pytest

from operators.geometry.transforms import rigid, rotation_z, transform_points
from operators.kernels.place import Library, Pieces, Surfaces, place, spread

T = rigid(np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0], (4.0, -2.0, 0.7))
LIBRARY = np.random.default_rng(1).normal(0, 3, (30, 3, 3))


def put(starts, counts, places, T_sensor_world=T, room=0, function=place):
    """-> triangles; the rest of the array is unchanged."""
    size = sum(counts)
    triangles = np.full((size + room, 3, 3), 9.0)
    starts, counts = np.array(starts, np.int64), np.array(counts, np.int64)
    function(LIBRARY, starts, counts, np.array(places, np.float64).reshape(-1, 4), T_sensor_world, triangles)
    assert (triangles[size:] == 9).all()
    return triangles[:size]


def test_nothing():
    assert put([], [], [], room=3).shape == (0, 3, 3)
    assert all(len(array) == 0 for array in belongings([], []))


@pytest.mark.parametrize("T_sensor_world", [np.eye(4), T], ids=["same frame", "turned"])
def test_equals_the_transform_of_numpy(T_sensor_world):
    """Pieces may repeat a mesh, overlap in the library, be of one triangle or of none."""
    starts, counts = [0, 12, 0, 29, 5, 20], [12, 4, 12, 1, 0, 10]
    places = np.random.default_rng(5).uniform([-50, -50, -2, -7], [50, 50, 2, 7], (6, 4))
    triangles = put(starts, counts, places, T_sensor_world, room=2)
    at = 0
    for n, (start, count) in enumerate(zip(starts, counts, strict=True)):
        world = transform_points(LIBRARY[start : start + count].reshape(-1, 3), rigid(rotation_z(places[n, 3]), places[n, :3]))
        expected = transform_points(world, T_sensor_world).reshape(-1, 3, 3)
        np.testing.assert_allclose(triangles[at : at + count], expected, atol=1e-12)
        at += count
    assert at == len(triangles)


def test_at_home_nothing_moves():
    np.testing.assert_array_equal(put([3], [7], [(0, 0, 0, 0)], np.eye(4)), LIBRARY[3:10])


def test_plain_python_computes_the_same():
    """What numba compiles, run by the interpreter; under NUMBA_DISABLE_JIT=1 both are the interpreter."""
    pieces = [0, 4], [4, 9], [(1, 2, 3, 0.4), (-5, 1, 0, 2.0)]
    np.testing.assert_allclose(put(*pieces, function=getattr(place, "py_func", place)), put(*pieces), atol=1e-12)
    plain = belongings(*pieces[:2], function=getattr(spread, "py_func", spread))
    for got, want in zip(plain, belongings(*pieces[:2]), strict=True):
        np.testing.assert_array_equal(got, want)


RANDOM = np.random.default_rng(4)
MATERIALS, COLORS = RANDOM.integers(0, 3, 30).astype(np.int32), RANDOM.random((30, 3)).astype(np.float32)
REFLECTANCE, WIDTH = np.array([0.3, 0.9, 0.01], np.float32), np.array([0.1, 0.4, 0.05], np.float32)


def belongings(starts, counts, function=spread):
    """What `spread` writes for pieces with owners 5, 6, .., keys 100, 200, .. and gains 1, -1, 1, .."""
    size, number = sum(counts), np.arange(len(starts))
    materials, colors, reflectance = np.full(size, -7, np.int32), np.zeros((size, 3), np.float32), np.zeros(size, np.float32)
    out = Surfaces(materials, colors, np.full(size, -7), np.full(size, -7), reflectance)
    gains = (1 - 2 * (number % 2)).astype(np.float32)
    pieces = Pieces(np.array(starts, np.int64), np.array(counts, np.int64), number + 5, gains, 100 * (number + 1))
    function(Library(MATERIALS, COLORS), pieces, REFLECTANCE, WIDTH, out)
    return out


def test_every_triangle_has_what_its_mesh_and_its_piece_say():
    starts, counts = [0, 12, 0, 29, 5, 20], [12, 4, 12, 1, 0, 10]
    got, source, piece = belongings(starts, counts), rows_of(starts, counts), np.repeat(np.arange(6), counts)
    np.testing.assert_array_equal(got.materials, MATERIALS[source])
    np.testing.assert_array_equal(got.colors, COLORS[source])
    np.testing.assert_array_equal(got.owners, piece + 5)
    np.testing.assert_array_equal(got.keys, 100 * (piece + 1) + source - np.array(starts)[piece])
    gain = (1 - 2 * (piece % 2)).astype(np.float32)
    of = MATERIALS[source]
    np.testing.assert_array_equal(got.reflectance, np.clip(REFLECTANCE[of] + WIDTH[of] * gain, 0.005, 1.0))
    assert got.reflectance.max() == 1 and got.reflectance.min() == np.float32(0.005), "both limits are met"


def rows_of(starts, counts):
    return np.concatenate([np.arange(start, start + count) for start, count in zip(starts, counts, strict=True)])
