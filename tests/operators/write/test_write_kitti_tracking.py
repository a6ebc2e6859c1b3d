import os
import re
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from operators.streams import Boxes2D, History, Tracks
from operators.write.kitti_tracking import KittiTracking
from pipeline.errors import RunError
from pipeline.operator import Resume


def tracks(*ids, x=10.0):
    n = len(ids)
    boxes3d = np.tile(np.array([x, 0, 0, 4, 2, 1.5, 0], np.float32), (n, 1))
    return Tracks(boxes3d, np.full(n, 0.5, np.float32), np.zeros(n, np.int32), np.array(ids, np.int64))


@pytest.fixture
def feed(make, straight, header):
    """feed(op, item, tracks)"""

    def run(op, item, value):
        op.header = header(int(item[-6:]) if item[-6:].isdigit() else 42, item)
        assert op.process(tracks=value, calibration=straight) is None

    return run


def written(op):
    return {p.name: p.read_text().splitlines() for p in sorted(op.out_dir.iterdir()) if p.is_file() and p.name[0] != "."}


def frames_and_ids(lines):
    return [tuple(int(v) for v in line.split()[:2]) for line in lines]


def test_a_sequence_without_tracks_has_a_file(make, feed):
    op = make(KittiTracking)
    for k in range(3):
        feed(op, f"0007/{k:06d}", tracks())
    op.close()
    assert written(op) == {"0007.txt": []}


def test_no_frames_no_files(make):
    op = make(KittiTracking)
    op.close()
    assert written(op) == {}


def test_one_track(make, feed):
    op = make(KittiTracking)
    feed(op, "0000/000134", tracks(1_000_007))
    op.close()
    assert written(op) == {
        "0000.txt": [
            "134 1000007 Car -1 -1 -1.570796 87.500000 40.625000 112.500000 59.375000 "
            "1.500000 2.000000 4.000000 0.000000 0.750000 10.000000 -1.570796 0.500000"
        ]
    }


def test_many_frames_of_many_sequences(make, feed):
    op = make(KittiTracking)
    for sequence in ("0003", "0001"):
        for k in range(3):
            feed(op, f"{sequence}/{k:06d}", tracks(*range(1, k + 1)))
    op.close()
    got = written(op)
    assert list(got) == ["0001.txt", "0003.txt"]
    assert frames_and_ids(got["0003.txt"]) == frames_and_ids(got["0001.txt"]) == [(1, 1), (2, 1), (2, 2)]
    assert {len(line.split()) for line in got["0001.txt"]} == {18}


@pytest.mark.parametrize(
    ("item", "name", "frame"),
    [("000012", "0000.txt", 12), ("2011_09_26/drive_1/000005", "2011_09_26_drive_1.txt", 5), ("0002/left", "0002.txt", 42)],
)
def test_where_other_items_go(make, feed, item, name, frame):
    op = make(KittiTracking)
    feed(op, item, tracks(3))
    op.close()
    assert {n: frames_and_ids(lines) for n, lines in written(op).items()} == {name: [(frame, 3)]}


@pytest.mark.parametrize(("only_visible", "frames"), [(True, []), (False, [(0, 1)])])
def test_tracks_out_of_the_picture(make, feed, only_visible, frames):
    op = make(KittiTracking, only_visible=only_visible)
    feed(op, "0000/000000", tracks(1, x=-10.0))
    op.close()
    assert frames_and_ids(written(op)["0000.txt"]) == frames


def test_every_frame_is_on_disk_when_process_returns(make, feed):
    op = make(KittiTracking)
    for k in range(3):
        feed(op, f"0000/{k:06d}", tracks(1))
        assert len(written(op)["0000.txt"]) == k + 1


