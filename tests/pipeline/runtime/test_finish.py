"""The end of a run comes in any case: report, named losses, exit code. What is around the run may fail; so may what is in it."""

import errno
import json
import os
import signal
import subprocess
import time

import msgpack
import pytest
from pipe_runs import check_account, check_balance, wait_for

import pipeline
from pipeline.runtime import children, logs
from pipeline.runtime.observer import Guarded, Observer
from pipeline.runtime.spawn import Spawner

GRAPH = """
  src: {driver: test.counter, config: {frames: 40, rate_hz: 100}}
  op:  {op: test.fault, inputs: {data: src.out}}
  snk: {op: test.null, inputs: {in: op.out}, config: {write: true}}
"""
WAYS = {"processes": [], "inline": ["--place", "inline"]}


def shell(command):
    return {"prefix": ["bash", "-o", "pipefail", "-c", command, "bash"]}


# ---- standard streams


@pytest.mark.quick(3)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "command",
    ['"$@" 0<&-', '"$@" >&-', '"$@" 2>&-', '"$@" 0<&- >&- 2>&-', '"$@" >/dev/full', '"$@" >/dev/full 2>&1', '"$@" | head -n 1'],
)
def test_streams_that_are_closed_or_full(pipe, way, command):
    graph = pipe.graph(GRAPH)
    ended = pipe.run(graph, "--rate", "1", *WAYS[way], **shell(command))
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.report["exit"] == "completed" and ended.ids("snk") == list(range(40))
    check_account(ended, graph, range(40))


@pytest.mark.slow
def test_a_full_stream_does_not_hide_an_error(pipe):
    graph = pipe.graph(GRAPH.replace("{data: src.out}", "{data: src.out}, config: {kind: raise, at: 5}"))
    ended = pipe.run(graph, **shell('"$@" >/dev/full'))
    assert (ended.code, ended.stderr) == (1, "error: op: frame src:5 (000005): ValueError: op: raised on purpose\n")


def test_control_characters_of_a_status_do_not_reach_the_terminal(pipe):
    graph = pipe.graph("""
  src: {driver: test.counter, config: {frames: 3}}
  snk: {op: "life_nodes:Talks", inputs: {data: src.out}}
""")
    for way in WAYS.values():
        ended = pipe.run(graph, *way)
        assert (ended.code, ended.stderr) == (0, "")
        assert "  snk: red \\x1b[31m, half \\udc80\n" in ended.stdout and "\x1b" not in ended.stdout


class Broken(Observer):
    """Fails in every call."""

    def start(self):
        raise BrokenPipeError

    started = update = event = stop = lambda self, *_: Broken.start(self)


def test_a_display_that_fails_ends_the_showing(tmp_path, monkeypatch):
    shown = Guarded(Broken())
    for call in (shown.start, shown.stop, lambda: shown.started({}), lambda: shown.update({}), lambda: shown.event("x")):
        call()
    seen = []
    other = Observer()
    other.update = seen.append
    for broken_first in (Guarded(Broken(), other), Guarded(other, Broken())):
        broken_first.update({"a": 1})
        broken_first.update({"a": 2})
    assert seen == [{"a": 1}, {"a": 2}] * 2, "the other observers go on"
    monkeypatch.setattr("pipeline.api.Display", lambda *_: Broken())
    assert pipeline.run(graph_file(tmp_path), out=tmp_path / "out").exit == "completed"


# ---- processes


def graph_file(folder, text=GRAPH):
    path = folder / "g.yaml"
    path.write_text("version: 1\nnodes:\n" + text)
    return path


def saved(folder):
    return json.loads((folder / "out" / "report.json").read_text())


@pytest.mark.quick(1)
@pytest.mark.parametrize("which", ["src", "snk", "the guard of the run"])
def test_no_process_can_be_started(tmp_path, monkeypatch, which):
    def spawn(self, num_threads, command, *args):
        if command.argv[-1] == which:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return real_spawn(self, num_threads, command, *args)

    def popen(command, *args, **kwargs):
        if which == "the guard of the run" and "-I" in command:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return real_popen(command, *args, **kwargs)

    real_spawn, real_popen = Spawner.spawn, subprocess.Popen
    monkeypatch.setattr(Spawner, "spawn", spawn)
    monkeypatch.setattr("subprocess.Popen", popen)
    outcome = pipeline.run(graph_file(tmp_path), out=tmp_path / "out")
    assert (outcome.exit, outcome.code) == ("failed", 1) and saved(tmp_path)["exit"] == "failed"
    why = "Resource temporarily unavailable; are processes, memory or open files limited (ulimit -a)?"
    assert outcome.errors == [f"{which}: its process cannot be started: {why}"]


