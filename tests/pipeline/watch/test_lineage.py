"""One frame's hops and what a sink's latency consisted of: against events with times written by hand, and of a real run."""

import json

import numpy as np
import pytest
from run_files import RunFiles

import pipeline
from pipeline.errors import InputError
from pipeline.flow.log import STEP, VALUES
from pipeline.watch.history import History
from pipeline.watch.lineage import Lineage
from pipeline.watch.story import Segment

TEXT = """version: 1
nodes:
  cam: {driver: test.counter, config: {frames: 30, rate_hz: 10}}
  lidar: {driver: test.counter, config: {frames: 30, rate_hz: 10}}
  fuse: {op: "pipe_nodes:Pair", inputs: {a: cam.out, b: lidar.out}, sync: {policy: exact}}
  snk: {op: test.null, inputs: {in: fuse.out}}
  side: {op: test.null, inputs: {in: cam.out}, place: fuse}
"""
A, B, OUT, SIDE = "cam.out->fuse.a", "lidar.out->fuse.b", "fuse.out->snk.in", "cam.out->side.in"
MS = 1_000_000


@pytest.fixture
def files(tmp_path):
    return RunFiles(tmp_path / "out", TEXT)


def joined(files):
    """cam:5 waits in fuse for lidar:3, which waited for credit; the sink's latency is 50 ms, from -3 to 47."""
    files.read("cam.out", "cam:5", 0, 10, 11)
    files.read("lidar.out", "lidar:3", 1, 2, 30)
    files.take(SIDE, "cam:5", 10, 11, 11.5, 11.5)
    files.step("side", "cam:5", 11.5, 11.75, 11.75, 14.75)
    files.take(A, "cam:5", 10, 11, 12, 35)
    files.take(B, "lidar:3", 29, 33, 34, 35)
    files.publish("fuse.out", "cam:5", 42)
    files.step("fuse", "cam:5", 35, 40, 42)
    files.take(OUT, "cam:5", 40, 42, 44, 44.5)
    files.step("snk", "cam:5", 44.5, 46, 47, 50)


def parts(hop):
    """queued, transport, busy, sync wait, compute, write [ms]."""
    times = (hop.queued_ns, hop.transport_ns, hop.busy_ns, hop.sync_wait_ns, hop.compute_ns, hop.write_ns)
    return tuple(t / MS for t in times)


def test_the_hops_of_a_joined_frame(files):
    joined(files)
    story = Lineage(files.history()).of("cam", 5)
    assert [(hop.node, hop.edge, hop.frame) for hop in story.hops] == [
        ("cam", "", "cam:5"), ("side", SIDE, "cam:5"), ("fuse", A, "cam:5"), ("snk", OUT, "cam:5")
    ]  # fmt: skip
    assert [parts(hop) for hop in story.hops] == [
        (0, 0, 0, 0, 10, 1),
        (0, 0.5, 0, 0, 0.25, 0),
        (0, 1, 0.25, 23, 5, 2),
        (0, 2, 0, 0.5, 1.5, 1),
    ]
    assert [hop.joined for hop in story.hops] == [(), (), (("b", "lidar:3"),), ()]
    assert (story.stamp_ns, story.drops, story.in_flight, story.errors, story.restarts) == (500_000_000, [], [], [], [])


