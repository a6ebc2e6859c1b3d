import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.geometry.project import NEAR_M, boxes_to_image, cylinders_to_image, edges_to_image, project_points

WHOLE = [0, 0, 199, 99]


def boxes(*rows):
    return np.array(rows, np.float32).reshape(-1, 7)


def test_nothing(straight):
    uv, depth = project_points(np.empty((0, 3)), straight.P_cam, straight.T_cam_velo)
    assert uv.shape == (0, 2) and depth.shape == (0,)
    boxes2d, visible = boxes_to_image(boxes(), *straight)
    assert boxes2d.shape == (0, 4) and boxes2d.dtype == np.float32 and visible.shape == (0,) and visible.dtype == bool
    boxes2d, visible = cylinders_to_image(boxes(), *straight)
    assert boxes2d.shape == (0, 4) and boxes2d.dtype == np.float32 and visible.shape == (0,) and visible.dtype == bool
    segments, drawn = edges_to_image(boxes(), straight.P_cam, straight.T_cam_velo)
    assert segments.shape == (0, 12, 2, 2) and drawn.shape == (0, 12)


def test_points_by_hand(straight):
    """ahead; 1 m left and up at 2 m; behind; at the camera itself"""
    uv, depth = project_points([[5, 0, 0], [2, 1, 1], [-5, 0, 0], [0, 1, 0]], straight.P_cam, straight.T_cam_velo)
    np.testing.assert_allclose(uv, [[100, 50], [50, 0], [np.nan, np.nan], [np.nan, np.nan]])
    np.testing.assert_allclose(depth, [5, 2, -5, 0])


@pytest.mark.parametrize(
    ("box", "expected", "why"),
    [
        (
            (10, 0, 0, 2, 2, 2, 0),
            [100 - 100 / 9, 50 - 100 / 9, 100 + 100 / 9, 50 + 100 / 9],
            "ahead: the near face is the larger",
        ),
        ((10, 9, 0, 2, 2, 2, 0), [0, 50 - 100 / 9, 100 - 800 / 11, 50 + 100 / 9], "cut at the left border"),
        ((10, 0, 0, 2, 40, 40, 0), WHOLE, "larger than the picture"),
        ((0, 0, 0, 4, 2, 2, 0), WHOLE, "the camera is inside"),
        ((0, 3, 0, 4, 2, 2, 0), [0, 0, 0, 99], "beside the camera, half of it ahead, reaching the left border"),
        ((-10, 0, 0, 2, 2, 2, 0), None, "behind"),
        ((-1, 0, 0, 2 + 2 * NEAR_M - 0.01, 2, 2, 0), None, "ends before the near plane"),
        ((10, 30, 0, 2, 2, 2, 0), None, "left of the picture"),
        ((10, 0, 30, 2, 2, 2, 0), None, "above the picture"),
    ],
)
def test_one_box_by_hand(straight, box, expected, why):
    boxes2d, visible = boxes_to_image(boxes(box), *straight)
    assert visible.tolist() == [expected is not None], why
    np.testing.assert_allclose(boxes2d[0], expected or [0, 0, 0, 0], atol=1e-4, err_msg=why)


@given(st.lists(st.tuples(*[st.floats(-12, 12)] * 3, *[st.floats(0.1, 8)] * 3, st.floats(-3, 3)), min_size=1, max_size=4))
def test_the_rectangle_is_the_one_around_the_visible_volume(rows):
    """Compared with points sampled all over the box; those in front of the near plane are projected one by one. The image is so
    large that nothing is clipped at its borders; float32 pixels are 0.5 apart there."""
    P_cam = np.array([[100.0, 0, 100, 0], [0, 100, 50, 0], [0, 0, 1, 0]])
    T = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    huge = np.array([10**7, 10**7])
    shift = P_cam.copy()
    shift[:2] += 5 * 10**6 * P_cam[2]
    for row in rows:
        boxes2d, visible = boxes_to_image(boxes(row), shift, T, huge)
        grid = np.stack(np.meshgrid(*[np.linspace(-0.5, 0.5, 15)] * 3, indexing="ij"), -1).reshape(-1, 3) * row[3:6]
        c, s = np.cos(np.float32(row[6])), np.sin(np.float32(row[6]))
        xyz = grid @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + row[:3]
        xyz = xyz[xyz[:, 0] >= NEAR_M]
        if not len(xyz):
            continue
        assert visible[0]
        uv, _ = project_points(xyz, shift, T)
        assert (uv >= boxes2d[0, :2] - 1).all() and (uv <= boxes2d[0, 2:] + 1).all()
        if xyz[:, 0].min() > 1:  # far from the near plane the corners are among the sown points
            np.testing.assert_allclose(boxes2d[0], [*uv.min(0), *uv.max(0)], atol=1)


