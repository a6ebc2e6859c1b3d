"""Placement of nodes and speed of sources change no byte of the results; one bit of the input does."""

import hashlib

import pytest

DEMO_FRAMES = 12
WAYS = {
    "max": [],
    "group": ["GROUP"],
    "rate": ["--rate", "20"],
    "inline": ["--place", "inline"],
}


def files(out, *sinks):
    """sha256 of every file of the sinks."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for sink in sinks
        for path in sorted((out / sink).rglob("*"))
        if path.is_file()
    }


def results(pipe, graph, way, nodes, sinks, *args):
    more = [
        a for arg in WAYS[way] for a in ([x for n in nodes for x in ("--set", f"{n}.place=all")] if arg == "GROUP" else [arg])
    ]
    ended = pipe.run(graph, *args, *more, timeout_s=110)
    assert ended.code == 0, ended.stderr
    report = ended.report
    assert report["exit"] == "completed" and report["comparable"]
    assert sum(sum(e["dropped"].values()) for e in report["edges"].values()) == 0
    assert set(report["digest"]) == set(sinks)
    return report, files(ended.out, *sinks), ended


def lines(ended):
    return sum(len(p.read_text().splitlines()) for p in (ended.out / "results").rglob("*.txt"))


@pytest.fixture(scope="module")
def first():
    """The result of the first placement; the others are compared with it."""
    return {}


@pytest.mark.quick(1)
@pytest.mark.xdist_group("placements-demo")
@pytest.mark.parametrize("way", WAYS)
def test_demo(pipe, first, way):
    pytest.importorskip("torch", reason="the demo's detector needs torch")
    nodes, sinks = ["world", "voxelize", "detect", "tracker", "render", "results", "score"], ["render", "results", "score"]
    report, found, ended = results(pipe, "demo", way, nodes, sinks, "--frames", str(DEMO_FRAMES))
    assert lines(ended) >= DEMO_FRAMES / 10, "at least a track per ten frames"
    assert len(found) > 2
    kept = first.setdefault("demo", (report["digest"], found))
    assert report["digest"] == kept[0]
    assert found == kept[1]


KITTI = ["scans", "dets", "voxelize", "tracker", "render", "results"]


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.xdist_group("placements-kitti")
@pytest.mark.parametrize("way", WAYS)
def test_kitti_scans(pipe, first, shared_data, way):
    root = shared_data / "kitti_tracking_0000"
    args = [x for n in ("scans", "dets") for x in ("--set", f"{n}.config.root={root}")]
    report, found, ended = results(pipe, "kitti_scans", way, KITTI, ["render", "results"], *args, "--frames", "20")
    assert lines(ended) >= 2
    kept = first.setdefault("kitti", (report["digest"], found))
    assert report["digest"] == kept[0]
    assert found == kept[1]
    assert report["edges"]["scans.points->voxelize.points"]["copied_bytes"] == 0


@pytest.mark.quick(2)
@pytest.mark.parametrize("way", [[], ["--place", "inline"], ["--rate", "5"], ["--rate", "5", "--place", "inline"]])
def test_a_reading_that_fails_costs_its_own_number(pipe, way):
    """Read ahead or not, it is reported once, and later readings keep their numbers."""
    graph = pipe.graph("""
  src: {driver: test.fault_source, config: {frames: 12, kind: raise, at: 5}, on_error: skip}
  snk: {op: test.null, inputs: {in: src.out}, config: {write: true}}
""")
    ended = pipe.run(graph, *way)
    assert ended.code == 0, ended.stderr
    assert ended.ids("snk") == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    assert ended.report["nodes"]["src"]["errors"] == 1


FLIP = """
  world:   {driver: synthetic.traffic, config: {seed: 7, frames: 30}}
  flip:    {op: "pipe_nodes:FlipBit", inputs: {boxes3d: world.boxes3d}}
  tracker: {op: track.tracker, inputs: {boxes3d: flip.boxes3d, pose: world.pose}}
  results: {op: write.kitti_tracking, inputs: {tracks: tracker.tracks, calibration: world.calibration}}
  seen:    {op: test.null, inputs: {in: flip.boxes3d}}
"""


def test_one_flipped_bit_shows(pipe):
    graph = pipe.graph(FLIP)
    as_is, again, flipped = (
        pipe.run(graph, "--place", "inline", "--set", f"flip.config.at={at}").report["digest"] for at in (-1, -1, 12)
    )
    assert as_is == again
    assert set(as_is) == {"results", "seen"}
    assert as_is["seen"] != flipped["seen"], "the frame itself"
    assert as_is["results"] != flipped["results"], "what the tracker made of it"


@pytest.mark.slow
def test_a_group_of_some(pipe):
    """Any cut through the graph gives the same bytes."""
    text = """
  src:  {driver: test.blob, config: {bytes: 3000, frames: 50}, place: %s}
  sum:  {op: test.sum, inputs: {data: src.out}, place: %s}
  pair: {op: "pipe_nodes:Pair", inputs: {a: sum.out, b: num.out}, place: %s}
  num:  {driver: test.counter, config: {frames: 50}, place: %s}
  snk:  {op: test.null, inputs: {in: pair.out}, config: {write: true}, place: %s}
"""
    digests = set()
    for places in ("abcde", "abaab", "abbba"):
        ended = pipe.run(pipe.graph(text % tuple(places)))
        assert ended.code == 0, ended.stderr
        assert ended.ids("snk") == list(range(50))
        digests.add(ended.report["digest"]["snk"])
    assert len(digests) == 1