def test_the_critical_path_goes_through_the_frame_that_came_last(files):
    joined(files)
    side, snk = Lineage(files.history()).of("cam", 5).arrivals
    assert (snk.sink, snk.latency_ns) == ("snk", 50 * MS)
    assert snk.path == [
        Segment("lidar", "", "until lidar:3 was sent", 33 * MS),
        Segment("fuse", B, "queued", 3 * MS),
        Segment("fuse", B, "transport", 1 * MS),
        Segment("fuse", B, "sync wait", 1 * MS),
        Segment("fuse", "", "compute", 5 * MS),
        Segment("fuse", "", "write", 2 * MS),
        Segment("snk", OUT, "transport", 2 * MS),
        Segment("snk", OUT, "sync wait", MS // 2),
        Segment("snk", "", "compute", 3 * MS // 2),
        Segment("snk", "", "write", 1 * MS),
    ]
    assert [(s.node, s.what, s.ns / MS) for s in side.path] == [
        ("cam", "capture to send", 14), ("side", "transport", 0.5), ("side", "compute", 0.25)
    ]  # fmt: skip


def test_a_partner_used_again(files):
    joined(files)
    files.read("cam.out", "cam:6", 50, 51, 52)
    files.take(A, "cam:6", 51, 52, 53, 54)
    files.take(B, "lidar:3", 29, 33, 34, 54, again=True)
    files.step("fuse", "cam:6", 54, 55, 56)
    story = Lineage(files.history()).of("lidar", 3)
    assert [(hop.ended_ns, hop.joined, hop.reused) for hop in story.hops if hop.edge] == [
        (5_042_000_000, (("a", "cam:5"),), False),
        (5_056_000_000, (("a", "cam:6"),), True),
    ]
    assert story.arrivals == [], "its sets carry the number of cam"


def test_a_latency_that_began_on_the_way(files):
    """A sink whose frame is younger than the partner it waited for: the path begins where the latency does."""
    joined(files)
    rows = np.array(files.rows)
    rows[-1][VALUES + 1] = 8 * MS  # from 39, within fuse's compute
    files.rows = rows.tolist()
    path = Lineage(files.history()).of("cam", 5).arrivals[-1].path
    assert [(s.what, s.ns / MS) for s in path][:2] == [("compute", 1), ("write", 2)]
    assert sum(s.ns for s in path) == 8 * MS


def test_at_a_rate_the_graph_clock_is_faster(tmp_path):
    files = RunFiles(tmp_path / "out", TEXT, rate=5.0)
    joined(files)
    arrival = Lineage(files.history()).of("cam", 5).arrivals[-1]
    assert arrival.latency_ns == sum(s.ns for s in arrival.path) == 10 * MS


def test_dropped_at_once(files):
    files.read("cam.out", "cam:7", 0, 1, 2)
    files.drop(A, "cam:7", "queue_full", 3)
    files.drop(SIDE, "cam:7", "too_old", 4)
    story = Lineage(files.history()).of("cam", 7)
    assert [(d.edge, d.reason, d.at_ns - story.begun_ns) for d in story.drops] == [
        (A, "queue_full", MS),
        (SIDE, "too_old", 2 * MS),
    ]
    assert ([hop.node for hop in story.hops], story.arrivals, story.in_flight) == (["cam"], [], [])


def test_on_its_way_and_an_error(files):
    files.read("cam.out", "cam:8", 0, 1, 2)
    files.drop(A, "cam:8", "error", 5)
    files.error("fuse", "cam:8", 5)
    story = Lineage(files.history()).of("cam", 8)
    assert (story.in_flight, story.errors) == ([SIDE], ["fuse"])


def test_restarts_on_the_way(files):
    files.read("cam.out", "cam:9", 10, 11, 12)
    files.drop(A, "cam:9", "restart", 20)
    for place, epoch, at in (("cam", 0, 0), ("fuse", 0, 0), ("cam", 1, 1), ("fuse", 1, 220), ("fuse", 2, 900)):
        files.life(place, epoch, at, "killed by SIGKILL" if epoch else "")
    story = Lineage(files.history()).of("cam", 9)
    assert [(life.place, life.epoch) for life in story.restarts] == [("fuse", 1)], "the death that dropped it"


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (("cma", 5), "cma:5: needs a source of t; did you mean cam?"),
        (("fuse", 5), "fuse:5: needs a source of t; known: cam, lidar"),
        (("cam", 99), "cam:99: cam has sent no such frame: the last one is cam:5"),
        (("cam", 4), r"cam:4: cam has sent no such frame, but 2 .. 5: the number was skipped"),
        (("lidar", 0), "lidar:0: lidar has sent no frame yet"),
    ],
)
def test_no_such_frame(files, frame, error):
    files.read("cam.out", "cam:2", 0, 1, 2)
    files.read("cam.out", "cam:5", 3, 4, 5)
    with pytest.raises(InputError, match=error):
        Lineage(files.history()).of(*frame)


def test_no_event_at_all(files):
    with pytest.raises(InputError, match="cam:0: cam has sent no frame yet"):
        Lineage(files.history()).of("cam", 0)


def test_events_that_are_gone(files):
    """The file with the first half was deleted: the hops that are left are told, and where knowledge ends."""
    files.read("cam.out", "cam:2", 0, 1, 2)
    joined(files)
    files.rows, rest = files.rows[:6], files.rows[6:]
    files.save()
    (files.out / "logs" / "events" / "00000000.events").unlink()
    files.rows = rest
    lineage = Lineage(files.history())
    with pytest.raises(InputError, match="cam:2: its events are gone: a run keeps the last million, which begin at cam:5"):
        lineage.of("cam", 2)
    story = lineage.of("cam", 5)
    assert [(hop.node, hop.queued_ns / MS) for hop in story.hops] == [("side", 1), ("fuse", 1), ("snk", 0)]
    first = story.arrivals[-1].path[0]
    assert (first.what, sum(s.ns for s in story.arrivals[-1].path)) == ("before: these events are gone", 50 * MS)


