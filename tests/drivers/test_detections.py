import logging

import numpy as np
import pytest
from kitti_files import refused

from drivers.detections import Detections, DetectionsConfig
from drivers.kitti.oxts import read_oxts
from drivers.kitti.tracking import KittiTracking, TrackingConfig
from operators.streams import BOXES2D_LOGIT, BOXES3D_LOGIT, CALIBRATION, IMU, POSE, TRUTH
from pipeline.errors import InputError
from pipeline.operator import attach, prepare


def line(frame, kind, score=1.0, z=10.0):
    return f"{frame},{kind},10,20,110,120,{score},1.5,1.8,4.2,1,1.7,{z},0.5,0.4\n"


@pytest.fixture
def recorded(kitti):
    """Sequence 0003, 6 frames: detections of three classes in frame 4, a Car in 1, none in the others."""
    kitti.calib("calib/0003.txt")
    kitti.oxts(6, "oxts/0003.txt")
    kitti.write(kitti.root / "detections/rcnn_Pedestrian/0003.txt", line(4, 1, 0.5, 21) + line(4, 1, 4.5, 22))
    kitti.write(kitti.root / "detections/rcnn_Cyclist/0003.txt", line(4, 3, -1.25, 31))
    kitti.write(kitti.root / "detections/rcnn_Car/0003.txt", line(4, 2, 9.5, 11) + line(1, 2, 3.0, 10))
    return kitti


def config(kitti, /, **changed):
    return DetectionsConfig(root=str(kitti.root), **changed)


def test_no_detections_at_all_are_empty_frames(kitti, play):
    kitti.calib("calib/0000.txt")
    kitti.oxts(3)
    (kitti.root / "detections/rcnn_Car").mkdir(parents=True)
    _, readings = play(Detections, config(kitti))
    assert len(readings) == 3
    for reading in readings:
        BOXES3D_LOGIT.check(BOXES3D_LOGIT.unpack(reading.values["boxes3d"], "b"), "b")
        assert len(reading.values["boxes3d"].boxes3d) == 0


def test_all_classes_of_a_frame_in_one_value(recorded, play):
    statics, readings = play(Detections, config(recorded))
    assert [r.item for r in readings] == [f"0003/{k:06d}" for k in range(6)]
    assert [len(r.values["boxes3d"].labels) for r in readings] == [0, 1, 0, 0, 4, 0]
    for reading in readings:
        BOXES3D_LOGIT.check(BOXES3D_LOGIT.unpack(reading.values["boxes3d"], "b"), "b")
        POSE.check(POSE.unpack(reading.values["pose"], "p"), "p")
        assert "truth" not in reading.values
    boxes3d, scores, labels = readings[4].values["boxes3d"]
    assert labels.tolist() == [0, 1, 1, 2]  # Car, Pedestrian, Pedestrian, Cyclist
    assert scores.tolist() == [9.5, 0.5, 4.5, -1.25]
    assert boxes3d[:, 0].tolist() == [11, 21, 22, 31]
    assert boxes3d[0] == pytest.approx([11, -1, -1.7 + 0.75, 4.2, 1.8, 1.5, -0.5 - np.pi / 2], abs=1e-6)
    assert [s.port for s in statics] == ["calibration", "imu"]
    CALIBRATION.check(CALIBRATION.unpack(statics[0].value, "c"), "c")
    IMU.check(IMU.unpack(statics[1].value, "i"), "i")


def test_the_last_frame_of_a_sequence_says_so(recorded, play):
    recorded.calib("calib/0004.txt")
    recorded.oxts(3, "oxts/0004.txt")
    _, readings = play(Detections, config(recorded))
    assert [r.item for r in readings if r.meta["boxes3d"]["last"]] == ["0003/000005", "0004/000002"]