@pytest.mark.parametrize(
    ("frames", "last", "kept", "why"),
    [
        (3, 1, {"0000.txt": [(0, 1), (1, 1)]}, "the frame in work was half done"),
        (3, 2, {"0000.txt": [(0, 1), (1, 1), (2, 1), (2, 2)]}, "all of it counts"),
        (1, -1, {}, "nothing counts"),
    ],
)
def test_continued_after_a_kill(make, feed, frames, last, kept, why):
    op = make(KittiTracking)
    for k in range(frames):
        feed(op, f"0000/{k:06d}", tracks(*range(1, 1 + max(1, k))))
    if last < frames - 1:
        with (op.out_dir / "0000.txt").open("a") as file:
            file.write("3 1 Car -1 -")
    again = make(KittiTracking, resume=Resume(1, last, "no item decides"))
    got = {n: frames_and_ids(lines) for n, lines in written(again).items()}
    assert got == kept, why
    feed(again, "0000/000004", tracks(1_000_001))
    again.close()
    assert frames_and_ids(written(again)["0000.txt"]) == [*kept.get("0000.txt", []), (4, 1_000_001)]
    assert list(written(again)) == ["0000.txt"]


def test_killed_in_the_first_frame_of_the_next_sequence(make, feed):
    op = make(KittiTracking)
    for item in ("0005/000000", "0001/000001", "0001/000002", "0003/000003"):
        feed(op, item, tracks(1))
    again = make(KittiTracking, resume=Resume(1, 2, "0001/000002"))
    feed(again, "0003/000004", tracks(2))
    again.close()
    got = {n: frames_and_ids(lines) for n, lines in written(again).items()}
    assert got == {"0001.txt": [(1, 1), (2, 1)], "0003.txt": [(4, 2)], "0005.txt": [(0, 1)]}


