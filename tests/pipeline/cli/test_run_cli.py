"""`pipe run`, option by option."""

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pipe_runs import ROOT, check_account, check_balance, processes

CHAIN = """
  src: {driver: test.counter, config: {frames: 50, rate_hz: 100}}
  op:  {op: test.fault, inputs: {data: src.out}}
  snk: {op: test.null, inputs: {in: op.out}, config: {write: true}}
"""
SAYS = CHAIN.replace(
    "{op: test.null, inputs: {in: op.out}, config: {write: true}}", "{op: 'pipe_nodes:Says', inputs: {data: op.out}}"
)
TWO = """
  a:   {driver: test.counter, config: {frames: 50, rate_hz: 10}}
  b:   {driver: test.counter, config: {frames: 200, rate_hz: 20}}
  sa:  {op: test.null, inputs: {in: a.out}, config: {write: true}}
  sb:  {op: test.null, inputs: {in: b.out}, config: {write: true}}
"""


@pytest.mark.quick(3)
@pytest.mark.parametrize("args", [[], ["--place", "inline"]], ids=["processes", "inline"])
@pytest.mark.parametrize("frames", [0, 7, 99])
def test_frames(pipe, frames, args):
    ended = pipe.run(pipe.graph(CHAIN), "--frames", str(frames), *args)
    assert ended.code == 0, ended.stderr
    assert ended.ids("snk") == list(range(min(frames, 50)))
    assert ended.report["frames"] == min(frames, 50)
    check_balance(ended)


@pytest.mark.parametrize("args", [[], ["--place", "inline"]], ids=["processes", "inline"])
def test_frames_ends_the_others_at_the_last_stamp(pipe, args):
    """10 frames of `a` end at 1.9 s; `b` has 19 frames up to then."""
    ended = pipe.run(pipe.graph(TWO), "--frames", "10", *args)
    assert ended.code == 0, ended.stderr
    assert ended.ids("sa") == list(range(10))
    assert ended.ids("sb") == list(range(19))


@pytest.mark.parametrize("args", [[], ["--place", "inline"]], ids=["processes", "inline"])
def test_duration(pipe, args):
    graph = pipe.graph(CHAIN.replace("frames: 50", "frames: null"))
    ended = pipe.run(graph, "--rate", "1.0", "--duration", "0.5", *args)
    assert (ended.code, ended.report["exit"]) == (0, "completed"), ended.stderr
    ids = ended.ids("snk")
    assert ids == list(range(len(ids)))
    assert 5 <= len(ids) <= 100, "half a second at 100 Hz, on a busy machine"
    check_account(ended, graph, range(len(ids)))


def test_rate_paces(pipe):
    began = time.monotonic()
    ended = pipe.run(pipe.graph(CHAIN), "--rate", "0.5")
    assert time.monotonic() - began >= 49 / 50
    assert ended.ids("snk") == list(range(50))