def test_2d_boxes_row_by_row(recorded, play):
    _, readings = play(Detections, config(recorded))
    for reading in readings:
        boxes2d = reading.values["boxes2d"]
        BOXES2D_LOGIT.check(BOXES2D_LOGIT.unpack(boxes2d, "b"), "b")
        assert boxes2d.scores.tolist() == reading.values["boxes3d"].scores.tolist()
        assert boxes2d.labels.tolist() == reading.values["boxes3d"].labels.tolist()
        assert boxes2d.boxes2d.tolist() == [[10, 20, 110, 120]] * len(boxes2d.labels)


def test_imu_and_pose_give_the_imu_on_the_map(recorded, play):
    """T_enu_world @ T_world_velo @ T_velo_imu equals the position in the oxts line, metres east and north of the first."""
    statics, readings = play(Detections, config(recorded))
    imu = statics[1].value
    rows = read_oxts(recorded.root / "oxts/0003.txt")
    for (lat, lon, alt, roll, pitch, yaw), reading in zip(rows[:, :6], readings, strict=True):
        T = imu.T_enu_world @ reading.values["pose"] @ imu.T_velo_imu
        scale = 6378137.0 * np.cos(np.radians(rows[0, 0]))
        north = [np.log(np.tan(np.pi / 4 + np.radians(v) / 2)) for v in (lat, rows[0, 0])]
        np.testing.assert_allclose(
            T[:3, 3], [scale * np.radians(lon - rows[0, 1]), scale * (north[0] - north[1]), alt - rows[0, 2]], atol=1e-6
        )
        angles = [np.arctan2(T[2, 1], T[2, 2]), -np.arcsin(T[2, 0]), np.arctan2(T[1, 0], T[0, 0])]
        np.testing.assert_allclose(angles, [roll, pitch, yaw], atol=1e-6)


def test_lines_out_of_order_are_sorted_and_the_log_says_so(recorded, play, caplog):
    """The fixture's Car file has frame 4 before frame 1."""
    with caplog.at_level(logging.WARNING):
        _, readings = play(Detections, config(recorded))
    assert [len(r.values["boxes3d"].labels) for r in readings] == [0, 1, 0, 0, 4, 0]
    assert [r.getMessage() for r in caplog.records] == [
        f"{recorded.root / 'detections/rcnn_Car/0003.txt'}:2: not in the order of frames; sorted"
    ]


@pytest.mark.parametrize("sizes", ["0,1.8,4.2", "1.5,-1,4.2", "1.5,1.8,0.0"])
def test_a_box_without_extent_is_left_out_counted_and_named(recorded, play, caplog, sizes):
    path = recorded.root / "detections/rcnn_Car/0003.txt"
    recorded.write(path, line(1, 2) + line(2, 2).replace("1.5,1.8,4.2", sizes) + line(3, 2))
    _, readings = play(Detections, config(recorded))
    assert [len(r.values["boxes3d"].labels) for r in readings] == [0, 1, 0, 1, 3, 0]
    assert caplog.messages == [f"1 boxes without extent left out, the first in {path}:2"]


def test_only_what_is_wanted_is_needed(recorded, play):
    """2D boxes need no calibration, 3D boxes no camera, calibrations no IMU; poses need all of it."""
    path = recorded.calib("calib/0003.txt", P2=None, Tr_imu_to_velo=None)
    play(Detections, config(recorded), {"boxes3d", "boxes2d", "truth"})
    recorded.calib("calib/0003.txt", Tr_imu_to_velo=None)
    statics, _ = play(Detections, config(recorded), {"boxes3d", "calibration"})
    assert [s.port for s in statics] == ["calibration"]
    with pytest.raises(InputError, match=f"pose is connected, but {path} has no line Tr_imu_velo or Tr_imu_to_velo; add"):
        play.opened(Detections, config(recorded), {"pose"})
    path.unlink()
    _, readings = play(Detections, config(recorded), {"boxes2d"})
    assert [set(r.values) for r in readings] == [{"boxes2d"}] * 6
    with pytest.raises(InputError, match=f"boxes3d is connected, but {path} is not there; add"):
        play.opened(Detections, config(recorded), {"boxes3d"})


