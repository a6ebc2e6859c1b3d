"""The shipped graph `kitti_tracking` on generated folders: optional files, wrong files, independence of later frames."""

import pytest
from kitti_files import Kitti

FRAMES, LAST_DETECTION = 24, 21
PRESETS = ("best", "best_offline", "ab3dmot")


def line(frame, kind, z, x=0.0, score=9.0, size="1.5,1.7,4.0", y=1.7):
    return f"{frame},{kind},600,170,640,200,{score},{size},{x:.4f},{y},{z:.4f},-1.57,0.4\n"


@pytest.fixture
def folder(tmp_path):
    """Sequences 0005 and 0011, 24 frames each: a car ahead that drives on, a pedestrian, a cyclist; nothing in frames 12, 13 and
    from 22 on, in 0011 nothing at all before frame 9."""
    kitti = Kitti(tmp_path / "kitti")
    for sequence, first in (("0005", 0), ("0011", 9)):
        kitti.calib(f"calib/{sequence}.txt")
        kitti.oxts(FRAMES, f"oxts/{sequence}.txt")
        seen = [k for k in range(first, LAST_DETECTION + 1) if k not in (12, 13)]
        cars = "".join(line(k, 2, 20 + 0.5 * k, 1) for k in seen)
        kitti.write(kitti.root / f"detections/rcnn_Car/{sequence}.txt", cars)
        persons = "".join(line(k, 1, 12, -3 + 0.1 * k, 4.0, "1.75,0.6,0.8") for k in seen)
        kitti.write(kitti.root / f"detections/rcnn_Pedestrian/{sequence}.txt", persons)
        riders = "".join(line(k, 3, 15 + 0.4 * k, 4, 5.0, "1.7,0.6,1.8") for k in seen)
        kitti.write(kitti.root / f"detections/rcnn_Cyclist/{sequence}.txt", riders)
    return kitti


def run(pipe, kitti, *args):
    sets = [
        f"dets.config.root={kitti.root}",
        "dets.config.sequences=all",
        "render.config.video=false",
        "render.config.png_every=0",
    ]
    return pipe.run("kitti_tracking", *[a for s in sets for a in ("--set", s)], *args, "--place", "inline")


def rows(ended, sequence="0005"):
    """(frame, class) of every line"""
    text = (ended.out / "results" / f"{sequence}.txt").read_text()
    return [(int(f[0]), f[2]) for f in map(str.split, text.splitlines())]


@pytest.mark.quick(1)
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("absent", [(), ("oxts",), ("detections/rcnn_Pedestrian", "detections/rcnn_Cyclist")])
def test_what_may_be_absent(pipe, folder, preset, absent):
    """No labels anyway. Every frame counts; each class that is there has its object; a file per sequence."""
    for name in absent:
        (folder.root / name).rename(folder.root.parent / name.replace("/", "_"))
    ended = run(pipe, folder, "--set", f"tracker.config.preset={preset}")
    assert ended.code == 0, ended.stderr
    frames = 2 * (LAST_DETECTION + 1 if "oxts" in absent else FRAMES)
    assert ended.report["sinks"]["results"]["frames"] == frames
    assert (f"no pose: {folder.root}/oxts/0005.txt is not there" in ended.stderr) == ("oxts" in absent)
    assert not any(e["dropped"] for e in ended.report["edges"].values())
    assert sorted(p.name for p in (ended.out / "results").iterdir()) == ["0005.txt", "0011.txt"]
    classes = {"Car"} if len(absent) == 2 else {"Car", "Pedestrian", "Cyclist"}
    for sequence in ("0005", "0011"):
        assert {name for _, name in rows(ended, sequence)} == classes
    assert {k for k, name in rows(ended) if name == "Car"} >= {4, 11, 16, 21}
    if preset == "best_offline":
        assert [k for k, name in rows(ended, "0011") if name == "Car"] == list(range(9, 22)), "the gap is filled, nothing before"


@pytest.mark.quick(1)
@pytest.mark.parametrize("preset", PRESETS)
def test_a_sequence_of_which_nothing_is_known_has_an_empty_file(pipe, folder, preset):
    """0005 has oxts and no detection, 0011 empty detection files and nothing else."""
    (folder.root / "oxts/0011.txt").unlink()
    for path in folder.root.glob("detections/*/*.txt"):
        path.unlink() if path.stem == "0005" else path.write_text("")
    ended = run(pipe, folder, "--set", f"tracker.config.preset={preset}")
    assert ended.code == 0, ended.stderr
    assert {p.name: p.read_bytes() for p in (ended.out / "results").iterdir()} == {"0005.txt": b"", "0011.txt": b""}
    assert ended.report["sinks"]["results"]["frames"] == FRAMES + 1