def test_no_successor_can_be_started(tmp_path, monkeypatch):
    """The others close their nodes and exit; the frames are named."""

    def spawn(self, child):
        if child.epoch:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        real(self, child)

    real = children.Children._spawn
    monkeypatch.setattr(children.Children, "_spawn", spawn)
    graph = graph_file(tmp_path, GRAPH.replace("{data: src.out}", "{data: src.out}, config: {kind: exit, at: 5, once: true}"))
    outcome = pipeline.run(graph, out=tmp_path / "out")
    assert outcome.code == 1 and "op: its process cannot be started: Cannot allocate memory" in outcome.errors[0]
    assert saved(tmp_path)["edges"]["src.out->op.data"]["in_flight"] == 0


def test_too_few_open_files(pipe):
    ended = pipe.run(pipe.graph(GRAPH), **shell('ulimit -n 16; "$@"'))
    assert ended.code in (1, 2)
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ") and "ulimit" in line


# ---- signals of the program that runs the graph


def test_signals_of_the_program_are_its_own(tmp_path):
    came = []
    numbers = (signal.SIGALRM, signal.SIGCHLD, signal.SIGWINCH, signal.SIGUSR1)
    before = {n: signal.signal(n, lambda number, _: came.append(number)) for n in numbers}
    read, write = os.pipe2(os.O_NONBLOCK)
    wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        outcome = pipeline.run(graph_file(tmp_path), out=tmp_path / "out", rate=1.0)
        for number in numbers:
            os.kill(os.getpid(), number)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert signal.set_wakeup_fd(wakeup) == write
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(read)
        os.close(write)
    assert (outcome.exit, outcome.code, outcome.errors) == ("completed", 0, [])
    assert set(came) == set(numbers) and came.count(signal.SIGALRM) > 5


@pytest.mark.quick(4)
@pytest.mark.parametrize("after_s", [0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.5])
@pytest.mark.parametrize("place", [None, "inline"])
def test_a_handler_of_the_program_that_raises(tmp_path, place, after_s):
    """The run is finished first, then the exception passes through; also while its processes start."""

    def late(*_):
        raise TimeoutError("enough")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, after_s)
    try:
        with pytest.raises(TimeoutError, match="enough"):
            pipeline.run(graph_file(tmp_path), {"src.config.frames": None}, out=tmp_path / "out", rate=1.0, place=place)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    if after_s < 1 and not (tmp_path / "out" / "report.json").exists():
        return  # the graph was still being read
    report = saved(tmp_path)
    assert report["exit"] == "failed" and all(e["in_flight"] == 0 for e in report["edges"].values())


@pytest.mark.quick(2)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_signal_in_each_placement(pipe, way, number):
    graph = pipe.graph(GRAPH.replace("frames: 40", "frames: null"))
    running = pipe.start(graph, "--rate", "1", *WAYS[way])
    running.wait_lines("snk", 5)
    running.signal(number)
    ended = running.end()
    assert (ended.code, ended.report["exit"], ended.stderr) == (128 + number, "stopped", "")
    check_account(ended, graph, range(ended.report["nodes"]["src"]["out"]))


@pytest.mark.slow
def test_nohup(pipe):
    graph = pipe.graph(GRAPH.replace("frames: 40", "frames: 100"))
    running = pipe.start(graph, "--rate", "1", prefix=["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"])
    running.wait_lines("snk", 5)
    running.signal(signal.SIGHUP)
    assert running.end().code == 0


