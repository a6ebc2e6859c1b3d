import errno
import os
import re

import numpy as np
import pytest

from operators.streams import Boxes3D
from operators.write.kitti_object import KittiObject
from pipeline.errors import RunError
from pipeline.operator import Resume


def boxes(n):
    boxes3d = np.tile(np.array([10, 0, 0, 4, 2, 1.5, 0], np.float32), (n, 1))
    return Boxes3D(boxes3d, np.linspace(0.5, 1, n, dtype=np.float32), np.zeros(n, np.int32))


@pytest.fixture
def feed(make, straight, header):
    """feed(op, item, number of boxes)"""

    def run(op, item, n, frame_id=0):
        op.header = header(frame_id, item)
        assert op.process(boxes3d=boxes(n), calibration=straight) is None

    return run


def written(op):
    return {str(p.relative_to(op.out_dir)): len(p.read_text().splitlines()) for p in sorted(op.out_dir.rglob("*")) if p.is_file()}


def test_no_frames_no_files(make):
    op = make(KittiObject)
    op.close()
    assert written(op) == {}


def test_an_empty_frame_is_an_empty_file(make, feed):
    op = make(KittiObject)
    feed(op, "000134", 0)
    op.close()
    assert written(op) == {"000134.txt": 0}


def test_one_box_by_hand(make, feed):
    op = make(KittiObject)
    feed(op, "000134", 1)
    op.close()
    assert (op.out_dir / "000134.txt").read_text() == (
        "Car -1 -1 -1.570796 87.500000 40.625000 112.500000 59.375000 "
        "1.500000 2.000000 4.000000 0.000000 0.750000 10.000000 -1.570796 0.500000\n"
    )


def test_many_frames_and_sequences(make, feed):
    op = make(KittiObject)
    for k, item in enumerate(("0001/000000", "0001/000001", "0000/000000", "000009")):
        feed(op, item, k)
    op.close()
    assert written(op) == {"0000/000000.txt": 2, "0001/000000.txt": 0, "0001/000001.txt": 1, "000009.txt": 3}


ITEMS = ("0004/000000", "0001/000007", "0001/000008", "0000/000000")


@pytest.mark.parametrize("last", [2, 3])
def test_continued_after_a_kill_the_file_that_does_not_count_goes(make, feed, last):
    """The process died in frame 3, before or after the engine recorded it."""
    op = make(KittiObject)
    for k, item in enumerate(ITEMS):
        feed(op, item, 1, k)
    half_done = op.out_dir / "0000" / ".000000.txt.part"
    half_done.write_text("Car -1")
    again = make(KittiObject, resume=Resume(1, last, ITEMS[last]))
    assert half_done.exists() == (last == 3)
    feed(again, "0009/000000", 2, 4)
    again.close()
    kept = [f"{item}.txt" for item in (*ITEMS[: last + 1], "0009/000000")]
    assert [name for name in written(again) if ".part" not in name] == sorted(kept)


def test_a_name_says_nothing_about_what_counts(make, feed):
    """Items that fall, repeat in other sequences, are no numbers: the number in the stream tells which frame counts."""
    items = ["b/000009", "a/000003", "a/left", "c/000001"]
    op = make(KittiObject)
    for k, item in enumerate(items):
        feed(op, item, 1, k)
    again = make(KittiObject, resume=Resume(1, 2, "cut sho"))
    again.close()
    assert list(written(again)) == ["a/000003.txt", "a/left.txt", "b/000009.txt"]


def test_disk_full(make, feed, monkeypatch):
    """The file is complete or absent."""
    op = make(KittiObject, name="objects")
    feed(op, "000000", 2)

    def full(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    message = (
        f"objects: {op.out_dir}/000001.txt: cannot write frame dets:0 (000001): No space left on device; "
        "what came before is complete; free space, or choose another --out?"
    )
    with pytest.raises(RunError, match=f"^{re.escape(message)}$"):
        feed(op, "000001", 2)
    monkeypatch.undo()
    op.close()
    assert written(op) == {"000000.txt": 2}
