"""The kernels of lidar.odometry against slow twins in NumPy."""

import numpy as np
import pytest

from operators.geometry.transforms import exp_rigid, rigid, rotation_z, transform_points
from operators.kernels import odometry as kernel

EDGE = 1.0


def cloud(seed, num, size=6.0):
    return np.random.default_rng(seed).uniform(-size, size, (num, 3)).astype(np.float32)


def built(points, T=None, max_cells=4_000, max_points=20, apart=0.0):
    voxels = kernel.make_map(max_cells, max_points)
    lost = kernel.insert(points, np.eye(4) if T is None else T, EDGE, apart, voxels)
    return voxels, lost


def contents(voxels):
    """All points of the map in the world, row by row."""
    rows = [
        voxels.cells[row] * EDGE + voxels.points[row, : voxels.counts[row]].astype(np.float64) for row in range(voxels.num[0])
    ]
    return np.concatenate(rows) if rows else np.zeros((0, 3))


def naive_thin(points, edge):
    seen, kept = set(), []
    for point in points:
        cell = tuple(np.floor(point.astype(np.float64) / edge).astype(int))
        if cell not in seen:
            seen.add(cell)
            kept.append(point)
    return np.array(kept, np.float32).reshape(-1, 3)


def naive_equations(source, T, world, farthest, scale):
    """All pairs, explicit Jacobians; a map point counts if its cell is within one of the query's."""
    A, b, matched, total = np.zeros((6, 6)), np.zeros(6), 0, 0.0
    for q in source.astype(np.float64):
        p = T[:3, :3] @ q
        at = p + T[:3, 3]
        near = world[(np.abs(np.floor(world / EDGE) - np.floor(at / EDGE)) <= 1).all(1)]
        squares = ((at - near) ** 2).sum(1)
        if not len(near) or squares.min() >= farthest**2:
            continue
        r = at - near[squares.argmin()]
        J = np.hstack([np.eye(3), -np.array([[0, -p[2], p[1]], [p[2], 0, -p[0]], [-p[1], p[0], 0]])])
        w = (scale**2 / (scale**2 + r @ r)) ** 2
        A, b, matched, total = A + w * J.T @ J, b + w * J.T @ r, matched + 1, total + w * (r @ r)
    return A, b, matched, total


@pytest.mark.parametrize("num", [0, 1, 500])
def test_thin_keeps_the_first_point_of_each_cube(num):
    points = cloud(num, num)
    kept = np.empty_like(points)
    size = kernel.thin(points, 1.5, kernel.make_table(num), kept)
    np.testing.assert_array_equal(kept[:size], naive_thin(points, 1.5))
    again = points.copy()  # into itself
    assert kernel.thin(again, 1.5, kernel.make_table(num), again) == size
    np.testing.assert_array_equal(again[:size], kept[:size])


def test_crop_leaves_out_what_is_near_far_or_no_number():
    points = np.array([[0.5, 0, 0, 1], [2, 0, 0, 1], [np.nan, 0, 0, 1], [0, np.inf, 0, 1], [0, 30, 0, 1]], np.float32)
    kept = np.empty((5, 3), np.float32)
    assert kernel.crop(points, 1.0, 20.0, kept) == 1 and kept[0].tolist() == [2, 0, 0]


def test_the_map_holds_the_moved_points_to_float32_far_from_the_origin():
    points, T = cloud(1, 300), rigid(rotation_z(0.3), (1e5, -2e5, 10.0))
    voxels, lost = built(points, T, max_points=300)
    got, wanted = contents(voxels), transform_points(points, T)
    assert lost == 0 and len(got) == 300
    order = [np.lexsort(np.round(a, 3).T) for a in (got, wanted)]
    np.testing.assert_allclose(got[order[0]], wanted[order[1]], rtol=0, atol=1e-6)


def test_a_cell_is_full_a_point_too_near_and_the_map_full():
    points = np.array([[0.1, 0.1, 0.1], [0.15, 0.1, 0.1], [0.9, 0.1, 0.1], [0.5, 0.9, 0.1], [1.5, 0.1, 0.1]], np.float32)
    voxels, lost = built(points, max_cells=1, max_points=2, apart=0.2)
    assert lost == 1  # the last one, whose cell has no row
    np.testing.assert_allclose(contents(voxels), points[[0, 2]], atol=1e-7)


def test_prune_drops_what_is_far_and_finds_what_is_left():
    points = cloud(2, 2_000, 20.0)
    voxels, _ = built(points, max_points=50)
    before = contents(voxels)
    kernel.prune(voxels, 3.0, 0.0, 0.0, 10.0, EDGE)
    centre = np.floor(before / EDGE) + 0.5
    wanted = before[np.linalg.norm(centre - [3.0, 0.0, 0.0], axis=1) <= 10]
    got = contents(voxels)
    assert 0 < len(got) < len(before)
    np.testing.assert_array_equal(got, wanted)
    for x, y, z in got[::50]:
        assert kernel.nearest(voxels, EDGE, x, y, z, 1.0)[0] == pytest.approx(0, abs=1e-12)
    kernel.prune(voxels, 0.0, 0.0, 0.0, -1.0, EDGE)
    assert voxels.num[0] == 0 and (voxels.table == kernel.EMPTY).all()


