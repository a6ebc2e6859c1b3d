import numpy as np
import pytest

from operators.kernels import heat
from operators.kernels.chance import normal
from operators.kernels.raster import BOX, NOTHING
from operators.kernels.shade import PLAIN, View

AIR = heat.Air(280.0, 276.0, 260.0, 5.0, 300.0)
TABLE = np.array([(2.0, 3.0, 0.9, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0, 1.0), (0.0, 0.0, 1.0, 0.0, -1.0)])
"""Ground, skin, clothes."""
EYE = np.zeros(3)
FLOOR = [[5, -1, -2], [7, -1, -2], [5, 1, -2]]
WALL = [[9, -1, -1], [9, 1, -1], [9, 0, 1]]


def warm(triangles, kinds=(0,), owners=(-1,), objects=None, pieces=(-1,), sun=(0.0, 0.0, 1.0), albedo=0.4):
    count = len(triangles)
    boxes, kelvin = np.zeros((count, BOX), np.int32), np.zeros(count, np.float32)
    objects = np.zeros((1, heat.OBJECT)) if objects is None else objects
    heat.warm(
        np.array(triangles, np.float64).reshape(-1, 3, 3), np.array(kinds, np.int32)[:count],
        np.array(owners, np.int64)[:count], np.array(pieces, np.int64)[:count], np.full((count, 3), albedo, np.float32), TABLE,
        objects, np.eye(4), EYE, np.array(sun), AIR, 7, boxes, kelvin,
    )  # fmt: skip
    return kelvin.tolist()


def test_nothing_to_warm():
    assert warm([]) == []


def test_a_floor_takes_the_sun_and_mirrors_the_sky_a_wall_neither():
    own = 280 + 5 + 5 * 0.6
    assert warm([FLOOR]) == pytest.approx([0.9 * own + 0.1 * 260])
    assert warm([WALL]) == pytest.approx([0.9 * 285 + 0.1 * 280])
    assert warm([WALL[::-1]]) == pytest.approx(warm([WALL])), "the side that is seen counts"


def test_things_differ_and_the_ground_does_not():
    assert warm([WALL], pieces=[12]) == pytest.approx([0.9 * (285 + normal(7, 1, 12)) + 0.1 * 280], rel=1e-6)


def test_a_person_has_skin_and_clothes_and_one_of_the_background_has_neither():
    objects = np.zeros((3, heat.OBJECT))
    objects[0, [heat.SKIN, heat.CLOTHED]] = 305, 0.4
    objects[1] = objects[0]
    objects[1, heat.FLAT] = 282
    sun = (0.0, 0.0, 1.0)
    kelvin = warm([WALL] * 4, kinds=[1, 2, 1, 2], owners=[0, 0, 1, 1], objects=objects, pieces=[-1] * 4, sun=sun)
    assert kelvin == pytest.approx([305, 290, 282, 282])


def see(index, values, kelvin, kinds, owners, objects, parts=(0, 0, 0)):
    out = np.zeros(index.shape, np.float32)
    view = View(np.array([[0, 0, 1.0], [-0.1, 0, 0.2], [0, -0.1, 0.2]]), EYE, 0.1)
    heat.see(
        values, index, np.array(kelvin, np.float32), np.array(kinds, np.int32), np.array(owners, np.int64), TABLE,
        np.array(parts, np.int32), np.full(3, PLAIN, np.int32), objects, view, AIR, 0, index.shape[0], out,
    )  # fmt: skip
    return out


def test_the_sky_is_colder_higher_up():
    nothing = np.full((3, 4), NOTHING, np.int32)
    out = see(nothing, np.zeros((3, 4), np.float32), [], [], [], np.zeros((1, heat.OBJECT)))
    assert (np.diff(out[:, 0]) > 0).all() and out.max() <= 276 and out.min() >= 260


def test_a_vehicle_is_hot_at_its_nose_and_wheels():
    """Pixels of one row see x = 10 m, y from 2 m to -1 m; the vehicle heads along -y."""
    objects = np.zeros((2, heat.OBJECT))
    objects[0, [heat.ENGINE, heat.WHEELS]] = 20, 8
    objects[0, heat.PLACE :] = 10, 0, 0, -1, 4
    values, index = np.full((1, 4), 0.1, np.float32), np.array([[0, 0, 0, 1]], np.int32)
    out = see(index, values, [280.0, 280.0], [0, 1], [0, 0], objects, parts=(heat.STEEL, heat.WHEEL, 0))[0]
    through = 10 / 910
    assert out[0] == pytest.approx(280 + 20 * 0.12 * (1 - through), abs=1e-3) and out[3] == pytest.approx(280 + 8 * (1 - through))
    assert out[0] <= out[1] <= out[2]


def naive_measure(kelvin, blur):
    padded = np.pad(kelvin.astype(np.float64), 1, mode="edge")
    rows, columns = kelvin.shape
    weights = np.outer([1, 2, 1], [1, 2, 1]) / 16
    mean = sum(weights[i, j] * padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3))
    return (1 - blur) * kelvin + blur * mean


def measured(kelvin, blur=0.0, temporal=0.0, seed=3, bands=None, bloom=1e9, fixed=0.0):
    rows, columns = kelvin.shape
    cells, work = np.zeros((-(-rows // 4), -(-columns // 4)), np.float32), np.zeros((-(-rows // 4), -(-columns // 4)), np.float32)
    blooms = heat.blooming(kelvin, bloom, cells, work)
    noise = heat.Noise(np.full(columns, fixed, np.float32), np.zeros(kelvin.shape, np.float32), temporal, seed)
    counts = np.zeros(kelvin.shape, np.uint16)
    for first, end in bands or [(0, rows)]:
        heat.measure(kelvin, blur, cells, blooms, noise, 100.0, first, end, counts)
    return counts


@pytest.mark.parametrize("blur", [0.0, 0.5, 1.0])
def test_counts_are_the_blurred_kelvin(blur):
    kelvin = np.random.default_rng(1).uniform(270, 310, (13, 18)).astype(np.float32)
    expected = np.rint(naive_measure(kelvin, blur) * 100 + 20)
    got = measured(kelvin, blur, fixed=0.2, bands=[(0, 5), (5, 13)])
    assert abs(got - expected).max() <= 1


def test_counts_stay_within_16_bits():
    assert measured(np.full((8, 8), 900.0, np.float32)).min() == 65535 and measured(np.full((8, 8), -5.0, np.float32)).max() == 0


def test_hot_things_bloom_and_nothing_else_does():
    kelvin = np.full((80, 80), 280.0, np.float32)
    assert (measured(kelvin, bloom=300.0) == 28000).all()
    kelvin[38:42, 38:42] = 340.0
    out = measured(kelvin, bloom=300.0).astype(int)
    assert out[40, 46] > out[40, 50] > 28000 and out[0, 0] == 28000


def test_noise_belongs_to_seed_and_pixel():
    kelvin = np.full((40, 40), 280.0, np.float32)
    first, again, other = (
        measured(kelvin, temporal=0.5, seed=s, bands=b) for s, b in ((3, None), (3, [(0, 9), (9, 40)]), (4, None))
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.9 and 40 < first.std() < 60