def test_killed_while_writing(tmp_path):
    """kill -9 at random moments of a process that only appends: every line but the last is complete."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from operators.files import append\n"
        "k = 0\n"
        "while True:\n"
        "    append(Path(sys.argv[1]), b''.join(b'%d %d end\\n' % (k, i) for i in range(50)))\n"
        "    k += 1\n"
    )
    for attempt in range(5):
        path = tmp_path / f"{attempt}.txt"
        child = subprocess.Popen([sys.executable, "-c", program, str(path), os.getcwd()])
        while not path.exists() and child.poll() is None:
            time.sleep(0.01)
        time.sleep(0.02 * attempt)
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        *complete, last = path.read_text().split("\n")
        assert [line.split()[2:] for line in complete] == [["end"]] * len(complete), last


def test_disk_full(make, feed):
    """A limit on the file size replaces the disk: 10 frames fit, the 11th does not, and is removed completely."""
    op = make(KittiTracking, name="results")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    feed(op, "0000/000000", tracks(1, 2, 3))
    path = op.out_dir / "0000.txt"
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(path.stat().st_size * 10.5), hard))
    message = (
        f"results: {path}: cannot write frame dets:10 (0000/000010): File too large; "
        "what came before is complete; free space, or choose another --out?"
    )
    try:
        for k in range(1, 10):
            feed(op, f"0000/{k:06d}", tracks(1, 2, 3))
        with pytest.raises(RunError, match=f"^{re.escape(message)}$"):
            feed(op, "0000/000010", tracks(1, 2, 3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    op.close()
    assert frames_and_ids(written(op)["0000.txt"]) == [(k, i) for k in range(10) for i in (1, 2, 3)]


def test_no_right_to_write(make, feed):
    op = make(KittiTracking, name="results")
    path = op.out_dir / "0000.txt"
    path.mkdir()
    message = (
        f"results: {path}: cannot write frame dets:0 (0000/000000): Is a directory; "
        "what came before is complete; free space, or choose another --out?"
    )
    with pytest.raises(RunError, match=f"^{re.escape(message)}$"):
        feed(op, "0000/000000", tracks(1))
    assert os.listdir(op.out_dir / "0000.txt") == []


def test_2d_boxes_that_somebody_knows_are_written_and_make_a_track_visible(make, straight, header):
    """Behind the camera: a known box is written, a NaN box is not; ahead: a NaN box is projected."""
    op = make(KittiTracking)
    boxes3d = np.array([[-10, 0, 0, 4, 2, 1.5, 0], [-10, 0, 0, 4, 2, 1.5, 0], [10, 0, 0, 4, 2, 1.5, 0]], np.float32)
    scores, labels = np.array([16.1234, 1, 2], np.float32), np.zeros(3, np.int32)
    boxes2d = np.array([[1.25, 2.5, 33.3331, 44.4], [np.nan] * 4, [np.nan] * 4], np.float32)
    op.header = header(0)
    op.process(
        tracks=Tracks(boxes3d, scores, labels, np.array([1, 2, 3])),
        boxes2d=Boxes2D(boxes2d, scores, labels),
        calibration=straight,
    )
    lines = [line.split() for line in written(op)["0000.txt"]]
    assert [line[1] for line in lines] == ["1", "3"]
    assert lines[0][6:10] == ["1.250000", "2.500000", "33.333100", "44.400000"]
    assert lines[0][17] == "16.123400"
    assert 0 < float(lines[1][6]) < float(lines[1][8]) < 199


def history(*frames_and_ids):
    n = len(frames_and_ids)
    frames, ids = np.array(frames_and_ids, np.int64).reshape(-1, 2).T
    boxes3d = np.tile(np.array([10, 0, 0, 4, 2, 1.5, 0], np.float32), (n, 1))
    boxes2d = np.full((n, 4), np.nan, np.float32)
    return History(frames, boxes3d, np.full(n, 0.5, np.float32), np.zeros(n, np.int32), ids, boxes2d)


@pytest.mark.parametrize(
    ("first", "told", "expected"),
    [
        (0, [], []),
        (0, [(0, 7), (2, 7), (3, 7)], [(0, 7), (2, 7), (3, 7)]),
        (2, [(2, 8), (3, 8)], [(0, 1), (1, 1), (2, 8), (3, 8)]),
    ],
    ids=["nothing was real", "all of it", "from frame 2 on: the tracker had crashed before"],
)
def test_a_history_takes_the_place_of_what_was_written(make, feed, straight, header, first, told, expected):
    """Frames 0..3 hold track 1; frame 3 brings the history. Another sequence and later frames stay."""
    op = make(KittiTracking)
    feed(op, "0009/000000", tracks(5))
    for k in range(3):
        feed(op, f"0003/{k:06d}", tracks(1))
    op.header, op.meta = header(3, "0003/000003"), {"history": {"first": first}}
    op.process(tracks=tracks(1), history=history(*told), calibration=straight)
    feed(op, "0004/000000", tracks(6))
    assert frames_and_ids(written(op)["0003.txt"]) == expected
    assert frames_and_ids(written(op)["0009.txt"]) == [(0, 5)]
    assert frames_and_ids(written(op)["0004.txt"]) == [(0, 6)]


@pytest.mark.parametrize("last", [2, 3])
def test_killed_with_the_history(make, feed, straight, header, last):
    """The history replaces the whole file: if its frame does not count, the old lines are back."""
    op = make(KittiTracking)
    for k in range(3):
        feed(op, f"0003/{k:06d}", tracks(1))
    op.header, op.meta = header(3, "0003/000003"), {"history": {"first": 0}}
    op.process(tracks=tracks(1), history=history((0, 7), (1, 7)), calibration=straight)
    again = make(KittiTracking, resume=Resume(1, last, ""))
    feed(again, "0003/000004", tracks(9))
    again.close()
    old, new = [(0, 1), (1, 1), (2, 1)], [(0, 7), (1, 7)]
    assert {n: frames_and_ids(lines) for n, lines in written(again).items()} == {
        "0003.txt": [*(new if last == 3 else old), (4, 9)]
    }