def test_events_that_an_operator_has_overwritten(files):
    joined(files)
    good = list(files.rows)
    rng = np.random.default_rng(3)
    for _ in range(40):
        at = int(rng.integers(len(good) + 1))
        files.rows.insert(at, rng.integers(-(2**63), 2**63, 8).tolist())
    assert len(np.concatenate(list(files.history().events()))) >= len(good)
    assert Lineage(History(files.out)).of("cam", 5).hops


def test_the_slowest(files):
    for number, latency in ((1, 5), (2, 50), (3, 20)):
        files.step("snk", f"cam:{number}", number, number, number, latency)
    assert Lineage(files.history()).slowest("snk", 2) == [("cam", 2), ("cam", 3)]


@pytest.mark.parametrize("place", ["", ", place: one"])
def test_of_a_real_run(tmp_path, place):
    """The parts of each path add up to the latency that the run has reported."""
    (tmp_path / "g.yaml").write_text(TEXT.replace('{op: "pipe_nodes:Pair"', '{op: "pipe_nodes:Pair"' + place))
    assert pipeline.run(tmp_path / "g.yaml", out=tmp_path / "out", place="inline", frames=6).code == 0
    lineage = Lineage(History(tmp_path / "out"))
    rows = np.concatenate(list(lineage.history.events()))
    snk = lineage.run.node("snk").index
    latencies = rows[(rows[:, 0] & 0xFF == STEP) & (rows[:, 0] >> 8 == snk), VALUES + 1].tolist()
    for number in range(6):
        story = lineage.of("cam", number)
        assert {hop.node for hop in story.hops} == {"cam", "fuse", "snk", "side"}
        for hop in story.hops:
            assert min(parts(hop)) >= 0
        arrival = next(a for a in story.arrivals if a.sink == "snk")
        assert arrival.latency_ns == latencies[number] == sum(s.ns for s in arrival.path)


# -- the verb -------------------------------------------------------------------------------------------------------------


def test_why(pipe, files):
    joined(files)
    files.drop(A, "cam:5", "stale", 60)
    files.life("fuse", 1, 20, "killed by SIGKILL")
    files.save()
    done = pipe.refused("why", str(files.out), "cam:5")
    assert (done.code, done.stderr) == (0, "")
    assert (
        done.stdout
        == """\
cam:5 of t-1-00000001, stamp 0.500 s
  node  from      queued  transport  (busy)  sync wait  compute  write  done at
  cam   read()                                    0.00    10.00   1.00     0.00
  side  cam.out     0.00       0.50    0.00       0.00     0.25   0.00     0.75
  fuse  cam.out     0.00       1.00    0.25      23.00     5.00   2.00    31.00
  snk   fuse.out    0.00       2.00    0.00       0.50     1.50   1.00    36.00
joined at fuse: lidar:3 (b)
dropped: cam.out->fuse.a: stale, at 49.00
restart: fuse: killed by SIGKILL; started again at 9.00
critical path to side: 14.75 ms
     14.00  cam   capture to send 14.00
      0.75  side  transport 0.50, compute 0.25
critical path to snk: 50.00 ms
     33.00  lidar  until lidar:3 was sent 33.00
     12.00  fuse   queued 3.00, transport 1.00, sync wait 1.00, compute 5.00, write 2.00
      5.00  snk    transport 2.00, sync wait 0.50, compute 1.50, write 1.00
"""
    )
    story = json.loads(pipe.refused("why", str(files.out), "cam:5", "--json").stdout)
    assert (story["frame"], story["hops"][2]["sync_wait_ns"], len(story["arrivals"])) == ("cam:5", 23 * MS, 2)


@pytest.mark.parametrize("frame", ["cam", ":3", "cam:x", "cam:-1", "cam:5.0", f"cam:{2**48}"])
def test_why_of_no_frame(pipe, files, frame):
    done = pipe.refused("why", str(files.out), frame)
    assert (done.code, done.stderr) == (2, f"error: FRAME {frame}: needs source:frame_id, e.g. world:17\n")


def test_why_of_no_run(pipe, tmp_path):
    done = pipe.refused("why", str(tmp_path / "none"), "cam:1")
    assert (done.code, done.stderr.count("\n")) == (2, 1) and "needs a running graph (none) or the folder of a run" in done.stderr
