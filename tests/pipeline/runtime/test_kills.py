"""A process killed at any step: every frame is named, order holds, nothing is left; the account is independent of the engine."""

import json
import os
import signal
import time

import pytest
from pipe_runs import GONE_S, alive, check_account, check_balance, restart_ms, wait_for

from pipeline.runtime.stuck import STUCK_S

CHAIN = """
  src: {driver: test.blob, config: {bytes: 5000, frames: 60, checksum: true}}
  op:  {op: test.pass, inputs: {in: src.out}, config: {max_mb: 0.1}}
  snk: {op: test.null, inputs: {in: op.out}, config: {write: true}}
  tap: {op: test.null, inputs: {in: src.out}, config: {write: true}}
"""
PACED = """
  src:  {driver: test.counter, config: {frames: 150, rate_hz: 100}}
  left: {op: test.fault, inputs: {data: src.out}}
  join: {op: pipe_nodes:Pair, inputs: {a: left.out, b: src.out}}
  snk:  {op: test.null, inputs: {in: join.out}, config: {write: true}}
  tap:  {op: test.null, inputs: {in: src.out}, config: {write: true}}
"""
SRC_STEPS = ["reading", "allocated", "written", "committed", "recorded", "sent", "rung"]
OP_STEPS = ["received", "processing", "allocated", "written", "processed", "committed", "released", "recorded", "sent", "rung"]
SINK_STEPS = ["received", "processing", "processed", "committed", "released"]


@pytest.mark.quick(5)
@pytest.mark.parametrize(
    ("node", "step"), [("src", s) for s in SRC_STEPS] + [("op", s) for s in OP_STEPS] + [("snk", s) for s in SINK_STEPS]
)
def test_killed_at_each_step(pipe, node, step):
    graph = pipe.graph(CHAIN)
    ended = pipe.run(graph, "--inject", f"{node}:{step}@20")
    assert (ended.code, ended.report["exit"], ended.report["comparable"]) == (0, "completed", False), ended.stderr
    assert {n: v["restarts"] for n, v in ended.report["nodes"].items()} == dict.fromkeys(["src", "op", "snk", "tap"], 0) | {
        node: 1
    }
    check_account(ended, graph, range(60))
    (times,) = ended.report["nodes"][node]["restart_ms"]
    restart_ms(times)
    assert f"{node}: killed by SIGKILL; restart 1 of 5 in 0.2 s" in ended.stderr


@pytest.mark.quick(1)
@pytest.mark.parametrize("node", ["src", "op", "snk"])
def test_killed_at_the_very_first_frame(pipe, node):
    graph = pipe.graph(CHAIN)
    ended = pipe.run(graph, "--inject", f"{node}:{'reading' if node == 'src' else 'processing'}@1")
    assert ended.code == 0, ended.stderr
    check_account(ended, graph, range(60))


def test_killed_at_the_very_last_frame(pipe):
    """All frames are out when the sink dies; the end of the stream must reach its successor."""
    graph = pipe.graph(CHAIN)
    ended = pipe.run(graph, "--inject", "snk:committed@60")
    assert ended.code == 0, ended.stderr
    check_account(ended, graph, range(60))
    assert ended.ids("snk") == list(range(60))


def test_killed_at_the_same_step_of_each_life(pipe):
    """Two nodes die repeatedly, every 20 frames, until the last life has too few frames."""
    graph = pipe.graph(CHAIN.replace("}\n", ", restart: {max: 99, backoff_s: 0}}\n"))
    ended = pipe.run(graph, "--inject", "src:sent@41+", "--inject", "snk:processing@15+")
    assert ended.code == 0, ended.stderr
    assert ended.report["nodes"]["src"]["restarts"] == 2, "two edges: 20 frames and a half per life"
    assert ended.report["nodes"]["snk"]["restarts"] >= 3
    assert ended.report["nodes"]["op"]["restarts"] == ended.report["nodes"]["tap"]["restarts"] == 0
    check_account(ended, graph, range(60))