@pytest.mark.quick(1)
@pytest.mark.parametrize("kind", ["SIGTERM", "exit0"])
def test_a_process_that_ends_unasked_is_restarted(pipe, kind):
    text = GRAPH.replace("frames: 40", "frames: 150")
    graph = pipe.graph(text if kind == "SIGTERM" else text.replace("test.fault", '"life_nodes:HardExit"'))
    running = pipe.start(graph, "--rate", "1")
    if kind == "SIGTERM":
        running.wait_lines("snk", 5)
        running.kill("op", signal.SIGTERM)
    ended = running.end()
    how = "killed by SIGTERM" if kind == "SIGTERM" else "exited with code 0"
    assert (ended.code, ended.stderr) == (0, f"op: {how}; restart 1 of 5 in 0.2 s\n")
    check_account(ended, graph, range(150))


# ---- messages


def packed(name, **fields):
    return msgpack.packb([name, fields])


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x00\xff" * 40, "op: control message: needs msgpack"),
        (b"", "op: control message: needs msgpack, got 0 bytes"),
        (packed("NodeDone", node="snk", digest=None), "op: control message: needs a node of this process, got 'snk'"),
        (packed("Failed", node="\x1b[31m", text=""), "op: control message: needs a node of this process, got '\\x1b[31m'"),
        (packed("Failed", node="op", text="red \x1b[31m\n" * 3), "op: red \\x1b[31m"),
        (packed("Exit"), "op: control message: needs one of Hello"),
    ],
)
def test_junk_on_the_control_socket(pipe, data, text):
    graph = pipe.graph(
        GRAPH.replace(
            "test.fault, inputs: {data: src.out}",
            f'"life_nodes:Junk", inputs: {{data: src.out}}, config: {{hex: "{data.hex()}"}}',
        )
    )
    ended = pipe.run(graph, "--rate", "1")
    assert (ended.code, ended.report["exit"]) == (1, "failed")
    assert ended.stderr.splitlines()[0].startswith(f"error: {text}") and "\x1b" not in ended.stderr
    check_balance(ended)


# ---- folders


@pytest.mark.quick(1)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what", ["out", "contents"])
def test_results_that_are_removed_are_missed(pipe, way, what):
    graph = pipe.graph(
        GRAPH.replace("test.fault", '"life_nodes:Removes"').replace(
            "{data: src.out}", f"{{data: src.out}}, config: {{what: {what}}}"
        )
    )
    ended = pipe.run(graph, *WAYS[way])
    assert ended.code == 1
    text = "was removed or replaced while the run wrote to it; its results are not complete"
    assert f"error: {ended.out}: {text}\n" in ended.stderr
    assert ended.report["exit"] == "failed"


def test_the_folder_of_the_run_is_cleaned_up(pipe, runtime):
    """By a cleaner of /tmp, say. The next death is survived as any other."""
    graph = pipe.graph(
        GRAPH.replace("test.fault", '"life_nodes:Removes"').replace(
            "{data: src.out}", "{data: src.out}, config: {what: run, dies: true}"
        )
    )
    ended = pipe.run(graph, "--rate", "1")
    assert (ended.code, ended.stderr) == (0, "op: exited with code 7; restart 1 of 5 in 0.2 s\n")
    check_account(ended, graph, range(40))
    wait_for(lambda: [p.name for p in (runtime / "pipe").iterdir()] == [".gate"], 2, "nothing left")


def test_a_log_is_capped(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "MAX_LOG", 1000)
    monkeypatch.setattr(logs, "KEPT_LOG", 400)
    path = tmp_path / "a.log"
    logs.cap(path)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for size in (1000, 1, 2000, 500):
        os.write(fd, b"x" * size)
        logs.cap(path)
    os.close(fd)
    text = path.read_text()
    assert 900 < len(text) < 1100 and text.startswith("x" * 400 + "\n... 0 MB of this log") and text.endswith("x" * 500)


@pytest.mark.slow
def test_seconds_of_the_stop(pipe):
    """Nothing waits for a source that is inside read(): see test_ending.py for what may take longer."""
    running = pipe.start(
        pipe.graph('  src: {driver: "life_nodes:Blocks"}\n  snk: {op: test.null, inputs: {in: src.out}, config: {write: true}}\n')
    )
    running.wait_lines("snk", 3)
    at = running.signal(signal.SIGTERM)
    assert running.end().code == 143 and time.monotonic() - at < 1.5