def test_rate_step_without_a_terminal_runs_through(pipe):
    ended = pipe.run(pipe.graph(CHAIN.replace("frames: 50", "frames: 10")), "--rate", "step")
    assert ended.code == 0, ended.stderr
    assert ended.ids("snk") == list(range(10))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--rate", "fast"], "argument --rate: needs a number above 0, max or step, got fast"),
        (["--rate", "0"], "argument --rate: needs a number above 0, max or step, got 0"),
        (["--frames", "-1"], "argument --frames: needs 0 or more, got -1"),
        (["--frames", "9" * 5000], "argument --frames: invalid count value: '" + "9" * 5000 + "'"),
        (["--duration", "nan"], "argument --duration: needs more than 0 seconds, got nan"),
        (["--duration", "0"], "argument --duration: needs more than 0 seconds, got 0"),
    ],
)
def test_wrong_options(pipe, args, message):
    ended = pipe.refused("run", str(pipe.graph(CHAIN)), *args)
    assert ended.code == 2
    assert ended.stderr.splitlines()[-1] == f"pipe run: error: {message}"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["--inject", "op:somewhere"],
            "--inject op:somewhere: needs a fault (beam-loss, blackout, delay, disconnect, drop, fog, freeze, glare, jitter, "
            "noise, rain, salt-and-pepper, sector-loss, shift, whiteout), got somewhere; pipe run also takes a step at which the "
            "process kills itself: allocated, written, committed, recorded, sent, rung, received, processing, processed, "
            "released, reading",
        ),
        (
            ["--inject", "op:sent@2", "--inject", "nobody:sent"],
            "--inject nobody:sent: needs a node of the graph (src, op, snk), got nobody",
        ),
        (
            ["--only", "op"],
            "--only and --frame: need each other; e.g. --only tracker --frame out/demo/poison/tracker-world-17.npz",
        ),
        (["--only", "src", "--frame", "x.npz"], "--only src: needs an operator of the graph (op, snk)"),
        (["--frames", str(10**30)], f"--frames: needs 0 .. 9.0072e+15, got {10**30}"),
        (["--duration", "inf"], "--duration: needs 0 .. 1e+09, got inf"),
        (["--rate", "1e-300"], "--rate: needs 1e-06 .. 1e+06, got 1e-300"),
        (["--set", "op.config.knd=raise"], "--set op.config.knd=raise: op.config.knd: unknown key; did you mean kind?"),
        (["--set", "oo.config.kind=raise"], "--set oo.config.kind=raise: no node oo; known: op, snk, src"),
    ],
)
def test_wrong_values(pipe, args, message):
    out = pipe.folder / "out"
    ended = pipe.refused("run", str(pipe.graph(CHAIN)), "--out", str(out), *args)
    assert (ended.code, ended.stderr) == (2, f"error: {message}\n")
    assert not out.exists()


# -- the folder of results ------------------------------------------------------------------------------------------------


def test_a_folder_with_results_is_refused_and_kept(pipe):
    graph = pipe.graph(CHAIN)
    first = pipe.run(graph)
    kept = {p: p.read_bytes() for p in first.out.rglob("*") if p.is_file()}
    again = pipe.run(graph, "--frames", "3", out=first.out)
    assert (again.code, again.stderr) == (
        2,
        f"error: {first.out}: needs a folder without results, got snk, logs, report.json, run.html; "
        "use --overwrite or another --out\n",
    )
    assert {p: p.read_bytes() for p in first.out.rglob("*") if p.is_file()} == kept


def test_overwrite_takes_this_graphs_files_only(pipe):
    graph = pipe.graph(CHAIN)
    first = pipe.run(graph)
    (first.out / "notes.txt").write_text("mine")
    (first.out / "snk" / "own.txt").write_text("mine, too")
    again = pipe.run(graph, "--frames", "3", "--overwrite", out=first.out)
    assert again.code == 0, again.stderr
    assert again.ids("snk") == [0, 1, 2]
    assert (first.out / "notes.txt").read_text() == "mine"
    assert (first.out / "snk" / "own.txt").read_text() == "mine, too"


