import re

import numpy as np
import pytest

from operators import semantickitti as format
from operators.streams import VOID
from operators.write.semantickitti import SemanticKitti, SemanticKittiConfig
from pipeline.errors import FrameError
from pipeline.operator import Resume

NAMES = ["unlabeled", "car", "road", "person"]


@pytest.fixture
def feed(make, header):
    def run(op, item, classes, names=NAMES, **more):
        op.header, op.meta = header(int(item[-6:]), item), {"point_classes": {"class_names": names}}
        assert op.process(point_classes=np.array(classes, np.uint8), **more) is None

    return run


def labels(op, name):
    packed = np.fromfile(op.out_dir / "sequences" / name, "<u4")
    return (packed & 0xFFFF).tolist(), (packed >> 16).tolist()


def test_classes_and_ids_become_labels_and_instances(make, feed):
    op = make(SemanticKitti)
    feed(op, "08/000007", [0, 1, 2, 3, 1, VOID], point_ids=np.array([-1, 5_000_000_000, -1, 3, 3, -1]))
    feed(op, "08/000008", [1, 1], point_ids=np.array([9, 5_000_000_000]))
    op.close()
    assert labels(op, "08/predictions/000007.label") == ([0, 10, 40, 30, 10, 0], [0, 1, 0, 2, 2, 0])
    assert labels(op, "08/predictions/000008.label") == ([10, 10], [3, 1])
    assert (op.out_dir / "sequences/08/instances.txt").read_text() == "1 5000000000\n2 3\n3 9\n"
    assert not any(op.out_dir.glob(".*"))


def test_each_sequence_counts_its_instances(make, feed):
    op = make(SemanticKitti)
    for item in ("00/000000", "01/000000"):
        feed(op, item, [1], point_ids=np.array([44]))
    assert labels(op, "01/predictions/000000.label") == ([10], [1])


@pytest.mark.parametrize("ids", [None, np.zeros(0, np.int64)])
def test_an_empty_scan_is_an_empty_file(make, feed, ids):
    op = make(SemanticKitti)
    feed(op, "00/000000", [], point_ids=ids)
    assert (op.out_dir / "sequences/00/predictions/000000.label").read_bytes() == b""


def test_all_classes_come_back(make, feed):
    op = make(SemanticKitti, folder="labels")
    feed(op, "00/000003", range(20), names=list(format.NAMES), points=np.ones((20, 4), np.float32))
    classes, instances = format.read_label(op.out_dir / "sequences/00/labels/000003.label", 20)
    assert classes.tolist() == list(range(20)) and not instances.any()
    assert (op.out_dir / "sequences/00/velodyne/000003.bin").stat().st_size == 320


def test_classes_of_other_names(make, feed):
    op = make(SemanticKitti, classes={"Pedestrian": "person", "object": "unlabeled"})
    feed(op, "00/000000", [0, 1, 2], names=["Pedestrian", "object", "road"])
    assert labels(op, "00/predictions/000000.label")[0] == [30, 0, 40]


def test_after_a_crash_instances_go_on_and_a_frame_in_doubt_is_taken_back(make, feed):
    op = make(SemanticKitti)
    feed(op, "08/000000", [1, 1], point_ids=np.array([50, 60]))
    feed(op, "08/000001", [1], point_ids=np.array([70]))  # written, but the engine did not record it
    again = make(SemanticKitti, resume=Resume(1, 0, "08/000000"))
    assert not (again.out_dir / "sequences/08/predictions/000001.label").exists()
    feed(again, "08/000001", [1, 1], point_ids=np.array([80, 60]))
    again.close()
    assert labels(again, "08/predictions/000001.label")[1] == [3, 2]
    assert (again.out_dir / "sequences/08/instances.txt").read_text() == "1 50\n2 60\n3 80\n"


@pytest.mark.parametrize(
    ("classes", "more", "message"),
    [
        ([1, 7], {}, "needs classes of SemanticKITTI, got 7; set config.classes"),
        ([4], {"names": [*NAMES, "boat"]}, "got boat; set config.classes: {boat: NAME}"),
        ([1], {"point_ids": np.zeros(2, np.int64)}, "needs point_ids of the 1 points, got 2"),
        ([1], {"points": np.zeros((3, 4), np.float32)}, "needs points of the 1 points, got 3"),
        ([1] * 70_000, {"point_ids": np.arange(70_000)}, "needs at most 65535 ids in a sequence, got more in 00"),
    ],
)
def test_what_a_label_cannot_hold_is_refused(make, feed, classes, more, message):
    op = make(SemanticKitti)
    with pytest.raises(FrameError, match=re.escape(message)):
        feed(op, "00/000000", classes, **more)
    assert not (op.out_dir / "sequences").exists()


def test_a_wrong_config_names_its_key():
    with pytest.raises(ValueError, match=r"classes: needs names of unlabeled, car, .*, got boat"):
        SemanticKittiConfig(classes={"Ship": "boat"})
