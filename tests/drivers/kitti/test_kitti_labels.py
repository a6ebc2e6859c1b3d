import math

import numpy as np
import pytest

from drivers.kitti.calibration import KittiCalibration
from drivers.kitti.files import numbered
from drivers.kitti.labels import empty_truth, read_object_labels, read_tracking_labels
from operators.streams import CLASSES, TRUTH
from pipeline.errors import InputError

CAR = "Car 1 2 -1.5 10 20 110 120 1.5 1.8 4.2 1 1.7 10 0.5"  # h w l, then x y z of the bottom centre, ry
DONT_CARE = "DontCare -1 -1 -10 5 6 7 8 -1 -1 -1 -1000 -1000 -1000 -10"


@pytest.fixture
def T_cam_velo(kitti):
    return KittiCalibration(kitti.calib("c.txt")).T_cam_velo


def test_no_objects(kitti, T_cam_velo):
    empty = kitti.write(kitti.root / "l.txt", "")
    assert read_tracking_labels(empty, T_cam_velo) == {}
    for truth in (empty_truth(), read_object_labels(empty, T_cam_velo)):
        TRUTH.check(TRUTH.unpack(truth, "t"), "t")
        assert len(truth.labels) == 0


def test_an_object_in_the_velodyne_frame(kitti, T_cam_velo):
    truth = read_object_labels(kitti.write(kitti.root / "l.txt", CAR + "\n"), T_cam_velo)
    TRUTH.check(TRUTH.unpack(truth, "t"), "t")
    # camera x right 1, y down 1.7, z ahead 10 -> ahead 10, left -1, up -1.7 and half the height up to the centre
    assert truth.boxes3d[0] == pytest.approx([10, -1, -1.7 + 0.75, 4.2, 1.8, 1.5, -0.5 - math.pi / 2], abs=1e-6)
    assert truth.boxes2d.tolist() == [[10, 20, 110, 120]]
    assert (truth.labels[0], truth.track_ids[0], truth.occluded[0], truth.truncated[0]) == (0, -1, 2, 1)


def test_tracking_lines_by_frame(kitti, T_cam_velo):
    lines = [
        f"3 7 {CAR}",
        f"3 -1 {DONT_CARE}",
        f"0 8 {CAR.replace('Car 1 2', 'Person 2 0')}",
        f"5 9 {CAR.replace('Car 1', 'Van 0')}",
    ]
    by_frame = read_tracking_labels(kitti.write(kitti.root / "l.txt", "\n".join(lines)), T_cam_velo)
    assert sorted(by_frame) == [0, 3, 5]
    assert by_frame[3].track_ids.tolist() == [7, -1] and by_frame[3].labels.tolist() == [0, -1]
    assert (
        by_frame[3].truncated.tolist() == [0.5, -1]
        and by_frame[0].truncated.tolist() == [1]
        and by_frame[5].truncated.tolist() == [0]
    )
    assert CLASSES[by_frame[0].labels[0]] == "Person_sitting" and CLASSES[by_frame[5].labels[0]] == "Van"


def test_dont_care_has_a_picture_box_but_no_box(kitti, T_cam_velo):
    truth = read_object_labels(kitti.write(kitti.root / "l.txt", DONT_CARE), T_cam_velo)
    assert np.isnan(truth.boxes3d).all() and truth.boxes2d.tolist() == [[5, 6, 7, 8]]


@pytest.mark.parametrize(
    "line, text",
    [
        (f"0 1 {CAR} 0.9", "needs 17 columns, got 18"),
        ("", "needs 17 columns, got an empty line"),
        (
            f"0 1 {CAR.replace('Car', 'Bus')}",
            "needs a type of Car, Pedestrian, Cyclist, Van, Truck, Person_sitting, Tram, Misc, Person, DontCare in column 3, "
            "got Bus",
        ),
        (f"0.5 1 {CAR}", "needs a frame (number 0, 1, ..) in column 1, got 0.5"),
        (f"-1 1 {CAR}", "needs a frame (number 0, 1, ..) in column 1, got -1"),
        (f"1712345678 1 {CAR}", "needs a frame below 1,000,000 in column 1, got 1712345678; is it a time?"),
        (f"0 one {CAR}", "needs a number in column 2, got 'one'"),
        (f"0 1.5 {CAR}", "needs a track id (whole number) in column 2, got 1.5"),
        (f"0 1 {CAR.replace('4.2', 'nan')}", "needs finite numbers, got nan in column 13"),
    ],
)
def test_a_malformed_line(kitti, T_cam_velo, line, text):
    path = kitti.write(kitti.root / "l.txt", f"0 1 {CAR}\n{line}\n0 1 {CAR}\n")
    with pytest.raises(InputError) as e:
        read_tracking_labels(path, T_cam_velo)
    assert str(e.value) == f"{path}:2: {text}"


def test_a_malformed_object_line(kitti, T_cam_velo):
    path = kitti.write(kitti.root / "l.txt", f"0 1 {CAR}\n")
    with pytest.raises(InputError) as e:
        read_object_labels(path, T_cam_velo)
    assert str(e.value) == f"{path}:1: needs 15 columns, got 17"


@pytest.mark.data
def test_real_boxes_hold_the_points_of_their_objects(shared_data):
    root = shared_data / "kitti_tracking_0000"
    labels = read_tracking_labels(root / "label_02" / "0000.txt", KittiCalibration(root / "calib" / "0000.txt").T_cam_velo)
    held = []
    for frame, path in numbered(root / "velodyne" / "0000", ".bin").items():
        points = np.fromfile(path, np.float32).reshape(-1, 4)
        truth = labels[frame]
        for box in truth.boxes3d[(truth.labels >= 0) & (truth.occluded == 0) & (truth.truncated == 0)]:
            if np.hypot(box[0], box[1]) < 25:
                c, s = np.cos(box[6]), np.sin(box[6])
                d = points[:, :3] - box[:3]
                own = np.stack([c * d[:, 0] + s * d[:, 1], c * d[:, 1] - s * d[:, 0], d[:, 2]], 1)
                held.append((np.abs(own) <= box[3:6] / 2).all(1).sum())
    assert len(held) > 100
    assert np.mean(np.array(held) >= 30) > 0.97
