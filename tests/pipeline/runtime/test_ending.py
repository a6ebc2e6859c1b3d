"""No run outlives --duration or a signal by more than 0.5 s plus close_s; what is cut short is named."""

import signal
import time

import pytest
from pipe_runs import check_account, check_balance

BUSY_S = 4.0
"""The machine is busy with other things; on an idle one 0.1 s would do."""
WAYS = {"processes": [], "group": ["--set", "src.place=g", "--set", "snk.place=g"], "inline": ["--place", "inline"]}
CLOSES = """
  src: {driver: test.counter, config: {frames: null, rate_hz: 100}}
  snk: {op: "life_nodes:Closes", inputs: {data: src.out}, config: {s: SECONDS}CLOSE_S}
"""
BLOCKS = """
  src: {driver: "life_nodes:Blocks", config: {gil: GIL}}
  snk: {op: "life_nodes:Closes", inputs: {data: src.out}, config: {s: 0.5}}
"""
OVERRUN = "snk: close() took more than close_s = {} s after the end of the run; cut short; raise close_s: of snk?"


def closes(pipe, seconds, close_s=""):
    return pipe.graph(CLOSES.replace("SECONDS", str(seconds)).replace("CLOSE_S", close_s and f", close_s: {close_s}"))


def stopped(pipe, graph, number, *args):
    """(ended, seconds from the signal to the end)."""
    running = pipe.start(graph, "--rate", "1", *args)
    running.wait_lines("snk", 5)
    at = running.signal(number)
    ended = running.end()
    took = time.monotonic() - at
    assert (ended.code, ended.report["exit"]) == (128 + number, "stopped"), ended.stderr
    check_balance(ended)
    return ended, took


@pytest.mark.quick(1)
@pytest.mark.parametrize("way", WAYS)
def test_close_may_take_close_s(pipe, way):
    ended, took = stopped(pipe, closes(pipe, 1.0), signal.SIGINT, *WAYS[way])
    assert ended.stderr == "" and (ended.out / "snk" / "closed").exists()
    assert took > 1.0


@pytest.mark.quick(2)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("number", "close_s"), [(signal.SIGINT, ""), (signal.SIGTERM, "0.3"), (signal.SIGHUP, "0.3")])
def test_an_overrun_is_named(pipe, way, number, close_s):
    ended, took = stopped(pipe, closes(pipe, 300, close_s), number, *WAYS[way])
    limit = float(close_s or 1.5)
    assert ended.stderr == f"error: {OVERRUN.format(f'{limit:g}')}\n"
    assert not (ended.out / "snk" / "closed").exists()
    assert limit <= took <= limit + 0.5 + BUSY_S


@pytest.mark.slow
def test_close_s_can_be_long(pipe):
    ended, took = stopped(pipe, closes(pipe, 3.0, "5"), signal.SIGINT)
    assert ended.stderr == "" and (ended.out / "snk" / "closed").exists() and took >= 3.0


@pytest.mark.slow
def test_nothing_hurries_a_close_at_the_natural_end(pipe):
    graph = closes(pipe, 2.5, "0.1")
    for way in ([], ["--place", "inline"]):
        ended = pipe.run(graph, "--frames", "5", *way)
        assert (ended.code, ended.stderr) == (0, "") and (ended.out / "snk" / "closed").exists()


@pytest.mark.quick(1)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("gil", ["false", "true"])
def test_a_read_that_blocks_does_not_outlive_the_duration(pipe, way, gil):
    if (way, gil) == ("inline", "true"):
        return  # one thread, inside a C call that no signal ends
    graph = pipe.graph(BLOCKS.replace("GIL", gil))
    ended = pipe.run(graph, "--duration", "1", *WAYS[way])
    assert ended.wall_s < 30, "it blocks for 600 s"
    check_account(ended, _written(pipe, graph), range(3))
    if gil == "false":
        assert (ended.code, ended.stderr, ended.report["exit"]) == (0, "", "completed")
        assert (ended.out / "snk" / "closed").exists()
    elif way == "processes":
        text = "src: read() took more than close_s = 1.5 s after the end of the run; cut short; raise close_s: of src?"
        assert (ended.code, ended.stderr) == (1, f"error: {text}\n")


@pytest.mark.quick(1)
@pytest.mark.parametrize("way", ["inline", "processes"])
def test_a_thread_of_a_node_does_not_keep_the_run(pipe, way):
    graph = pipe.graph("""
  src: {driver: test.counter, config: {frames: 5}}
  op:  {op: "life_nodes:Thread", inputs: {data: src.out}}
  snk: {op: test.null, inputs: {in: op.out}, config: {write: true}}
""")
    ended = pipe.run(graph, *WAYS[way][:2])
    assert (ended.code, ended.stderr, ended.ids("snk")) == (0, "", list(range(5)))


def _written(pipe, graph):
    """The graph as the account reads it: its sink writes as test.null does."""
    return pipe.graph(graph.read_text().replace('"life_nodes:Closes"', "test.null").replace("s: 0.5", "write: true"))


@pytest.mark.quick(1)
@pytest.mark.parametrize("way", WAYS)
def test_a_slow_reader_does_not_outlive_the_duration(pipe, way):
    graph = pipe.graph("""
  src:  {driver: test.counter, config: {frames: null}}
  slow: {op: test.fault, inputs: {data: src.out}, config: {kind: slow, slow_ms: 400}}
  snk:  {op: test.null, inputs: {in: slow.out}, config: {write: true}}
""")
    ended = pipe.run(graph, "--duration", "1", *WAYS[way][:4])
    assert (ended.code, ended.report["exit"], ended.stderr) == (0, "completed", "")
    assert ended.wall_s < 30
    check_account(ended, graph, range(ended.report["nodes"]["src"]["out"]))


@pytest.mark.slow
def test_a_source_that_blocks_after_the_end_of_the_first_one(pipe):
    """--frames ends the first source; the other one is waited for as long as hang_s allows one call."""
    graph = pipe.graph("""
  src: {driver: test.counter, config: {frames: null}}
  two: {driver: "life_nodes:Blocks", hang_s: 0.5}
  snk: {op: test.null, inputs: {in: src.out}, config: {write: true}}
  sn2: {op: test.null, inputs: {in: two.out}, config: {write: true}}
""")
    ended = pipe.run(graph, "--frames", "5")
    assert ended.code == 1
    assert ended.stderr.splitlines() == [
        "two: in read() for more than hang_s = 0.5 s; killed",
        f"error: two: killed by SIGKILL; given up (the sources have ended); see {ended.out / 'logs' / 'two.log'}",
    ]
    check_balance(ended)
    assert ended.ids("snk") == list(range(5)) and ended.ids("sn2") == list(range(3))
