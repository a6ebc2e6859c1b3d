"""Credits and policies: lossless if the source may wait, newest first if not, and no reader slows another."""

import itertools
import json
import statistics
import time

import pytest
from pipe_runs import check_account, check_balance

from pipeline.runtime.memory import rss_mb


def notes(ended, node):
    return [json.loads(line) for line in (ended.out / node / "notes.jsonl").read_text().splitlines()]


def overload(queue: str) -> str:
    """A live source twice as fast as its reader."""
    return f"""
  src:  {{driver: test.counter, config: {{frames: 200, rate_hz: 100}}, live: true}}
  slow: {{op: test.fault, inputs: {{data: src.out}}, queue: {{data: {queue}}}, config: {{kind: slow, slow_ms: 20}}}}
  snk:  {{op: test.null, inputs: {{in: slow.out}}, config: {{write: true}}}}
"""


def test_latest_keeps_the_newest(pipe):
    graph = pipe.graph(overload("{policy: latest}"))
    ended = pipe.run(graph)
    assert ended.code == 0, ended.stderr
    check_account(ended, graph, range(200))
    edge = ended.report["edges"]["src.out->slow.data"]
    assert set(edge["dropped"]) == {"queue_full"}
    assert 40 <= edge["delivered"] <= 160, "neither all nor hardly any"
    ids = ended.ids("snk")
    assert ids[-1] == 199, "the newest got through"
    # one in work and one waiting: a frame that enters is never older than about two periods of the slow node
    gaps = [b - a for a, b in itertools.pairwise(ids)]
    assert 2 <= statistics.median(gaps) <= 5


def test_max_age_drops_what_is_too_old(pipe):
    graph = pipe.graph(overload("{policy: drop_oldest, size: 50, max_age_ms: 60}"))
    ended = pipe.run(graph)
    assert ended.code == 0, ended.stderr
    check_account(ended, graph, range(200))
    dropped = ended.report["edges"]["src.out->slow.data"]["dropped"]
    assert set(dropped) == {"too_old"} and dropped["too_old"] >= 40


def test_drop_oldest_is_bounded(pipe):
    graph = pipe.graph(overload("{policy: drop_oldest, size: 4}"))
    ended = pipe.run(graph)
    assert ended.code == 0, ended.stderr
    check_account(ended, graph, range(200))
    dropped = ended.report["edges"]["src.out->slow.data"]["dropped"]
    assert set(dropped) == {"queue_full"} and 40 <= dropped["queue_full"] <= 160
    assert ended.ids("snk")[-4:] == [196, 197, 198, 199], "the queue of four is worked off at the end"


def test_max_age_is_ignored_where_there_is_no_clock(pipe):
    graph = pipe.graph("""
  src:  {driver: test.counter, config: {frames: 20}}
  slow: {op: test.fault, inputs: {data: src.out}, queue: {data: {max_age_ms: 1}}, config: {kind: slow, slow_ms: 10}}
  snk:  {op: test.null, inputs: {in: slow.out}, config: {write: true}}
""")
    ended = pipe.run(graph)
    assert ended.ids("snk") == list(range(20))


