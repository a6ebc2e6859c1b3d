"""Processes come from a fork server, and are as good as new ones."""

import errno
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys

import pytest
from pipe_runs import alive, processes, wait_for, workers

from pipeline.graph import project
from pipeline.runtime import forkserver, prctl, spawn
from pipeline.runtime.spawn import Command, Spawner

GRAPH = """
  src: {driver: test.counter, config: {frames: FRAMES, rate_hz: 50}}
  snk: {op: test.null, inputs: {in: src.out}, config: {write: true}}
"""


def servers(supervisor):
    return [pid for pid, argv, parent in processes() if parent == supervisor and "pipeline.runtime.forkserver" in argv]


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Spawns a process that runs a line of code in the place of `worker.main`; returns what it wrote to its log."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(project, "engine_path", lambda: [str(tmp_path), *sys.path])
    (tmp_path / "stand_in.py").write_text(
        "import sys\nfrom pipeline.runtime import worker\n"
        "worker.main = lambda argv: exec(argv[0], {}) or 7\n"
        "from pipeline.runtime.forkserver import main\n"
    )
    monkeypatch.setattr(spawn, "_MAIN", "stand_in")
    log = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    with Spawner() as spawner:

        def ask(code, fds=(), threads=1):
            process = spawner.spawn(threads, Command([code], "pipe x", list(sys.path), None), log, fds)
            ended = process.wait()
            return ended, (tmp_path / "log").read_text()

        ask.spawner = spawner
        yield ask
    os.close(log)


def test_what_a_process_gets(asked, tmp_path):
    code = (
        "import json, os, sys; from pathlib import Path; print(json.dumps(dict(parent=os.getppid(), session=os.getsid(0) == "
        "os.getpid(), cwd=os.getcwd(), stdin=sys.stdin.read(), argv=sys.argv[1], comm=Path('/proc/self/comm').read_text(), "
        "fds=sorted(map(int, os.listdir('/proc/self/fd')))[:-1], threads=os.environ['OMP_NUM_THREADS'])))"
    )
    (exit_code, cpu_s), said = asked(code, threads=2)
    got = json.loads(said)
    assert exit_code == 7 and 0 <= cpu_s < 5
    assert got == {
        "parent": os.getpid(), "session": True, "cwd": str(tmp_path), "stdin": "", "argv": "pipeline.runtime.worker",
        "comm": "pipe x\n", "fds": [0, 1, 2], "threads": "2",
    }  # fmt: skip


@pytest.mark.parametrize("num", [1, 3, 600])
def test_descriptors_keep_their_numbers(asked, num):
    pairs = [os.pipe() for _ in range(num)]
    writes = [w for _, w in pairs]
    assert asked(f"import os\nfor fd in {writes}: os.write(fd, b'%d' % fd)", writes)[0][0] == 7
    for r, w in pairs:
        assert os.read(r, 32) == b"%d" % w
        os.close(r)
        os.close(w)


def test_descriptors_that_are_in_each_others_way(tmp_path):
    """In a process of its own: it closes all others."""
    code = f"""
import os, sys; sys.path[:] = {sys.path!r}; os.chdir({str(tmp_path)!r})
from pipeline.runtime.forkserver import place
for number in (50, 51, 52, 53):
    os.dup2(os.open(str(number), os.O_CREAT), number)
place([50, 51, 52, 53], [51, 52, 50, 53])
shown = [(fd, os.path.basename(os.readlink(f'/proc/self/fd/{{fd}}'))) for fd in (50, 51, 52, 53)]
print(shown, [fd for fd in range(3, 50) if os.path.exists(f'/proc/self/fd/{{fd}}')])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout == "[(50, '52'), (51, '50'), (52, '51'), (53, '53')] []\n", ran.stderr


def test_random_numbers_differ(asked):
    for _ in range(2):
        said = asked("import numpy, random; print(numpy.random.random(), random.random())")[1]
    first, second = (line.split() for line in said.splitlines())
    assert first[0] != second[0] and first[1] != second[1]


def test_an_exception_is_in_the_log(asked):
    (exit_code, _), said = asked("raise ValueError('no')")
    assert exit_code == 1 and said.endswith("ValueError: no\n")


def test_a_signal(asked):
    assert asked("import os; os.kill(os.getpid(), 9)")[0][0] == -9


def test_the_server_is_killed(asked):
    assert asked("pass")[0][0] == 7
    (server,) = servers(os.getpid())
    os.kill(server, signal.SIGKILL)
    assert asked("pass")[0][0] == 7
    assert servers(os.getpid()) != [server]


def test_a_handler_that_raises_before_the_answer_is_read(asked, monkeypatch):
    """Its exception passes through; the process that nobody knows of ends; the next one is another server's."""
    assert asked("pass")[0][0] == 7
    (server,) = servers(os.getpid())

    def interrupted(self):
        assert select.select([self._socket], [], [], 10)[0], "the answer is there"
        monkeypatch.undo()
        raise TimeoutError("enough")

    before = {pid for pid, _, parent in processes() if parent == os.getpid()}
    monkeypatch.setattr(spawn._Server, "_receive", interrupted)
    with pytest.raises(TimeoutError, match="enough"):
        asked("import time; time.sleep(60)")
    assert not {pid for pid, _, parent in processes() if parent == os.getpid()} - before
    assert not alive([server])