def test_one_frame(pipe, folder):
    """A sure detection in the only frame is written at once."""
    for path in folder.root.glob("oxts/*.txt"):
        path.write_text(path.read_text().splitlines(keepends=True)[0])
    for path in folder.root.glob("detections/*/*.txt"):
        path.write_text("".join(x for x in path.read_text().splitlines(keepends=True) if x.startswith("0,")))
    ended = run(pipe, folder)
    assert ended.code == 0, ended.stderr
    assert rows(ended) == [(0, "Car"), (0, "Pedestrian"), (0, "Cyclist")]
    assert rows(ended, "0011") == []


@pytest.mark.slow
def test_best_cut_after_any_frame_has_written_the_same_lines(pipe, folder):
    whole = (run(pipe, folder).out / "results" / "0005.txt").read_text().splitlines()
    for frames in (1, 13, 20):
        part = run(pipe, folder, "--frames", str(frames))
        lines = (part.out / "results" / "0005.txt").read_text().splitlines()
        assert lines == [x for x in whole if int(x.split()[0]) < frames], frames


@pytest.mark.slow
def test_lines_in_any_order_give_the_same_tracks(pipe, folder):
    first = (run(pipe, folder).out / "results" / "0005.txt").read_bytes()
    path = folder.root / "detections/rcnn_Car/0005.txt"
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    ended = run(pipe, folder)
    assert (ended.out / "results" / "0005.txt").read_bytes() == first
    assert f"{path}:2: not in the order of frames; sorted" in ended.stderr


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (line(2, 2, float("nan")), "needs finite numbers, got nan in column 13"),
        (line(24, 2, 20), "needs a frame 0..23 ({oxts} has 24 lines), got frame 24"),
        (line(2, 7, 20), "needs type 1 (Pedestrian), 2 (Car) or 3 (Cyclist) in column 2, got 7"),
    ],
    ids=["NaN", "a frame too many", "a type unknown"],
)
def test_a_wrong_line_is_named_before_anything_starts(pipe, folder, wrong, message):
    path = folder.root / "detections/rcnn_Car/0005.txt"
    path.write_text(line(0, 2, 20) + wrong)
    ended = run(pipe, folder)
    assert ended.code == 2
    assert ended.stderr.strip().endswith(f" dets: {path}:2: {message.format(oxts=folder.root / 'oxts/0005.txt')}")


def test_boxes_without_extent_are_left_out_and_said(pipe, folder):
    path = folder.root / "detections/rcnn_Car/0005.txt"
    before = run(pipe, folder)
    path.write_text(path.read_text() + line(23, 2, 20, size="1.5,0,4.0") + line(23, 2, 20, size="1.5,1.7,-4.0"))
    number = len(path.read_text().splitlines()) - 1
    ended = run(pipe, folder)
    assert ended.code == 0
    assert ended.report["nodes"]["dets"]["status"] == f"2 boxes without extent left out, the first in {path}:{number}"
    assert ended.report["digest"] == before.report["digest"]


def test_an_id_twice_in_the_truth_is_named_with_its_frame(pipe, folder):
    """The scoring node finds it during the run; the tracks are not affected."""
    twice = "2 7 Car 0 0 -1.5 100 100 200 200 1.5 1.7 4.0 1 1.7 20 -1.57\n" * 2
    folder.write(folder.root / "label_02/0005.txt", twice)
    ended = run(pipe, folder)
    assert ended.code == 1
    assert "score: frame dets:2 (0005/000002): truth: needs every track id once per frame and class, got 7 twice" in ended.stderr


@pytest.mark.slow
def test_a_huge_gap_ends_all_tracks(pipe, folder):
    """Without oxts a sequence ends with its last detection; 300 empty frames lie before it, and all are sent."""
    (folder.root / "oxts").rename(folder.root.parent / "oxts")
    with (folder.root / "detections/rcnn_Car/0005.txt").open("a") as file:
        file.write("".join(line(k, 2, 30 + 0.5 * (k - 320), 1) for k in range(320, 330)))
    ended = run(pipe, folder)
    assert ended.report["sinks"]["results"]["frames"] == 330 + LAST_DETECTION + 1
    ids = [
        (int(f[0]), f[1]) for f in map(str.split, (ended.out / "results" / "0005.txt").read_text().splitlines()) if f[2] == "Car"
    ]
    assert not {i for k, i in ids if k < 100} & {i for k, i in ids if k >= 320}
    assert [k for k, _ in ids if 40 < k < 320] == []