EXPENSIVE = """
  src:  {{driver: test.counter, config: {{frames: 60, rate_hz: 40}}, live: true}}
  cheap: {{op: test.fault, inputs: {{data: src.out}}}}
  costly: {{op: test.fault, inputs: {{data: cheap.out}}, queue: {{data: {queue}}}, config: {{kind: slow, slow_ms: 50}}}}
  after: {{op: test.fault, inputs: {{data: costly.out}}}}
  snk:  {{op: test.null, inputs: {{in: after.out}}, config: {{write: true}}}}
"""


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    ("queue", "reasons"),
    [
        ("{policy: latest}", {"queue_full"}),
        ("{policy: drop_oldest, size: 3}", {"queue_full"}),
        ("{policy: drop_oldest, size: 50, max_age_ms: 150}", {"too_old"}),
        ("{policy: latest, max_age_ms: 500}", {"queue_full"}),
    ],
)
def test_frames_die_before_the_expensive_work(pipe, queue, reasons):
    """Twice as many frames as the third node can take: computed frames arrive, lost frames are named on its input."""
    graph = pipe.graph(EXPENSIVE.format(queue=queue))
    ended = pipe.run(graph)
    assert ended.code == 0, ended.stderr
    check_account(ended, graph, range(60))
    edges, nodes = ended.report["edges"], ended.report["nodes"]
    edge = edges["cheap.out->costly.data"]
    assert set(edge["dropped"]) == reasons and sum(edge["dropped"].values()) >= 15
    lost_later = sum(sum(edges[e]["dropped"].values()) for e in ("costly.out->after.data", "after.out->snk.in"))
    assert lost_later <= 2, "its results go to nodes that wait for them"  # a busy machine may let one wait for two frames
    assert nodes["costly"]["out"] == edge["delivered"] == len(ended.ids("snk")) + lost_later
    if "latest" in queue:
        gaps = [b - a for a, b in itertools.pairwise(ended.ids("snk"))]
        assert 2 <= statistics.median(gaps) <= 5, "evenly, not in bursts"


@pytest.mark.slow
def test_block_moves_the_loss_further_up(pipe):
    """Two expensive nodes, the second one slower. `latest` between them wastes computed frames; `block` does not."""
    graph = """
  src:    {driver: test.counter, config: {frames: 60, rate_hz: 40}, live: true}
  first:  {op: test.fault, inputs: {data: src.out}, config: {kind: slow, slow_ms: 20}}
  second: {op: test.fault, inputs: {data: first.out}, queue: {data: QUEUE}, config: {kind: slow, slow_ms: 60}}
  snk:    {op: test.null, inputs: {in: second.out}, config: {write: true}}
"""
    wasted = {}
    for queue in ("{policy: latest}", "{policy: block, size: 1}"):
        path = pipe.graph(graph.replace("QUEUE", queue))
        ended = pipe.run(path)
        assert ended.code == 0, ended.stderr
        check_account(ended, path, range(60))
        edges = ended.report["edges"]
        wasted[queue] = sum(edges["first.out->second.data"]["dropped"].values())
        assert sum(edges["src.out->first.data"]["dropped"].values()) + wasted[queue] >= 20
    assert wasted["{policy: latest}"] >= 3
    assert wasted["{policy: block, size: 1}"] == 0