def test_edges_of_a_box_half_behind_the_camera_end_at_the_near_plane(straight):
    segments, drawn = edges_to_image(boxes((0, 3, 0, 4, 2, 2, 0), (-9, 0, 0, 2, 2, 2, 0)), straight.P_cam, straight.T_cam_velo)
    assert drawn[0].sum() == 8 and not drawn[1].any()  # 4 of the front face, 4 that lead backwards
    assert (segments[~drawn] == 0).all()
    columns = segments[0][drawn[0]][..., 0]
    near_left = 100 - 100 * np.array([4, 2]) / NEAR_M
    assert set(columns.round(2).ravel()) == {*near_left.round(2), *np.round(100 - 100 * np.array([4, 2]) / 2, 2)}


@pytest.mark.data
def test_cropping_full_scans_to_the_picture_keeps_the_points_kitti_kept(shared_data):
    for name, kept in (("000000", 20285), ("000001", 18630), ("000002", 20210)):
        folder = shared_data / "kitti_object" / "training"
        lines = dict(line.split(":") for line in (folder / "calib" / f"{name}.txt").read_text().splitlines() if line)
        numbers = {key: np.array(text.split(), float) for key, text in lines.items()}
        T = np.eye(4)
        T[:3, :3] = numbers["R0_rect"].reshape(3, 3)
        T = T @ np.vstack([numbers["Tr_velo_to_cam"].reshape(3, 4), [0, 0, 0, 1]])
        points = np.fromfile(folder / "velodyne" / f"{name}.bin", np.float32).reshape(-1, 4)
        width, height = {"000000": (1224, 370), "000001": (1242, 375), "000002": (1242, 375)}[name]
        uv, _ = project_points(points[:, :3], numbers["P2"].reshape(3, 4), T)
        inside = (uv[:, 0] >= 0) & (uv[:, 0] < width) & (uv[:, 1] >= 0) & (uv[:, 1] < height)
        assert inside.sum() == kept, name


@pytest.mark.parametrize(
    ("box", "roundness", "expected", "why"),
    [
        ((10, 0, 0, 2, 2, 2, 0.7), 1.0, [90, 39, 110, 61], "a round column looks the same from everywhere, 20 px wide"),
        ((10, 0, 0, 2, 2, 2, 0.0), 0.5, [95, 39.5, 105, 60.5], "half as wide; its near end is half a metre ahead"),
        ((10, 0, 0, 2, 4, 2, 0.0), 1.0, [80, 39, 120, 61], "an ellipse, 4 m across"),
        ((10, 9, 0, 2, 2, 2, 0), 1.0, [0, 39, 22.5, 61], "cut at the left border; its right end is the nearest"),
        ((-10, 0, 0, 2, 2, 2, 0), 1.0, None, "behind"),
        ((10, 30, 0, 2, 2, 2, 0), 1.0, None, "left of the picture"),
    ],
)
def test_one_cylinder_by_hand(straight, box, roundness, expected, why):
    boxes2d, visible = cylinders_to_image(boxes(box), *straight, roundness)
    assert visible.tolist() == [expected is not None], why
    np.testing.assert_allclose(boxes2d[0], expected or [0, 0, 0, 0], atol=0.6, err_msg=why)