def test_what_is_missing_but_not_required_is_said(recorded, tmp_path, caplog):
    """A recorder is connected to all ports: it records what there is, and the display and the report say what is not."""
    path = recorded.calib("calib/0003.txt", Tr_imu_to_velo=None)
    said = []
    source = prepare(Detections(), "src", config(recorded), needed={"boxes3d"})
    attach(source, show=said.append)
    source.open()
    missing = f"{path} has no line Tr_imu_velo or Tr_imu_to_velo"
    assert caplog.messages == [f"no imu: {missing}", f"no pose: {missing}"]
    assert said[-1] == f"no imu: {missing}; no pose: {missing}"
    assert set(source.read().values) == {"boxes3d", "boxes2d"}


def test_float_frame_numbers_are_those_of_whole_ones(recorded, play):
    """np.savetxt writes them; with oxts and without, where the last detection tells the length."""
    path = recorded.root / "detections/rcnn_Car/0003.txt"
    for remove in (False, True):
        if remove:
            (recorded.root / "oxts/0003.txt").unlink()
        recorded.write(path, line(1, 2) + line(5, 2))
        before = play(Detections, config(recorded), {"boxes3d"})[1]
        for form in ("%.1f", "%f", "%.18e"):
            recorded.write(path, line(form % 1, 2) + line(form % 5, 2))
            after = play(Detections, config(recorded), {"boxes3d"})[1]
            assert [(r.item, r.stamp_ns, len(r.values["boxes3d"].labels)) for r in after] == [
                (r.item, r.stamp_ns, len(r.values["boxes3d"].labels)) for r in before
            ]
            assert len(after) == 6


def test_times_as_frame_numbers_are_refused_in_a_line(recorded):
    path = recorded.write(recorded.root / "detections/rcnn_Car/0003.txt", line(17123456, 2))
    assert find_error(config(recorded)) == f"{path}:1: needs a frame below 1,000,000 in column 1, got 17123456; is it a time?"
    (recorded.root / "oxts/0003.txt").unlink()
    assert find_error(config(recorded)) == f"{path}: needs frames below 1,000,000, got 17123456; is it a time?"


def test_truth_beside_them(recorded, play):
    recorded.write(recorded.root / "label_02/0003.txt", "4 5 Car 0 0 -1.5 10 20 110 120 1.5 1.8 4.2 1 1.7 10 0.5\n")
    _, readings = play(Detections, config(recorded), {"boxes3d", "truth"})
    assert [len(r.values["truth"].labels) for r in readings] == [0, 0, 0, 0, 1, 0]
    TRUTH.check(TRUTH.unpack(readings[4].values["truth"], "t"), "t")
    assert "pose" not in readings[0].values


def test_low_scores_can_be_left_out(recorded, play):
    _, readings = play(Detections, config(recorded, min_score=0.5))
    assert readings[4].values["boxes3d"].scores.tolist() == [9.5, 0.5, 4.5]


@pytest.mark.parametrize(
    "frames, have_oxts, scans, expected",
    [
        ("auto", True, [2, 3], [0, 1, 2, 3, 4, 5]),
        ("auto", False, [2, 3], [0, 1, 2, 3, 4]),
        ("oxts", True, [], [0, 1, 2, 3, 4, 5]),
        ("scans", True, [], [0, 1, 2, 3, 4, 5]),
        ("scans", True, [1, 3, 4], [1, 3, 4]),
        ("scans", False, [4], [4]),
    ],
)
def test_which_frames(recorded, play, frames, have_oxts, scans, expected):
    if not have_oxts:
        (recorded.root / "oxts/0003.txt").unlink()
    for frame in scans:
        recorded.scan(f"velodyne/0003/{frame:06d}.bin", [])
    _, readings = play(Detections, config(recorded, frames=frames), {"boxes3d"})
    assert [int(r.item[-6:]) for r in readings] == expected
    counts = {1: 1, 4: 4}
    assert [len(r.values["boxes3d"].labels) for r in readings] == [counts.get(frame, 0) for frame in expected]


