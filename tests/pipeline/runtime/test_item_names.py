"""Names and numbers of frames are refused where they are read, if the board, the ledger or a file cannot hold them."""

from __future__ import annotations

import json

import pytest
from pipe_runs import check_account

from pipeline.graph.layout import ITEM_BYTES

GRAPH = """
  src: {driver: "pipe_nodes:Named", config: {frames: 6, at: 3, item: %s}, on_error: %s}
  snk: {op: test.null, inputs: {in: src.out}, config: {write: true}}
"""
PLACES = [[], ["--set", "src.place=g", "--set", "snk.place=g"], ["--place", "inline"]]
BAD = {
    "long": ("x" * (ITEM_BYTES + 1), f"{ITEM_BYTES + 1} bytes, at most {ITEM_BYTES} are possible"),
    "umlauts": ("ä" * ITEM_BYTES, f"{2 * ITEM_BYTES} bytes, at most {ITEM_BYTES} are possible"),
    "line": ("a\nb", "a control character"),
    "zero": ("a\0b", "a control character"),
    "escape": ("\x1b[31m", "a control character"),
}


def graph_of(pipe, item, on_error="stop"):
    return pipe.graph(GRAPH % (json.dumps(json.dumps(item)), on_error))


@pytest.mark.quick(5)
@pytest.mark.parametrize("place", PLACES, ids=["processes", "group", "inline"])
@pytest.mark.parametrize("name", BAD)
def test_names_that_are_none(pipe, name, place):
    item, said = BAD[name]
    ended = pipe.run(graph_of(pipe, item), *place)
    assert ended.code == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"error: src: reading 3: item: needs a name of at most {ITEM_BYTES} bytes, got ") and line.endswith(
        said
    )
    assert ended.ids("snk") == list(range(len(ended.ids("snk")))) and len(ended.ids("snk")) <= 3


@pytest.mark.parametrize("place", PLACES, ids=["processes", "group", "inline"])
def test_a_name_that_is_none_costs_its_frame(pipe, place):
    ended = pipe.run(graph_of(pipe, "x" * 600, "skip"), *place)
    assert ended.code == 0, ended.stderr
    assert ended.ids("snk") == [0, 1, 2, 4, 5]


@pytest.mark.parametrize("item", ["x" * ITEM_BYTES, "a\u2028b", "ä ü", "..", "a/../b", ""])
def test_other_names_arrive(pipe, item):
    """Whether a name can be a file's is for who writes files."""
    ended = pipe.run(graph_of(pipe, item), "--place", "inline")
    assert ended.code == 0, ended.stderr
    lines = (ended.out / "snk" / "frames.txt").read_bytes().decode().split("\n")
    assert lines[3].split(" ", 3)[3] == item.replace("\u2028", "\\u2028")


@pytest.mark.quick(3)
@pytest.mark.parametrize(
    ("frame_id", "said"), [(-1, "-1"), (2, "2"), (1 << 48, "281474976710656"), (2**63, "9223372036854775808")]
)
@pytest.mark.parametrize("place", PLACES[::2], ids=["processes", "inline"])
def test_numbers_that_are_none(pipe, frame_id, said, place):
    graph = pipe.graph(f"""
  src: {{driver: "pipe_nodes:Named", config: {{frames: 6, frame_id: {frame_id if frame_id < 2**62 else -7}}}}}
  snk: {{op: test.null, inputs: {{in: src.out}}}}
""")
    ended = pipe.run(graph, *place)
    said = said if frame_id < 2**62 else "-7"
    text = f"error: src: reading 3: frame_id: needs 3 .. 281474976710655, got {said}\n"
    assert (ended.code, ended.stderr) == (1, text)


WRITERS = """
  world:    {driver: "pipe_nodes:LongNames", config: {frames: 40}}
  tracker:  {op: track.tracker, inputs: {boxes3d: world.boxes3d}, config: {preset: ab3dmot}}
  object:   {op: write.kitti_object, inputs: {boxes3d: world.boxes3d, calibration: world.calibration}}
  tracking: {op: write.kitti_tracking, inputs: {tracks: tracker.tracks, calibration: world.calibration}}
  layout:
    op: write.kitti_layout
    inputs: {points: world.points, truth: world.truth, pose: world.pose, calibration: world.calibration}
  notes:    {op: test.null, inputs: {in: world.boxes3d}, config: {write: true}}
"""


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("step", ["processed@25", "committed@25"])
def test_writers_that_die_lose_what_is_named_and_nothing_else(pipe, step):
    """Items of 200 bytes with U+2028: the files of a killed run are those of an undisturbed one, without the named frames."""
    graph = pipe.graph(WRITERS)
    plain = pipe.run(graph, "--place", "inline", timeout_s=180)
    assert plain.code == 0, plain.stderr
    sinks = ("object", "tracking", "layout", "notes")
    ended = pipe.run(graph, *(arg for sink in sinks for arg in ("--inject", f"{sink}:{step}")), timeout_s=180)
    assert ended.code == 0, ended.stderr
    check_account(ended, graph, range(40))
    for sink in sinks:
        lost = {int(d["frame"].rpartition(":")[2]) for d in ended.drops if d["edge"].endswith(f"->{sink}.{PORT[sink]}")}
        assert len(lost) <= 6, lost
        whole, got = frames_in(plain.out / sink), frames_in(ended.out / sink)
        assert got == {frame: text for frame, text in whole.items() if frame not in lost}, sink
    assert not [p for p in ended.out.rglob(".*") if p.name != ".pipe"], "no journal is left"


PORT = {"object": "boxes3d", "tracking": "tracks", "layout": "points", "notes": "in"}


def frames_in(folder):
    """Frame -> its files and lines."""
    found: dict[int, list] = {}
    for path in sorted(folder.rglob("[!.]*")):
        if path.is_file() and path.stem.isdecimal():
            found.setdefault(int(path.stem), []).append(path.read_bytes())
        elif path.is_file() and "calib" not in path.parts and "oxts" not in path.parts:
            for line in path.read_bytes().split(b"\n")[:-1]:
                words = line.split()
                found.setdefault(int(words[1 if words[0] == b"world" else 0]), []).append(line)
    return found
