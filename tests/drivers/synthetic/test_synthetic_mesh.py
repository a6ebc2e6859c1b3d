import math

import numpy as np
import pytest
import solids

from drivers.synthetic import mesh
from drivers.synthetic.materials import METAL, WALL

RED = (0.5, 0.1, 0.1)


def blob(rough=0.0, radii=(2.0, 2.0, 2.0)):
    return mesh.blob(np.random.default_rng(1), (0, 0, 0), radii, rough, WALL, RED)


def polygon(sides, radius=1.0):
    """Area of a regular one."""
    return sides / 2 * radius**2 * math.sin(2 * math.pi / sides)


def test_nothing():
    nothing = mesh.join([])
    assert [array.shape for array in nothing] == [(0, 3, 3), (0,), (0, 3)] and nothing.size == (0, 0, 0)
    assert [a.dtype for a in nothing] == [np.float64, np.int32, np.float32]
    assert nothing.moved(1, 2, 3, 0.4).size == (0, 0, 0)


SHAPES = {
    "box": (mesh.box((4, 2, 1.5), WALL, RED), 12.0),
    "loft": (mesh.loft([(0, mesh.ellipse(1, 1, 6)), (2, mesh.ellipse(1, 1, 6))], WALL, RED), 2 * polygon(6)),
    "pyramid": (
        mesh.loft([(0, mesh.ellipse(1, 1, 5)), (3, mesh.ellipse(0.5, 0.5, 5))], WALL, RED),
        3 / 3 * polygon(5) * (1 + 0.5 + 0.25),
    ),
    "limb": (mesh.limb((1, 2, 3), (1.5, 2.5, 4), 0.2, 0.2, WALL, RED, 7), math.sqrt(1.5) * polygon(7, 0.2)),
    "limb upright": (mesh.limb((0, 0, 0), (0, 0, 2), 0.3, 0.3, WALL, RED, 4), 2 * polygon(4, 0.3)),
    "limb down": (mesh.limb((0, 0, 2), (0, 0, 0), 0.3, 0.15, WALL, RED, 5), 2 / 3 * polygon(5, 0.3) * 1.75),
    "limb forward": (mesh.limb((0, 0, 0), (3, 0, 0), 0.1, 0.1, WALL, RED), 3 * polygon(5, 0.1)),
    "wheel": (mesh.wheel(1, -1, 0.33, 0.2, WALL, RED), 0.2 * polygon(8, 0.33)),
    "hoop": (mesh.hoop(0, 0, 0.35, 0.04, 0.05, WALL, RED), 0.04 * (polygon(10, 0.35) - polygon(10, 0.30))),
    "blob": (blob(), 8 * 2.5362),  # the icosahedron in a sphere of radius 1
    "lumpy blob": (blob(0.6), None),
    "flat blob": (blob(0.0, (2, 1, 0.5)), 2.5362),
}


@pytest.mark.parametrize("name", SHAPES)
def test_closed_and_facing_outward(name):
    shape, volume = SHAPES[name]
    assert solids.open_edges(shape.triangles) == 0 and len(solids.parts(shape.triangles)) == 1
    assert solids.volume(shape.triangles) == pytest.approx(volume, rel=1e-4) if volume else solids.volume(shape.triangles) > 5
    assert solids.areas(shape.triangles).min() > 1e-4
    assert shape.materials.tolist() == [WALL] * len(shape.triangles) and shape.materials.dtype == np.int32
    assert shape.colors.dtype == np.float32 and (shape.colors == np.float32(RED)).all()


def test_sizes_and_places():
    box, wheel, hoop = (SHAPES[name][0] for name in ("box", "wheel", "hoop"))
    assert box.size == (4, 2, 1.5) and box.bounds[0].tolist() == [-2, -1, 0]
    np.testing.assert_allclose(wheel.bounds, [[1 - 0.33, -1.1, 0], [1 + 0.33, -0.9, 0.66]], atol=1e-9)
    assert hoop.bounds[0][2] == pytest.approx(0, abs=0.02), "a polygon stands on a corner or an edge"


@pytest.mark.parametrize("yaw", [0.0, 0.7, -2.5])
def test_moved_turns_first(yaw):
    moved = mesh.box((4, 2, 1), WALL, RED).moved(10, -3, 0.5, yaw)
    nose = np.array([10, -3]) + 2 * np.array([math.cos(yaw), math.sin(yaw)])
    ahead = moved.triangles.reshape(-1, 3)[:, :2] @ [math.cos(yaw), math.sin(yaw)]
    assert ahead.max() == pytest.approx(nose @ [math.cos(yaw), math.sin(yaw)])
    assert moved.bounds[0][2] == 0.5 and moved.bounds[1][2] == 1.5
    assert solids.volume(moved.triangles - moved.triangles.mean((0, 1))) == pytest.approx(8)


def test_centred():
    off = mesh.box((2, 2, 2), WALL, RED).moved(5, 6, 7)
    np.testing.assert_allclose(off.centred().bounds, [[-1, -1, 0], [1, 1, 2]])


def test_join_keeps_the_order():
    a, b = mesh.box((1, 1, 1), WALL, RED), mesh.box((2, 2, 2), METAL, (0, 0, 1))
    both = mesh.join(iter([a, b]))
    np.testing.assert_array_equal(both.triangles[:12], a.triangles)
    assert both.materials.tolist() == [WALL] * 12 + [METAL] * 12 and both.size == (2, 2, 2)


def test_an_ellipse_runs_counter_clockwise():
    ring = mesh.ellipse(2, 0.5, 90, 1, -1)
    x, y = ring.T
    assert (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2 == pytest.approx(math.pi, rel=0.01)
    np.testing.assert_allclose(ring.mean(0), (1, -1), atol=1e-9)


def test_same_random_numbers_same_blob():
    assert blob(0.5).triangles.tobytes() == blob(0.5).triangles.tobytes()
    other = mesh.blob(np.random.default_rng(2), (0, 0, 0), (2, 2, 2), 0.5, WALL, RED)
    assert other.triangles.tobytes() != blob(0.5).triangles.tobytes()