def test_report_and_summary(pipe):
    path = pipe.folder / "deep" / "r.json"
    ended = pipe.run(pipe.graph(CHAIN), "--report", str(path))
    report = json.loads(path.read_text())
    assert report == ended.report
    assert set(report) == {
        "graph",
        "run",
        "exit",
        "wall_s",
        "frames",
        "comparable",
        "nodes",
        "edges",
        "quality",
        "injected",
        "set",
        "board",
        "sinks",
        "digest",
    }
    assert (report["graph"], report["exit"], report["frames"], report["comparable"]) == ("g1", "completed", 50, True)
    assert set(report["nodes"]) == {"src", "op", "snk"}
    assert set(report["nodes"]["op"]) == {"in", "out", "errors", "restarts", "restart_ms", "compute_ms", "cpu_s", "rss_mb"}
    assert (report["nodes"]["op"]["in"], report["nodes"]["op"]["out"]) == (50, 50)
    assert set(report["edges"]) == {"src.out->op.data", "op.out->snk.in"}
    assert set(report["edges"]["op.out->snk.in"]) == {
        "produced",
        "delivered",
        "dropped",
        "in_flight",
        "bytes",
        "copied_bytes",
        "hop_us",
    }
    assert set(report["edges"]["op.out->snk.in"]["hop_us"]) == {"p50", "p95", "p99"}
    assert set(report["sinks"]) == {"snk"} and set(report["sinks"]["snk"]["latency_ms"]) == {"p50", "p95", "p99", "p999"}
    assert len(report["digest"]["snk"]) == 64
    lines = ended.stdout.splitlines()
    assert lines[0] == "g1: 3 nodes in 3 processes, 0 MB of frames"
    assert lines[-3].startswith("g1: completed, 50 frames in ") and lines[-3].endswith(", dropped: none")
    assert lines[-2].startswith("  snk: 50 frames, latency p50 ") and lines[-2].endswith(
        f", digest {report['digest']['snk'][:16]}"
    )
    assert lines[-1] == f"  results in {ended.out}"


def test_quiet(pipe):
    ended = pipe.run(pipe.graph(CHAIN), "--quiet", "--rate", "0.2", "--frames", "12")
    assert len(ended.stdout.splitlines()) == 3, "the summary only"


def test_on_a_terminal_there_is_one_table(pipe):
    """Output of nodes goes to their logs and never breaks the table."""
    graph = pipe.graph(SAYS)
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run", str(graph), "--rate", "1.0", "--out", str(pipe.folder / "o")],
        stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal, cwd=ROOT,
        env={**os.environ, "COLUMNS": "150", "TERM": "xterm", "PYTHONPATH": str(ROOT / "tests")},
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    try:
        while chunk := os.read(controller, 65536):
            shown += chunk
    except OSError:
        pass  # the other side is gone
    os.close(controller)
    assert process.wait(10) == 0
    text = shown.decode()
    assert "50/50 frames" in text and "p50 ms" in text and "latency p50 / p99 ms" in text
    for node in ("src", "op", "snk"):
        assert f" {node} " in text
    assert "snk: 50 [frames] in all" in text


@pytest.mark.quick(1)
@pytest.mark.parametrize("place", [(), ("--place", "inline")])
def test_what_a_node_says_of_itself(pipe, place):
    """New statuses are printed with the plain lines, the last one in the summary, with --quiet too, and it is in the report."""
    graph = pipe.graph(SAYS)
    ended = pipe.run(graph, "--rate", "0.06", "--frames", "20", *place)  # 3.3 s: one plain line on the way
    said = [line for line in ended.stdout.splitlines() if "[frames]" in line]
    assert len(said) >= 2
    assert said[0].startswith("  snk: ") and said[0].endswith(" [frames] so far")
    assert said[-1] == "  snk: 20 [frames] in all"
    assert ended.report["nodes"]["snk"]["status"] == "20 [frames] in all" and "status" not in ended.report["nodes"]["src"]
    quiet = pipe.run(graph, "--quiet", "--frames", "5", *place).stdout
    assert [line for line in quiet.splitlines() if "[frames]" in line] == ["  snk: 5 [frames] in all"]


# -- the frame that failed ------------------------------------------------------------------------------------------------


