"""All writers: names from data stay below the folder, two frames or sequences share no file, a kill loses nothing that counts."""

import json

import numpy as np
import pytest

from operators.streams import Boxes3D, Tracks, Tracks2D
from operators.write.folder import Folder, Write
from operators.write.kitti_layout import MAX_MISSING, KittiLayout
from operators.write.kitti_object import KittiObject
from operators.write.kitti_tracking import KittiTracking
from operators.write.kitti_tracking_2d import KittiTracking2d
from operators.write.mot import Mot
from pipeline.errors import FrameError, PipeError, RunError
from pipeline.operator import Resume

CAR = np.array([[10, 0, 0, 4, 2, 1.5, 0]], np.float32)
ONE, LABEL, ID = np.ones(1, np.float32), np.zeros(1, np.int32), np.ones(1, np.int64)
BOX2D = np.array([[1, 2, 30, 40]], np.float32)
WRITERS = {
    "object": (KittiObject, {}),
    "tracking": (KittiTracking, {}),
    "tracking_2d": (KittiTracking2d, {}),
    "mot": (Mot, {"frame_offset": 1}),
    "layout": (KittiLayout, {}),
    "layout object": (KittiLayout, {"layout": "object"}),
    "layout raw": (KittiLayout, {"layout": "raw"}),
}


@pytest.fixture
def step(straight, header):
    """step(op, frame_id, item)"""

    def run(op, k, item):
        op.header = header(k, item)
        if isinstance(op, KittiObject):
            op.process(boxes3d=Boxes3D(CAR, ONE, LABEL), calibration=straight)
        elif isinstance(op, KittiTracking):
            op.process(tracks=Tracks(CAR, ONE, LABEL, ID), calibration=straight)
        elif isinstance(op, KittiLayout):
            pose = np.eye(4) if op.config.layout == "raw" else None
            op.headers = dict.fromkeys(("points", "pose"), op.header)
            op.process(points=CAR[:, :4].copy(), image=None, truth=None, pose=pose, calibration=straight)
        else:
            op.process(tracks2d=Tracks2D(BOX2D, ONE, LABEL, ID))

    return run