def test_the_nearest_point_of_27_cells():
    points = cloud(3, 400)
    voxels, _ = built(points, max_points=50)
    world = contents(voxels)
    for w in np.random.default_rng(4).uniform(-7, 7, (200, 3)):
        near = world[(np.abs(np.floor(world / EDGE) - np.floor(w / EDGE)) <= 1).all(1)]
        squares = ((w - near) ** 2).sum(1)
        square, *rest = kernel.nearest(voxels, EDGE, *w, 0.8)
        if len(near) and squares.min() < 0.8:
            assert square == pytest.approx(squares.min(), abs=1e-12)
            np.testing.assert_allclose(w - rest, near[squares.argmin()], atol=1e-12)
        else:
            assert square == 0.8


@pytest.mark.parametrize("num", [0, 1, 200])
def test_one_step_equals_the_twin(num):
    T = exp_rigid(np.array([0.2, -0.1, 0.05, 0.01, -0.02, 0.03]))
    voxels, _ = built(cloud(5, 800), max_points=50)
    source, A, b = cloud(6, num), np.empty((6, 6)), np.empty(6)
    matched, total = kernel.gather(source, T, voxels, EDGE, 0.9, 0.3, A, b)
    wanted = naive_equations(source, T, contents(voxels), 0.9, 0.3)
    np.testing.assert_allclose(A, wanted[0], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(b, wanted[1], rtol=1e-9, atol=1e-9)
    assert matched == wanted[2] and total == pytest.approx(wanted[3])
    if num == 200:
        x, again = np.empty(6), A.copy()
        assert kernel.solve(A, b, x)
        np.testing.assert_allclose(x, -np.linalg.solve(again, b), rtol=1e-8)


def test_singular_equations_leave_the_pose():
    x = np.full(6, 7.0)
    assert not kernel.solve(np.zeros((6, 6)), np.ones(6), x) and (x == 7).all()
    T, voxels = np.eye(4), built(cloud(7, 50))[0]
    assert kernel.align(cloud(7, 1), T, voxels, EDGE, 1.0, 1.0, 10, 10, 1e-4) == (0, 0, 0.0) and (T == np.eye(4)).all()


def test_a_turn_is_rodrigues_formula_and_small_ones_too():
    for size in (0.0, 1e-7, 1e-3, 1.0, 3.0):
        v, R = size * np.array([0.36, -0.48, 0.8]), np.empty((3, 3))
        kernel.turn(v, R)
        np.testing.assert_allclose(R, exp_rigid(np.concatenate([np.zeros(3), v]))[:3, :3], atol=1e-12)


def test_a_known_motion_is_found_back():
    world = cloud(8, 600)
    T = exp_rigid(np.array([0.1, -0.05, 0.05, 0.01, -0.01, 0.02]))
    source = transform_points(world[::3], np.linalg.inv(T)).astype(np.float32)
    found, voxels = np.eye(4), built(world, max_points=64)[0]
    steps, matched, _ = kernel.align(source, found, voxels, EDGE, 1.0, 0.2, 100, 10, 1e-6)
    assert steps < 100 and matched == len(source)
    np.testing.assert_allclose(found, T, atol=1e-5)


@pytest.mark.data
def test_two_real_clouds_with_a_known_motion(shared_data):
    folder = shared_data / "registration_pair"
    source, target = (_ply(folder / f"{name}.ply") for name in ("source", "target"))
    wanted = np.loadtxt(folder / "T_target_source.txt")
    voxels, table = kernel.make_map(50_000, 20), kernel.make_table(len(source))
    kernel.insert(target, np.eye(4), EDGE, 0.1, voxels)
    thinned, found = np.empty_like(source), np.eye(4)
    thinned = thinned[: kernel.thin(source, EDGE, table, thinned)]
    for farthest, scale in ((1.5, 0.5), (0.5, 0.1)):
        kernel.align(thinned, found, voxels, EDGE, farthest, scale, 200, 10, 1e-5)
    off = np.linalg.inv(wanted) @ found
    assert np.linalg.norm(off[:3, 3]) < 0.03 and np.degrees(np.arccos((np.trace(off[:3, :3]) - 1) / 2)) < 0.4, off
    A, b = np.empty((6, 6)), np.empty(6)  # the given motion is 0.3 degrees from where most points of the clouds meet
    near = [kernel.gather(thinned, T, voxels, EDGE, 0.1, 0.1, A, b)[0] for T in (found, wanted)]
    assert near[0] >= near[1], near


def _ply(path):
    data = path.read_bytes()
    header, _, body = data.partition(b"end_header\n")
    num = int(header.split(b"element vertex ")[1].split()[0])
    return np.frombuffer(body, np.float32, 4 * num).reshape(-1, 4)[:, :3].copy()