def test_a_frame_that_failed_can_be_run_alone(pipe):
    graph = pipe.graph(CHAIN.replace("inputs: {data: src.out}", "inputs: {data: src.out}, config: {kind: raise, at: 7}"))
    ended = pipe.run(graph)
    assert (ended.code, ended.stderr) == (1, "error: op: frame src:7 (000007): ValueError: op: raised on purpose\n")
    saved = ended.out / "poison" / "op-src-7.npz"
    again = pipe.run(graph, "--only", "op", "--frame", str(saved))
    assert again.code == 1
    assert again.stderr.rstrip().splitlines()[-1].endswith("ValueError: op: raised on purpose")
    mended = pipe.run(graph, "--only", "op", "--frame", str(saved), "--set", "op.config.kind=none")
    assert (mended.code, mended.stdout) == (0, "[7]\n"), mended.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "{f}: needs a frame saved in DIR/poison, got FileNotFoundError: [Errno 2] No such file or directory: '{f}'"),
        (b"junk", None),
    ],
)
def test_a_file_that_is_no_frame(pipe, content, message):
    file = pipe.folder / "x.npz"
    if content is not None:
        file.write_bytes(content)
    ended = pipe.run(pipe.graph(CHAIN), "--only", "op", "--frame", str(file))
    assert ended.code == 1
    assert ended.stderr.startswith(f"error: {file}: needs a frame saved in DIR/poison, got ")
    assert ended.stderr.count("\n") == 1
    if message:
        assert ended.stderr == f"error: {message.replace('{f}', str(file))}\n"


def test_verify_frames(pipe):
    ended = pipe.run(pipe.graph(CHAIN), "--verify-frames")
    assert ended.code == 0, ended.stderr
    assert ended.ids("snk") == list(range(50))


def test_a_runtime_folder_too_long_for_sockets(pipe):
    folder = pipe.folder / ("x" * 100)
    folder.mkdir()
    ended = pipe.run(pipe.graph(CHAIN), env={"XDG_RUNTIME_DIR": str(folder)})
    assert ended.code == 1
    assert ended.stderr.startswith(f"error: socket {folder}/pipe/g1-")
    assert ended.stderr.endswith("; set XDG_RUNTIME_DIR to a shorter folder\n")
    assert [p.name for p in (folder / "pipe").iterdir() if p.is_dir()] == []


# -- idle -----------------------------------------------------------------------------------------------------------------


def cpu_s(pids):
    """User and system time of living processes."""
    total = 0.0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def test_an_idle_graph_uses_no_cpu(pipe):
    """One frame a second through three nodes: less than 2 % of one core, all processes together."""
    graph = pipe.graph(CHAIN.replace("frames: 50, rate_hz: 100}", "frames: null, rate_hz: 1}, live: true"))
    running = pipe.start(graph)
    running.wait_lines("snk", 2)
    pids = [running.pid, *running.children()]
    assert len(pids) == 5
    before, began = cpu_s(pids), time.monotonic()
    time.sleep(5)
    share = (cpu_s(pids) - before) / (time.monotonic() - began)
    running.signal(2)
    assert running.end().code == 130
    assert share < 0.02, f"{share:.1%}"
    assert not [pid for pid, _, parent in processes() if parent == running.pid]


# -- bench ----------------------------------------------------------------------------------------------------------------


def test_set_is_for_benches_that_run_a_graph_of_operators(pipe):
    ended = pipe.pipe("bench", "hop", "--set", "world.config.drives=1")
    assert (ended.code, ended.stderr) == (2, "error: --set: needs a bench that runs a graph of operators (detect), got hop\n")


@pytest.mark.parametrize(
    ("text", "found"),
    [("page", ("page", 0)), ("page:8080", ("page", 8080)), ("foxglove", ("foxglove", 0))],
)
def test_who_looks_on(text, found):
    from pipeline.cli.run import view

    assert view(text) == found


@pytest.mark.parametrize("text", ["demo", "page:", "page:0", "page:65536", "page:x", "page:-1", "foxglove:1", ""])
def test_who_cannot_look_on(pipe, text):
    ended = pipe.refused("run", "demo", "--view", text)
    assert ended.code == 2 and "--view" in ended.stderr
    assert f"needs page, page:PORT or foxglove, got {text}; the graph comes before --view" in ended.stderr