def test_a_sequence_with_an_empty_file_and_nothing_else_is_one_empty_frame(kitti, play):
    kitti.calib("calib/0008.txt")
    kitti.write(kitti.root / "detections/rcnn_Car/0008.txt", "")
    _, readings = play(Detections, config(kitti), {"boxes3d"})
    assert [(r.item, len(r.values["boxes3d"].labels), r.meta["boxes3d"]["last"]) for r in readings] == [("0008/000000", 0, True)]


def test_detections_outside_the_recorded_scans_are_told_once(recorded, play, caplog):
    recorded.scan("velodyne/0003/000001.bin", [])
    with caplog.at_level(logging.INFO, "src"):
        play(Detections, config(recorded, frames="scans"), {"boxes3d"})
    assert [m for m in caplog.messages if "scan" in m] == ["0003: 4 detections are of frames without a scan, not played"]


@pytest.mark.parametrize("rate_hz", [10.0, 7.0])
@pytest.mark.parametrize("sequences", ["all", [3, 5], 5])
def test_stamps_are_those_of_the_tracking_driver(recorded, rate_hz, sequences):
    recorded.oxts(4, "oxts/0001.txt")  # without scans: kitti.tracking does not play it
    recorded.calib("calib/0001.txt")
    recorded.calib("calib/0005.txt")
    recorded.write(recorded.root / "detections/rcnn_Car/0005.txt", line(12, 2))
    for sequence, frame in ((3, 4), (3, 5), (5, 7), (5, 9)):
        recorded.scan(f"velodyne/{sequence:04d}/{frame:06d}.bin", [])
    root = str(recorded.root)
    scans = KittiTracking.find(TrackingConfig(root=root, sequences=sequences, rate_hz=rate_hz)).stamps_ns.tolist()
    same = Detections.find(config(recorded, sequences=sequences, rate_hz=rate_hz, frames="scans")).stamps_ns.tolist()
    more = Detections.find(config(recorded, sequences=sequences, rate_hz=rate_hz)).stamps_ns.tolist()
    assert scans == same and set(scans) < set(more)


def test_going_on_in_the_middle(recorded, play):
    recorded.oxts(2, "oxts/0007.txt")
    recorded.calib("calib/0007.txt")
    whole = play(Detections, config(recorded))[1]
    assert [r.item[:4] for r in whole] == ["0003"] * 6 + ["0007"] * 2
    for start in (4, 6, 7, 8):
        rest = play(Detections, config(recorded), start=start)[1]
        assert [(r.item, r.values["boxes3d"].boxes3d.tobytes()) for r in rest] == [
            (r.item, r.values["boxes3d"].boxes3d.tobytes()) for r in whole[start:]
        ]


def test_one_of_two_detectors(recorded, play):
    recorded.write(recorded.root / "detections/other_net_Car/0003.txt", line(0, 2))
    assert find_error(config(recorded)) == (
        "detections: config.detector: needs one of other_net, rcnn, got nothing; they would be counted twice"
    )
    assert find_error(config(recorded, detector="ssd")) == "detections: config.detector: needs one of other_net, rcnn, got ssd"
    counts = [len(r.values["boxes3d"].labels) for r in play(Detections, config(recorded, detector="other_net"))[1]]
    assert counts == [1, 0, 0, 0, 0, 0]


def find_error(asked):
    return refused(Detections, asked)