def test_the_dead_leave_no_sockets(pipe, runtime):
    """While the graph runs: one address per edge and one per process, as before the kill."""
    graph = pipe.graph(PACED.replace("frames: 150", "frames: null"))
    running = pipe.start(graph, "--rate", "1.0")
    running.wait_lines("snk", 20)
    (folder,) = [p for p in (runtime / "pipe").iterdir() if p.is_dir()]
    before = {p.name.partition(".")[0] for p in folder.iterdir()}
    for node in ("left", "src", "join"):
        at = running.lines("snk")
        running.kill(node)
        running.wait_lines("snk", at + 20)
    wait_for(lambda: len(list(folder.iterdir())) == len(before), 5, "the dead's sockets to go")
    assert {p.name.partition(".")[0] for p in folder.iterdir()} == before
    running.signal(signal.SIGTERM)
    assert running.end().code == 143


@pytest.mark.quick(2)
@pytest.mark.parametrize("step", ["reading", "processing", "written", "committed", "sent"])
def test_a_group_dies_as_one(pipe, step):
    graph = pipe.graph("""
  src: {driver: test.blob, config: {bytes: 5000, frames: 60}, place: g}
  op:  {op: test.pass, inputs: {in: src.out}, config: {max_mb: 0.1}, place: g}
  snk: {op: test.null, inputs: {in: op.out}, config: {write: true}}
  tap: {op: test.null, inputs: {in: op.out}, config: {write: true}, place: g}
""")
    ended = pipe.run(graph, "--inject", f"src:{step}@30")
    assert ended.code == 0, ended.stderr
    assert [ended.report["nodes"][n]["restarts"] for n in ("src", "op", "snk", "tap")] == [1, 1, 0, 1]
    check_account(ended, graph, range(60))


@pytest.mark.quick(1)
@pytest.mark.parametrize("node", ["src", "left", "join", "snk", "tap"])
def test_kill_9_mid_run(pipe, node):
    """A join and a fan-out, paced; an external kill without warning."""
    graph = pipe.graph(PACED)
    running = pipe.start(graph, "--rate", "1.0")
    running.wait_lines("snk", 30)
    running.kill(node)
    ended = running.end()
    assert ended.code == 0, ended.stderr
    check_account(ended, graph, range(150))
    # frames flow again: frames of the last third arrive everywhere
    assert ended.ids("snk")[-1] == ended.ids("tap")[-1] == 149


@pytest.mark.quick(1)
@pytest.mark.parametrize("node", ["src", "left", "snk"])
def test_back_within_a_second(pipe, node):
    """The engine's share of a restart, without the node's imports and open(). Best of up to five, as the machine is shared."""
    graph = pipe.graph(PACED)
    took = []
    while len(took) < 5 and (not took or min(took) > 1000):
        running = pipe.start(graph, "--rate", "1.0")
        running.wait_lines("snk", 30)
        running.kill(node)
        (times,) = running.end().report["nodes"][node]["restart_ms"]
        took.append(restart_ms(times))
    assert min(took) <= 1000, took


def test_both_ends_of_an_edge_killed_at_once(pipe):
    graph = pipe.graph(PACED)
    running = pipe.start(graph, "--rate", "1.0")
    running.wait_lines("snk", 30)
    pids = [running.pid_of(n) for n in ("left", "join")]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    ended = running.end()
    assert ended.code == 0, ended.stderr
    check_account(ended, graph, range(150))


@pytest.mark.slow
def test_every_node_killed_one_after_the_other(pipe):
    # Enough frames that the run does not end before the last kill: delayed frames are played at once after a restart.
    graph = pipe.graph(PACED.replace("frames: 150", "frames: 1500"))
    running = pipe.start(graph, "--rate", "1.0")
    for i, node in enumerate(["snk", "src", "join", "left", "tap"]):
        running.wait_lines("tap", 20 + 60 * i)
        running.kill(node)
    ended = running.end()
    assert ended.code == 0, ended.stderr
    assert all(v["restarts"] == 1 for v in ended.report["nodes"].values())
    check_account(ended, graph, range(1500))


def test_killed_again_while_it_starts(pipe):
    """The successor dies before it is ready; the next one continues."""
    graph = pipe.graph(PACED)
    running = pipe.start(graph, "--rate", "1.0")
    running.wait_lines("snk", 30)
    first = running.kill("join")
    second = wait_for(lambda: (pid := running._find("join")) and pid != first and pid, 10, "the successor")
    os.kill(second, signal.SIGKILL)
    ended = running.end()
    assert ended.code == 0, ended.stderr
    assert ended.report["nodes"]["join"]["restarts"] == 2
    check_account(ended, graph, range(150))