@pytest.mark.parametrize("frames", [2_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_block_is_lossless_and_flat(pipe, frames):
    """Many frames into a slow sink: all arrive, in order, and no process grows."""
    graph = pipe.graph(
        """
  src:  {driver: test.blob, config: {bytes: 50000, frames: FRAMES}}
  sum:  {op: test.sum, inputs: {data: src.out}}
  slow: {op: test.fault, inputs: {data: sum.out}, config: {kind: slow, slow_ms: 1}}
  snk:  {op: test.null, inputs: {in: slow.out}, config: {write: true}}
""".replace("FRAMES", str(frames))
    )
    running = pipe.start(graph)
    running.wait_lines("snk", frames // 10)
    pids = {n: running.pid_of(n) for n in ("src", "sum", "slow", "snk")}
    first = {n: rss_mb(pid) for n, pid in pids.items()}
    running.wait_lines("snk", frames - 100, 240)
    last = {n: rss_mb(pid) for n, pid in pids.items()}
    ended = running.end()
    assert ended.code == 0, ended.stderr
    assert ended.ids("snk") == list(range(frames))
    assert ended.drops == []
    grown = {n: last[n] - first[n] for n in pids if last[n]}
    assert all(mb < 2.0 for mb in grown.values()), grown


def test_a_slow_lossy_reader_slows_nobody(pipe):
    """If the source waited for it, all 300 frames would reach it."""
    graph = pipe.graph("""
  src:  {driver: test.counter, config: {frames: 300}}
  slow: {op: test.fault, inputs: {data: src.out}, queue: {data: {policy: latest}}, config: {kind: slow, slow_ms: 50}}
  snk:  {op: test.null, inputs: {in: slow.out}, config: {write: true}}
  fast: {op: test.null, inputs: {in: src.out}, config: {write: true}}
""")
    ended = pipe.run(graph)
    assert ended.code == 0, ended.stderr
    check_account(ended, graph, range(300))
    assert ended.ids("fast") == list(range(300))
    assert len(ended.ids("snk")) <= 150
    assert ended.ids("snk")[-1] == 299
    assert not ended.report["comparable"], "what was dropped is a matter of time, offline too"


STALLS = {
    "one operator": """
  stall: {op: test.fault, inputs: {data: src.out}, config: {kind: slow, slow_ms: 1000, at: 30}}
  snk:   {op: "pipe_nodes:Age", inputs: {data: stall.out}}
""",
    "chain": """
  a:     {op: test.fault, inputs: {data: src.out}}
  b:     {op: test.fault, inputs: {data: a.out}}
  stall: {op: test.fault, inputs: {data: b.out}, config: {kind: slow, slow_ms: 1000, at: 30}}
  c:     {op: test.fault, inputs: {data: stall.out}}
  snk:   {op: "pipe_nodes:Age", inputs: {data: c.out}}
""",
    "chain in one process": """
  a:     {op: test.fault, inputs: {data: src.out}, place: g}
  b:     {op: test.fault, inputs: {data: a.out}, place: g}
  stall: {op: test.fault, inputs: {data: b.out}, config: {kind: slow, slow_ms: 1000, at: 30}, place: g}
  c:     {op: test.fault, inputs: {data: stall.out}, place: g}
  snk:   {op: "pipe_nodes:Age", inputs: {data: c.out}}
""",
    "source, chain and sink in one process": """
  a:     {op: test.fault, inputs: {data: src.out}, place: src}
  stall: {op: test.fault, inputs: {data: a.out}, config: {kind: slow, slow_ms: 1000, at: 30}, place: src}
  snk:   {op: "pipe_nodes:Age", inputs: {data: stall.out}, place: src}
""",
    "two processes of two": """
  a:     {op: test.fault, inputs: {data: src.out}, place: g}
  b:     {op: test.fault, inputs: {data: a.out}, place: g}
  stall: {op: test.fault, inputs: {data: b.out}, config: {kind: slow, slow_ms: 1000, at: 30}, place: h}
  c:     {op: test.fault, inputs: {data: stall.out}, place: h}
  snk:   {op: "pipe_nodes:Age", inputs: {data: c.out}, place: h}
""",
    "a stranger in the same process": """
  far:   {op: test.fault, inputs: {data: src.out}, config: {kind: slow, slow_ms: 1000, at: 30}, place: g}
  near:  {op: test.fault, inputs: {data: src.out}, place: g}
  snk:   {op: "pipe_nodes:Age", inputs: {data: near.out}}
""",
    "join": """
  a:     {op: test.fault, inputs: {data: src.out}}
  stall: {op: "pipe_nodes:Stall", inputs: {a: src.out, b: a.out}, sync: {policy: exact}, config: {at: 30}}
  snk:   {op: "pipe_nodes:Age", inputs: {data: stall.out}}
""",
    "join that does without": """
  a:     {op: test.fault, inputs: {data: src.out}}
  stall: {op: "pipe_nodes:Stall", inputs: {a: src.out, b: a.out}, sync: {policy: exact, optional: [b]}, config: {at: 30}}
  snk:   {op: "pipe_nodes:Age", inputs: {data: stall.out}}
""",
    "join and what is before it in one process": """
  a:     {op: test.fault, inputs: {data: src.out}, place: g}
  b:     {op: test.fault, inputs: {data: a.out}, place: g}
  stall: {op: "pipe_nodes:Stall", inputs: {a: a.out, b: b.out}, sync: {policy: exact}, config: {at: 30}, place: g}
  snk:   {op: "pipe_nodes:Age", inputs: {data: stall.out}}
""",
    "a branch before the join": """
  a:     {op: test.fault, inputs: {data: src.out}}
  stall: {op: test.fault, inputs: {data: src.out}, config: {kind: slow, slow_ms: 1000, at: 30}}
  both:  {op: "pipe_nodes:Stall", inputs: {a: a.out, b: stall.out}, sync: {policy: exact}}
  snk:   {op: "pipe_nodes:Age", inputs: {data: both.out}}
""",
    "the trigger's branch before the join": """
  a:     {op: test.fault, inputs: {data: src.out}}
  stall: {op: test.fault, inputs: {data: src.out}, config: {kind: slow, slow_ms: 1000, at: 30}}
  both:  {op: "pipe_nodes:Stall", inputs: {a: stall.out, b: a.out}, sync: {policy: exact}}
  snk:   {op: "pipe_nodes:Age", inputs: {data: both.out}}
""",
}


@pytest.mark.quick(1)
@pytest.mark.parametrize("rest", STALLS.values(), ids=STALLS)
def test_a_stall_is_over_within_a_frame(pipe, rest):
    """A node of a live graph stops for a second: one old frame arrives, the one in work; the next is as young as before."""
    ended = pipe.run(pipe.graph("  src: {driver: test.counter, config: {frames: 90, rate_hz: 30}, live: true}\n" + rest))
    assert ended.code == 0, ended.stderr
    rows = notes(ended, "snk")
    ids = [row["frame"] for row in rows]
    assert ids == sorted(set(ids))
    after = [row for row in rows if row["frame"] >= 30]
    # Half the stall: frames that waited through the stall are older, frames late on a busy machine are not.
    assert len([row for row in after if row["ms"] > 500]) <= 1, after[:8]
    assert len(after) >= 10, "and what comes then, comes"
    check_balance(ended)
    lost = {reason for edge in ended.report["edges"].values() for reason in edge["dropped"]}
    assert lost <= {"queue_full", "sync_no_match", "sync_timeout"}


def test_a_live_graph_without_overload_loses_nothing(pipe):
    graph = pipe.graph("""
  src:  {driver: test.counter, config: {frames: 30, rate_hz: 20}, live: true}
  op:   {op: test.fault, inputs: {data: src.out}}
  snk:  {op: test.null, inputs: {in: op.out}, config: {write: true}}
""")
    began = time.monotonic()
    ended = pipe.run(graph)
    check_account(ended, graph, range(30))
    assert len(ended.ids("snk")) >= 27
    assert time.monotonic() - began >= 29 / 20, "a live source plays at its own rate"


KEEPER = """
  src:  {driver: test.blob, config: {bytes: 4000, frames: 120LIVE}
  keep: {op: "pipe_nodes:Keep", inputs: {data: src.out}PLACE}
  sib:  {op: test.sum, inputs: {data: src.out}PLACE}
  snk:  {op: test.null, inputs: {in: sib.out}, config: {write: true}}
"""


@pytest.mark.quick(2)
@pytest.mark.parametrize("place", ["", ", place: g"], ids=["processes", "one process"])
@pytest.mark.parametrize("live", ["}", ", rate_hz: 40}, live: true"], ids=["offline", "live"])
def test_who_keeps_what_it_declared_costs_nobody_anything(pipe, place, live):
    """Three views kept at any time, three declared: the pool has room for them, and the sibling gets every frame."""
    ended = pipe.run(pipe.graph(KEEPER.replace("LIVE", live).replace("PLACE", place)))
    assert ended.code == 0, ended.stderr
    rows = notes(ended, "keep")
    assert rows[-1]["kept"] == 3 and not any(row["wrong"] for row in rows)
    if live == "}":
        assert ended.ids("snk") == list(range(120)) and ended.drops == []
    else:
        assert ended.report["edges"]["src.out->sib.data"]["produced"] == 120, "the source never found its pool full"
        assert len(ended.ids("snk")) >= 60 and len(rows) >= 60  # a busy machine loses some for other reasons
    check_balance(ended)


def test_who_keeps_more_than_declared_slows_itself_only(pipe):
    """Live, one view too many takes the reader's only credit until its release: only this reader's frames are dropped."""
    ended = pipe.run(
        pipe.graph("""
  src:   {driver: test.blob, config: {bytes: 4000, frames: 80, rate_hz: 40}, live: true}
  greedy: {op: "pipe_nodes:Greedy", inputs: {data: src.out}, config: {ms: 300}}
  sib:   {op: test.sum, inputs: {data: src.out}}
  snk:   {op: test.null, inputs: {in: sib.out}, config: {write: true}}
""")
    )
    assert ended.code == 0, ended.stderr
    edges = ended.report["edges"]
    greedy = edges["src.out->greedy.data"]
    assert 3 <= greedy["delivered"] <= 12, "one frame per 300 ms"
    assert set(greedy["dropped"]) == {"queue_full"}
    assert edges["src.out->sib.data"]["produced"] == 80, "the source never found its pool full"
    assert len(ended.ids("snk")) >= 3 * greedy["delivered"]
    check_balance(ended)


def test_two_runs_at_once_do_not_meet(pipe):
    graph = pipe.graph("""
  src:  {driver: test.counter, config: {frames: 100, rate_hz: 100}}
  op:   {op: test.fault, inputs: {data: src.out}}
  snk:  {op: test.null, inputs: {in: op.out}, config: {write: true}}
""")
    both = [pipe.start(graph, "--rate", "1.0") for _ in range(2)]
    for ended in [running.end() for running in both]:
        assert ended.code == 0, ended.stderr
        check_account(ended, graph, range(100))
        assert ended.ids("snk") == list(range(100))


@pytest.mark.parametrize("policy", ["latest", "drop_oldest"])
def test_empty_stream(pipe, policy):
    """Nothing is sent, and everything ends."""
    graph = pipe.graph(f"""
  src:  {{driver: test.counter, config: {{frames: 0}}}}
  op:   {{op: test.fault, inputs: {{data: src.out}}, queue: {{data: {{policy: {policy}}}}}}}
  snk:  {{op: test.null, inputs: {{in: op.out}}, config: {{write: true}}}}
""")
    ended = pipe.run(graph)
    assert ended.code == 0, ended.stderr
    assert ended.ids("snk") == []
    assert ended.report["frames"] == 0


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    ("config", "least"),
    [("duplicates: 0.3", 8), ("disorder_ms: 250, max_disorder_ms: 0", 8)],
    ids=["a stamp twice", "later than declared"],
)
@pytest.mark.parametrize("args", [[], ["--place", "inline"]], ids=["processes", "inline"])
def test_stale_frames_are_named(pipe, config, least, args):
    """A repeated stamp, or a stamp below the stream's bound."""
    graph = pipe.graph(f"""
  src:  {{driver: test.jitter, config: {{frames: 60, seed: 4, {config}}}}}
  op:   {{op: test.fault, inputs: {{data: src.out}}}}
  snk:  {{op: test.null, inputs: {{in: op.out}}, config: {{write: true}}}}
""")
    ended = pipe.run(graph, *args)
    assert ended.code == 0, ended.stderr
    edge = ended.report["edges"]["src.out->op.data"]
    check_account(ended, graph, range(edge["produced"]))
    assert set(edge["dropped"]) == {"stale"}
    assert edge["dropped"]["stale"] >= least


def test_disorder_as_declared_loses_nothing(pipe):
    graph = pipe.graph("""
  src:  {driver: test.jitter, config: {frames: 60, seed: 4, disorder_ms: 250}}
  snk:  {op: test.null, inputs: {in: src.out}, config: {write: true}}
""")
    ended = pipe.run(graph)
    assert ended.code == 0, ended.stderr
    assert ended.ids("snk") == list(range(60))