def test_found_before_the_start(recorded):
    root = recorded.root
    path = root / "detections/rcnn_Car/0003.txt"
    for bad, text in (
        ("4,2,10,20\n", "needs 15 columns (frame type x1 y1 x2 y2 score h w l x y z ry alpha), got 4"),
        (line(4, 2, score="nan"), "needs finite numbers, got nan in column 7"),
        (line(6, 2), f"needs a frame 0..5 ({root / 'oxts/0003.txt'} has 6 lines), got frame 6"),
    ):
        recorded.write(path, line(1, 2) + bad + line(2, 2))
        assert find_error(config(recorded)) == f"{path}:2: {text}"
    recorded.write(path, line(1, 2))

    recorded.calib("calib/0003.txt", P2=None)
    assert find_error(config(recorded)) == f"{root / 'calib/0003.txt'}: needs a line P2 with 12 numbers, got none"
    recorded.calib("calib/0003.txt", R0_rect="1 2 3")
    assert find_error(config(recorded)) == f"{root / 'calib/0003.txt'}:5: needs 9 numbers after R0_rect, got 3"
    recorded.calib("calib/0003.txt")

    recorded.scan("velodyne/0003/000009.bin", [])
    assert (
        find_error(config(recorded, frames="scans"))
        == f"{root / 'oxts/0003.txt'}: needs 10 lines (line = frame number, the last frame is 000009), got 6"
    )
    (root / "oxts/0003.txt").unlink()
    assert find_error(config(recorded, frames="oxts")) == (
        f"{root / 'oxts/0003.txt'}: needs to be there for config.frames: oxts, got no such file; config.frames: auto goes without"
    )


def test_wrong_settings(recorded):
    root = recorded.root
    needs = "detections: config.root: needs a folder with detections/<detector>_<Class>/SSSS.txt, got"
    assert find_error(DetectionsConfig()) == f"{needs} nothing; set --set NODE.config.root=DIR"
    assert (
        find_error(DetectionsConfig(root=str(root / "oxts")))
        == f"{needs} {root / 'oxts'} (holds 0003.txt); set --set NODE.config.root=DIR"
    )
    assert (
        find_error(config(recorded, sequences=9)) == f"detections: config.sequences: needs sequences of {root} (0003), got 0009"
    )
    recorded.scan("velodyne/0008/000000.bin", [])
    assert (
        find_error(config(recorded, sequences=8))
        == "detections: config.sequences: 0008 needs a detections or oxts file, got none"
    )
    assert (
        find_error(config(recorded, sequences=3, frames="scans"))
        == f"detections: config.sequences: 0003 needs scans in {root / 'velodyne/0003'}, got none"
    )


def test_pose_is_connected_but_cannot_come(recorded, play):
    (recorded.root / "oxts/0003.txt").unlink()
    play(Detections, config(recorded), {"boxes3d"})
    with pytest.raises(InputError) as e:
        play.opened(Detections, config(recorded), {"boxes3d", "pose"})
    missing = recorded.root / "oxts/0003.txt"
    assert str(e.value) == f"src: pose is connected, but {missing} is not there; add what is missing or disconnect src.pose"


@pytest.mark.data
def test_real_detections_stand_on_the_labelled_objects(shared_data, play):
    config = DetectionsConfig(root=str(shared_data / "kitti_tracking_0000"))
    _, readings = play(Detections, config)
    assert len(readings) == 129
    hits = total = 0
    for reading in readings:
        boxes, truth = reading.values["boxes3d"].boxes3d, reading.values["truth"]
        near = (truth.labels >= 0) & (truth.labels < 4) & (np.hypot(truth.boxes3d[:, 0], truth.boxes3d[:, 1]) < 40)
        distance = np.linalg.norm(truth.boxes3d[near, None, :2] - boxes[None, :, :2], axis=2)
        hits += (distance.min(axis=1, initial=np.inf) < 2).sum()
        total += near.sum()
    assert total > 400 and hits / total > 0.85


@pytest.mark.data
def test_nine_real_sequences(shared_data, play):
    statics, readings = play(Detections, DetectionsConfig(root=str(shared_data / "kitti_tracking")), {"boxes3d", "calibration"})
    lines = [path.read_text().count("\n") for path in (shared_data / "kitti_tracking" / "oxts").glob("*.txt")]
    assert len(readings) == sum(lines) and len(statics) == 9
    written = [path.read_text().count("\n") for path in (shared_data / "kitti_tracking" / "detections").glob("*/*.txt")]
    assert sum(len(r.values["boxes3d"].labels) for r in readings) == sum(written)