def test_live_graph_survives_a_kill(pipe):
    """A live source does not wait for a dead process; replaced frames are named."""
    graph = pipe.graph(PACED.replace("rate_hz: 100}", "rate_hz: 100}, live: true"))
    running = pipe.start(graph)
    running.wait_lines("snk", 20)
    running.kill("left")
    ended = running.end()
    assert ended.code == 0, ended.stderr
    check_account(ended, graph, range(150))
    assert ended.ids("snk")[-1] == 149


def test_supervisor_killed(pipe, runtime):
    graph = pipe.graph(PACED.replace("frames: 150", "frames: null"))
    running = pipe.start(graph, "--rate", "1.0")
    running.wait_lines("snk", 10)
    children = running.children()
    assert len(children) == 6, "four processes, the fork server and the guard"
    at = time.monotonic()
    os.kill(running.pid, signal.SIGKILL)
    wait_for(lambda: not alive(children), GONE_S, "the children's end")
    assert time.monotonic() - at <= GONE_S
    running.end()
    assert [p.name for p in (runtime / "pipe").iterdir() if p.is_dir()], "the folder of the dead lies there until the next run"
    ended = pipe.run(graph, "--rate", "1.0", "--frames", "5", out=running.out.parent / "next")
    assert ended.code == 0, ended.stderr
    assert ended.ids("snk") == [0, 1, 2, 3, 4]
    assert [p.name for p in (runtime / "pipe").iterdir() if p.is_dir()] == []


def test_stopped_reader_loses_nothing_offline(pipe):
    graph = pipe.graph(PACED.replace("frames: 150", "frames: 120"))
    running = pipe.start(graph, "--rate", "1.0")
    running.wait_lines("snk", 20)
    running.kill("join", signal.SIGSTOP)
    time.sleep(0.5)
    running.kill("join", signal.SIGCONT)
    ended = running.end()
    assert ended.code == 0, ended.stderr
    assert ended.ids("snk") == ended.ids("tap") == list(range(120))
    assert ended.drops == []
    assert all(v["restarts"] == 0 for v in ended.report["nodes"].values())


@pytest.mark.slow
def test_stopped_for_long_is_no_deadlock(pipe):
    """Longer than a graph may stand still: all wait for room, but the stopped process may continue."""
    graph = pipe.graph(PACED.replace("frames: 150, rate_hz: 100", "frames: 3000"))
    running = pipe.start(graph)
    running.wait_lines("snk", 20)
    running.kill("join", signal.SIGSTOP)
    time.sleep(STUCK_S + 1.0)
    running.kill("join", signal.SIGCONT)
    ended = running.end()
    assert ended.code == 0, ended.stderr
    assert ended.ids("snk") == ended.ids("tap") == list(range(3000))


def test_sink_continues_its_file(pipe):
    """The lines from before the kill stay, byte for byte, and the new ones follow."""
    graph = pipe.graph(CHAIN)
    running = pipe.start(graph, "--inject", "snk:processed@20")  # the line is written, the frame does not count
    ended = running.end()
    assert ended.code == 0, ended.stderr
    ids = ended.ids("snk")
    assert ids[:19] == list(range(19)) and ids[-1] == 59
    lost = [json.loads(line)["frame"] for line in (ended.out / "snk" / "lost.jsonl").read_text().splitlines()]
    assert sorted(int(f.partition(":")[2]) for f in lost) == sorted(set(range(60)) - set(ids))
    assert "src:19" in lost


# -- giving up ----------------------------------------------------------------------------------------------------------


def test_restart_never(pipe):
    graph = pipe.graph(CHAIN.replace("config: {max_mb: 0.1}", "config: {max_mb: 0.1}, restart: never"))
    ended = pipe.run(graph, "--inject", "op:processing@20")
    assert (ended.code, ended.report["exit"]) == (1, "failed")
    assert ended.stderr == f"error: op: killed by SIGKILL; given up (restart: never); see {ended.out / 'logs' / 'op.log'}\n"
    check_balance(ended)


def test_exit_of_its_own(pipe):
    graph = pipe.graph("""
  src: {driver: test.counter, config: {frames: 30}}
  op:  {op: test.fault, inputs: {data: src.out}, config: {kind: exit, at: 10, once: true}}
  snk: {op: test.null, inputs: {in: op.out}, config: {write: true}}
""")
    ended = pipe.run(graph)
    assert ended.code == 0, ended.stderr
    assert ended.stderr == "op: exited with code 7; restart 1 of 5 in 0.2 s\n"
    check_account(ended, graph, range(30))