def test_no_server_can_be_started(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with Spawner() as spawner, pytest.raises(FileNotFoundError):
        spawner.spawn(1, Command([], "x", [], None), 2, [])


def test_a_server_that_ends_at_once(monkeypatch):
    monkeypatch.setattr(spawn, "_MAIN", "json")
    with Spawner() as spawner, pytest.raises(OSError, match="fork server"):
        spawner.spawn(1, Command([], "x", [], None), 2, [])


@pytest.mark.parametrize("which", [1, 2])
def test_a_fork_that_fails(asked, monkeypatch, tmp_path, which):
    """The first child, or the second one."""
    (tmp_path / "stand_in.py").write_text(
        f"import errno, os\nreal, forks, server = os.fork, [], os.getpid()\n"
        f"def fork():\n    if (os.getpid() == server) == ({which} == 1): raise OSError(errno.EAGAIN, 'no')\n    return real()\n"
        "os.fork = fork\nfrom pipeline.runtime.forkserver import main\n"
    )
    with pytest.raises(BlockingIOError) as raised:
        asked("pass")
    assert raised.value.errno == errno.EAGAIN


def test_a_request_that_breaks_off():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    socket.send_fds(ours, [json.dumps({"fds": list(range(300))}).encode()], [0] * 250)
    ours.close()
    before = set(os.listdir("/proc/self/fd"))
    assert forkserver._receive(theirs) is None
    theirs.close()
    for fd in set(os.listdir("/proc/self/fd")) - before:
        if os.path.exists(f"/proc/self/fd/{fd}"):
            os.close(int(fd))


def test_the_program_may_be_a_reaper_already():
    prctl._prctl(prctl._SET_CHILD_SUBREAPER, 1)
    try:
        with prctl.reaper_of_orphans():
            pass
        assert prctl.is_reaper_of_orphans()
    finally:
        prctl._prctl(prctl._SET_CHILD_SUBREAPER, 0)
    with prctl.reaper_of_orphans():
        assert prctl.is_reaper_of_orphans()
    assert not prctl.is_reaper_of_orphans()


def test_the_run_goes_on_without_its_server(pipe):
    running = pipe.start(pipe.graph(GRAPH.replace("FRAMES", "60")), "--rate", "1")
    running.wait_lines("snk", 5)
    (server,) = servers(running.pid)
    os.kill(server, signal.SIGKILL)
    running.wait_lines("snk", 15)
    running.kill("snk")  # its successor comes from another server
    ended = running.end()
    assert ended.code == 0, ended.stderr
    assert ended.report["nodes"]["snk"]["restarts"] == 1 and ended.report["nodes"]["src"]["restarts"] == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_server_ends_with_the_run(pipe, runtime, number):
    running = pipe.start(pipe.graph(GRAPH.replace("FRAMES", "null")), "--rate", "1")
    running.wait_lines("snk", 2)
    found = servers(running.pid)
    assert len(found) == 1
    running.signal(number)
    running.end()
    wait_for(lambda: not alive(found), 2, "the end of the fork server")
    shutil.rmtree(runtime / "pipe")  # of the killed run; the next one would remove it


def test_no_server_inline(pipe):
    running = pipe.start(pipe.graph(GRAPH.replace("FRAMES", "20")), "--rate", "1", "--place", "inline")
    running.wait_lines("snk", 2)
    assert not servers(running.pid)
    assert running.end().code == 0


def test_a_wrong_graph_leaves_no_server(pipe, runtime):
    assert pipe.run("no_such_graph.yaml").code == 2
    assert not workers(runtime)
