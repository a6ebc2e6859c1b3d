import re

import pytest

from drivers.detections import Detections, DetectionsConfig
from drivers.detections_2d import Detections2d, Detections2dConfig
from operators.streams import BOXES2D, CALIBRATION, TRUTH
from pipeline.errors import InputError


def line(frame, x=10, score=0.5):
    return f"{frame},{x},20,110,120,{score}\n"


@pytest.fixture
def recorded(kitti):
    """Sequence 0003, 6 frames: two classes in frame 4, a Car in 1, none in the others."""
    kitti.calib("calib/0003.txt")
    kitti.oxts(6, "oxts/0003.txt")
    kitti.write(kitti.root / "detections_2d_rrc/Pedestrian/0003.txt", line(4, 30, 0.25))
    kitti.write(kitti.root / "detections_2d_rrc/Car/0003.txt", line(4, 10, 1.0) + line(1))
    return kitti


def config(kitti, /, **changed):
    return Detections2dConfig(root=str(kitti.root), **changed)


def test_no_detections_at_all_are_empty_frames(kitti, play):
    kitti.oxts(3)
    (kitti.root / "detections_2d_rrc/Car").mkdir(parents=True)
    _, readings = play(Detections2d, config(kitti), {"boxes2d"})
    assert [len(r.values["boxes2d"].labels) for r in readings] == [0, 0, 0]


def test_all_classes_of_a_frame_in_one_value(recorded, play):
    statics, readings = play(Detections2d, config(recorded))
    assert [r.item for r in readings] == [f"0003/{k:06d}" for k in range(6)]
    assert [len(r.values["boxes2d"].labels) for r in readings] == [0, 1, 0, 0, 2, 0]
    for reading in readings:
        BOXES2D.check(BOXES2D.unpack(reading.values["boxes2d"], "b"), "b")
    boxes2d, scores, labels = readings[4].values["boxes2d"]
    assert boxes2d.tolist() == [[10, 20, 110, 120], [30, 20, 110, 120]]
    assert (scores.tolist(), labels.tolist()) == ([1.0, 0.25], [0, 1])
    assert [s.port for s in statics] == ["calibration"]
    CALIBRATION.check(CALIBRATION.unpack(statics[0].value, "c"), "c")
    assert [len(r.values["boxes2d"].labels) for r in play(Detections2d, config(recorded, min_score=0.4))[1]] == [0, 1, 0, 0, 1, 0]


def test_stamps_are_those_of_the_3d_detections(recorded, play):
    recorded.calib("calib/0001.txt")
    recorded.write(recorded.root / "detections_2d_rrc/Car/0001.txt", line(2))
    recorded.write(recorded.root / "detections/rcnn_Car/0003.txt", "")
    recorded.write(recorded.root / "detections/rcnn_Car/0001.txt", "0,2,10,20,110,120,3,1.5,1.8,4.2,1,1.7,10,0.5,0.4\n")
    of_2d = {r.item: r.stamp_ns for r in play(Detections2d, config(recorded))[1]}
    of_3d = {r.item: r.stamp_ns for r in play(Detections, DetectionsConfig(root=str(recorded.root)), {"boxes3d"})[1]}
    assert list(of_2d) == [f"0001/{k:06d}" for k in range(3)] + [f"0003/{k:06d}" for k in range(6)]
    assert {item: of_2d[item] for item in of_3d} == of_3d
    assert len(of_3d) == 7


def test_truth_beside_them(recorded, play):
    recorded.write(recorded.root / "label_02/0003.txt", "4 5 Car 0 0 -1.5 10 20 110 120 1.5 1.8 4.2 1 1.7 10 0.5\n")
    _, readings = play(Detections2d, config(recorded))
    assert [len(r.values["truth"].labels) for r in readings] == [0, 0, 0, 0, 1, 0]
    TRUTH.check(TRUTH.unpack(readings[4].values["truth"], "t"), "t")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3,4,5\n", ":1: needs 6 columns (frame x1 y1 x2 y2 score), got 5"),
        (line(0) + "a,b\n", ":2: needs 6 columns (frame x1 y1 x2 y2 score), got 2"),
        (line(0) + line("a"), ":2: needs a number in column 1, got 'a'"),
        (line(0, "nan"), ":1: needs finite numbers, got nan in column 2"),
        (line(0.5), ":1: needs a frame (number 0, 1, ..) in column 1, got 0.5"),
        (line(-1), ":1: needs a frame (number 0, 1, ..) in column 1, got -1"),
        (line(6), ":1: needs a frame 0..5 ({oxts} has 6 lines), got frame 6"),
        (line("1712345678000"), ":1: needs a frame below 1,000,000 in column 1, got 1712345678000; is it a time?"),
    ],
)
def test_wrong_lines(recorded, text, message):
    path = recorded.write(recorded.root / "detections_2d_rrc/Car/0003.txt", text)
    message = message.format(oxts=recorded.root / "oxts/0003.txt")
    if "1712" in text:
        message = ": needs a frame number, got 1712345678000, 5.43e+03 years at 10 Hz; is it a time?"
    with pytest.raises(InputError, match=f"^{re.escape(str(path) + message)}$"):
        Detections2d.find(config(recorded))


def test_a_box_without_extent_is_left_out_counted_and_named(recorded, play, caplog):
    path = recorded.write(recorded.root / "detections_2d_rrc/Car/0003.txt", line(0) + line(1, 110) + line(1, 120) + line(1, 3))
    _, readings = play(Detections2d, config(recorded))
    assert [len(r.values["boxes2d"].labels) for r in readings] == [1, 1, 0, 0, 1, 0]
    assert caplog.messages == [f"2 boxes without extent left out, the first in {path}:2"]


def test_only_what_is_wanted_is_needed(recorded, play):
    recorded.calib("calib/0003.txt", P0=None, P1=None, P3=None, Tr_imu_to_velo=None)
    assert len(play(Detections2d, config(recorded), {"boxes2d", "calibration"})[0]) == 1
    recorded.write(recorded.root / "calib/0003.txt", "no calibration")
    play(Detections2d, config(recorded), {"boxes2d"})


def test_wrong_folders(recorded):
    with pytest.raises(InputError, match=r"^detections_2d: config.root: needs a folder with detections_2d_.*, got nothing"):
        Detections2d.find(Detections2dConfig())
    with pytest.raises(InputError, match=r"^detections_2d: config.detector: needs one of rrc, got best$"):
        Detections2d.find(config(recorded, detector="best"))
    with pytest.raises(InputError, match=r"^detections_2d: config.sequences: needs sequences of .* \(0003\), got 0007$"):
        Detections2d.find(config(recorded, sequences=7))
    (recorded.root / "detections_2d_rrc/Dog").mkdir()
    with pytest.raises(InputError, match=r"Dog: needs the name of a class \(Car, .*\), got Dog$"):
        Detections2d.find(config(recorded))
    (recorded.root / "detections_2d_other").mkdir()
    with pytest.raises(InputError, match=r"^detections_2d: config.detector: needs one of other, rrc, got nothing$"):
        Detections2d.find(config(recorded))