def test_more_restarts_than_allowed(pipe):
    graph = pipe.graph("""
  src: {driver: test.counter, config: {frames: 30}}
  op:  {op: test.fault, inputs: {data: src.out}, config: {kind: exit, every: 1, at: 10}, restart: {max: 2, backoff_s: 0.05}}
  snk: {op: test.null, inputs: {in: op.out}, config: {write: true}}
""")
    ended = pipe.run(graph)
    assert (ended.code, ended.report["exit"]) == (1, "failed")
    assert ended.stderr == (
        "op: exited with code 7; restart 1 of 2 in 0.1 s\nop: exited with code 7; restart 2 of 2 in 0.1 s\n"
        f"error: op: exited with code 7; given up (2 restarts within 60 s); see {ended.out / 'logs' / 'op.log'}\n"
    )
    check_balance(ended)
    ids = ended.ids("snk")  # the last frame from op may be lost; then it is named
    assert ids == list(range(len(ids)))
    assert set(ids) | {int(d["frame"].split(":")[1]) for d in ended.drops if d["edge"] == "op.out->snk.in"} == set(range(10))


@pytest.mark.quick(2)
@pytest.mark.parametrize("node", ["src", "op", "snk"])
def test_skip_goes_on_without_a_node(pipe, node):
    """A node given up under `on_error: skip`: its readers get the end of stream, its writers stop waiting, the rest finishes."""
    one = "restart: {max: 0}, on_error: skip"
    graph = pipe.graph(f"""
  src: {{driver: test.counter, config: {{frames: 60}}{", " + one if node == "src" else ""}}}
  op:  {{op: test.fault, inputs: {{data: src.out}}{", " + one if node == "op" else ""}}}
  snk: {{op: test.null, inputs: {{in: op.out}}, config: {{write: true}}{", " + one if node == "snk" else ""}}}
  tap: {{op: test.null, inputs: {{in: src.out}}, config: {{write: true}}}}
""")
    ended = pipe.run(graph, "--inject", f"{node}:{'sent' if node == 'src' else 'processing'}@20")
    assert (ended.code, ended.report["exit"]) == (1, "failed")
    line = f"{node}: killed by SIGKILL; given up (0 restarts within 60 s); see {ended.out / 'logs' / (node + '.log')}"
    assert ended.stderr == f"{line}\nerror: {line}\n"
    check_balance(ended)
    if node == "src":
        check_account(ended, graph, range(ended.report["edges"]["src.out->tap.in"]["produced"]))
    else:
        assert ended.ids("tap") == list(range(60))
        check_account(ended, graph, range(60))


def test_dies_twice_before_it_is_ready(pipe):
    graph = pipe.graph("""
  src: {driver: test.counter, config: {frames: 30}}
  op:  {op: test.fault, inputs: {data: src.out}, config: {kind: exit, in_open: true}}
  snk: {op: test.null, inputs: {in: op.out}}
""")
    ended = pipe.run(graph)
    assert ended.code == 1
    assert ended.stderr.splitlines()[-1] == (
        f"error: op: needs to start, but exited with code 7 twice while starting; see {ended.out / 'logs' / 'op.log'}"
    )
    check_balance(ended)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_random_kills(pipe, seed):
    """Random processes at random times, several times in a run."""
    import random

    rng = random.Random(seed)
    text = PACED.replace("frames: 150", "frames: 1000").replace("rate_hz: 100", "rate_hz: 200")
    graph = pipe.graph(
        text.replace("{driver", "{restart: {max: 100}, driver").replace("{op", "{restart: {max: 100, backoff_s: 0.05}, op")
    )
    running = pipe.start(graph, "--rate", "1.0")
    running.wait_lines("tap", 5)
    for _ in range(10):
        pid = running._find(rng.choice(["src", "left", "join", "snk", "tap"]))
        if pid is not None:  # else it is just being restarted
            os.kill(pid, signal.SIGKILL)
        time.sleep(rng.uniform(0.02, 0.4))
    ended = running.end()
    assert ended.code == 0, ended.stderr
    check_account(ended, graph, range(1000))
