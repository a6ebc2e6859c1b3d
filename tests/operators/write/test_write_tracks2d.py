import re

import numpy as np
import pytest

from operators.streams import Tracks2D
from operators.write.kitti_tracking_2d import KittiTracking2d
from operators.write.mot import Mot
from pipeline.errors import FrameError, RunError
from pipeline.operator import Resume

WRITERS = (Mot, KittiTracking2d)


def tracks(*ids):
    n = len(ids)
    boxes2d = np.tile(np.array([10.1, 20, 40, 60], np.float32), (n, 1))
    return Tracks2D(boxes2d, np.full(n, 0.9, np.float32), np.ones(n, np.int32), np.array(ids, np.int64))


@pytest.fixture
def feed(make, header):
    def run(op, item, value):
        op.header = header(int(item[-6:]), item)
        assert op.process(tracks2d=value) is None

    return run


def written(op):
    return {p.name: p.read_text() for p in sorted(op.out_dir.iterdir()) if p.name[0] != "."}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_sequence_without_tracks_has_a_file(make, feed, writer):
    op = make(writer)
    feed(op, "A/000001", tracks())
    op.close()
    assert written(op) == {"A.txt": ""}
    assert not any(op.out_dir.glob(".*"))


@pytest.mark.parametrize(
    ("writer", "line"),
    [
        (Mot, "7,1000003,10.100,20.000,29.900,40.000,0.9,-1,-1,-1\n"),
        (
            KittiTracking2d,
            "7 1000003 Pedestrian -1 -1 -10 10.100000 20.000000 40.000000 60.000000 -1 -1 -1 -1000 -1000 -1000 -10 0.900000\n",
        ),
    ],
)
def test_one_track(make, feed, writer, line):
    op = make(writer)
    feed(op, "A/000007", tracks(1_000_003))
    assert written(op) == {"A.txt": line}, "on disk when process returns"


@pytest.mark.parametrize("writer", WRITERS)
def test_many_frames_of_many_sequences(make, feed, writer):
    op = make(writer)
    for item in ("B/000001", "B/000002", "A/000001", "000004"):
        feed(op, item, tracks(1, 2))
    assert {name: len(text.splitlines()) for name, text in written(op).items()} == {"0000.txt": 2, "A.txt": 2, "B.txt": 4}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(
    ("frames", "last", "kept"), [(1, -1, {}), (2, 1, {"B.txt": 1}), (3, 2, {"B.txt": 2}), (3, 3, {"B.txt": 2, "C.txt": 1})]
)
def test_continued_after_a_kill(make, feed, writer, frames, last, kept):
    op = make(writer)
    for item in ("B/000001", "B/000002", "C/000003")[:frames]:
        feed(op, item, tracks(1))
    if last < frames:
        with (op.out_dir / ("B.txt" if frames < 3 else "C.txt")).open("a") as file:
            file.write("half a li")
    again = make(writer, resume=Resume(1, last, "x" * 127))
    assert {name: len(text.splitlines()) for name, text in written(again).items()} == kept


def test_mot_counts_from_one(make, feed):
    op = make(Mot, name="results")
    message = "results at dets:0: needs frames counted from 1, as MOTChallenge does, got 'A/000000'; set config.frame_offset: 1"
    with pytest.raises(FrameError, match=f"^{re.escape(message)}$"):
        feed(op, "A/000000", tracks(1))
    op = make(Mot, frame_offset=1)
    feed(op, "A/000000", tracks(1))
    assert written(op)["A.txt"].startswith("1,1,")


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_that_cannot_be_written(make, feed, writer):
    op = make(writer, name="results")
    (op.out_dir / "A.txt").mkdir()
    with pytest.raises(RunError, match=r"^results: .*A.txt: cannot write frame dets:1 \(A/000001\): Is a directory; what came"):
        feed(op, "A/000001", tracks(1))