def tree(folder):
    """Every file with its content, journals left out."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files if p.name not in (".undo", ".sequences")}


BAD_ITEMS = [
    "../../x/000001", "/etc/000001", "a/../../000001", "..", ".hidden/000001", "a\0b/000001", "a\nb/000001", "\udcff/000001",
    f"{'x' * 250}/000001", f"{'s/' * 130}000001",
]  # fmt: skip


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("item", BAD_ITEMS, ids=ascii)
def test_no_item_leads_out(make, step, tmp_path, writer, item):
    """Every writer refuses the frame in one line, or writes below its folder."""
    (tmp_path / "x").mkdir()
    cls, config = WRITERS[writer]
    op = make(cls, **config)
    before = {p for p in tmp_path.rglob("*") if op.out_dir not in (p, *p.parents)}
    try:
        step(op, 1, item)
    except PipeError as error:
        assert "\n" not in str(error)  # noqa: PT017 - some writers name files by the frame's number
    step(op, 2, "good/000002")
    op.close()
    assert {p for p in tmp_path.rglob("*") if op.out_dir not in (p, *p.parents)} == before
    assert tree(op.out_dir), "the next frame is written"


@pytest.mark.parametrize("writer", WRITERS)
def test_links_below_the_folder_are_not_followed(make, step, tmp_path, writer):
    cls, config = WRITERS[writer]
    op = make(cls, **config)
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("a", "a.txt", "calib", "training", "2011_09_26"):
        (op.out_dir / name).symlink_to(outside / "file" if name == "a.txt" else outside)
    with pytest.raises(FrameError, match="a link in its way"):
        step(op, 1, "a/000001")
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("writer", ["object", "layout", "layout object", "layout raw"])
def test_two_frames_of_one_name(make, step, writer):
    cls, config = WRITERS[writer]
    op = make(cls, **config)
    step(op, 1, "000001" if writer != "layout raw" else "000000")
    before = tree(op.out_dir)
    with pytest.raises(PipeError, match=r"needs a file of its own for frame dets:2|in the order of their numbers"):
        step(op, 2, "000001" if writer != "layout raw" else "000000")
    assert tree(op.out_dir) == before


@pytest.mark.parametrize("writer", ["tracking", "tracking_2d", "mot", "layout", "layout raw"])
@pytest.mark.parametrize("restart", [False, True])
def test_two_sequences_of_one_name(make, step, writer, restart):
    """a/b and a_b would share a_b.txt; so would no sequence and 0000."""
    cls, config = WRITERS[writer]
    op = make(cls, **config)
    step(op, 1, "a/b/000001")
    step(op, 2, "000001")
    if restart:
        op = make(cls, resume=Resume(1, 2, ""), **config)
    for item in ("a_b/000007", "0000/000008"):
        with pytest.raises(
            FrameError, match=r"needs files of its own for sequence '(a_b|0000)', got .*, the files of sequence '(a/b|)'"
        ):
            step(op, 3, item)
    step(op, 4, "a/b/000009")
    step(op, 5, "c/000001")


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("dies", [0, 1, 24])
@pytest.mark.parametrize("counts", [False, True])
def test_restarted_at_any_frame(make, step, writer, dies, counts):
    """The writer dies in a frame, before or after it counts; names are long, and hold what splits lines elsewhere."""
    cls, config = WRITERS[writer]
    sequence = "".join(f"ä\u2028{i}" for i in range(30))
    assert len(sequence.encode()) > 137
    items = [f"{sequence}/{k:06d}" for k in range(30)]
    op = make(cls, name="killed", **config)
    for k in range(dies + 1):
        step(op, k, items[k])
    again = make(cls, name="killed", resume=Resume(1, dies if counts else dies - 1, "lossy", dies + counts), **config)
    for k in range(dies + counts, 30):
        step(again, k, items[k])
    again.close()
    whole = make(cls, name="whole", **config)
    for k in range(30):
        step(whole, k, items[k])
    whole.close()
    assert tree(again.out_dir) == tree(whole.out_dir)
    assert not list(again.out_dir.rglob(".*")), "no journal is left"


@pytest.mark.parametrize("writer", WRITERS)
def test_journals_do_not_grow_with_the_frames(make, step, writer):
    cls, config = WRITERS[writer]
    op = make(cls, **config)
    sizes = []
    for k in range(60):
        step(op, k, f"s/{k:06d}")
        sizes.append(sum(p.stat().st_size for p in op.out_dir.glob(".*")))
    assert max(sizes[10:]) - min(sizes[10:]) <= 16


def test_numbers_of_frames_take_no_memory(make, calibration, header):
    """oxts and timestamps have a line for each number; a time as a number would fill the disk."""
    for layout in ("tracking", "raw"):
        op = make(KittiLayout, name=layout, layout=layout)
        for item in ("s/1317042145964389", f"s/{MAX_MISSING + 1}"):
            op.header = header(1, item)
            op.headers = {"pose": op.header}
            with pytest.raises(RunError, match=r"has a line for each frame number and needs gaps of at most 100000, got \d+"):
                op.process(points=None, image=None, truth=None, pose=np.eye(4), calibration=calibration)


def test_the_sequences_are_json(tmp_path, header):
    folder = Folder("w", tmp_path, None)
    for k, sequence in enumerate(("a\u2028b", "ü", 'c"d', "e")):
        folder.write(header(k, f"{sequence}/1"), [Write(f"{folder.sequence(header(k, f'{sequence}/1'))}.txt", b"x", "append")])
    lines = (tmp_path / ".sequences").read_bytes().splitlines()
    assert [json.loads(line)[1] for line in lines] == ["a\u2028b", "ü", 'c"d', "e"]
    with (tmp_path / ".sequences").open("ab") as file:
        file.write(b'["f", "cut sho')
    again = Folder("w", tmp_path, Resume(1, 3, ""))
    assert again.sequence(header(4, "f/1")) == "f"
    again.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["a\u2028b.txt", "ü.txt", 'c"d.txt', "e.txt"])
