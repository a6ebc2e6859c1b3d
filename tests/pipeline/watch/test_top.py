"""`pipe top` on runs without processes: plain lines, the live table, silence, a cut, each way to end; the terminal afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest
from fake_door import FakeRun
from pipe_runs import wait_for

from pipeline.__main__ import main
from pipeline.watch import attach, top
from pipeline.watch.attach import find
from pipeline.watch.top_keys import Keys

ROOT = Path(__file__).parents[3]


@pytest.fixture
def fake(tmp_path, runtime, monkeypatch):
    for name, seconds in (("ASK_S", 0.02), ("ONCE_S", 0.02), ("LINE_S", 0.05), ("LOOK_S", 0.02), ("AGAIN_S", 0.02)):
        monkeypatch.setattr(top, name, seconds)
    for name, seconds in (("SILENT_S", 0.1), ("WINDOW_S", 1.2), ("LEFT_S", 0.05), ("REPORT_S", 0.2)):
        monkeypatch.setattr(top, name, seconds)
    with FakeRun(tmp_path / "out") as run:
        yield run


@pytest.fixture
def follower(fake):
    made = top.Follower(find(None))
    made.start()
    yield made
    made.close()
    assert not made.is_alive()


def test_once_prints_both_tables(fake, capsys):
    assert main(["top", "--once"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "g: run g-7-00000001, 104 frames in 11.0 s, 4.0/s; window 0.5 s"
    assert [line.split()[0] for line in lines[2:] if line] == [
        "node", "cam", "detect", "show", "edge", "cam.image->detect.image", "detect.boxes2d->show.boxes2d",
    ]  # fmt: skip


def test_json_is_one_snapshot(fake, capsys):
    assert main(["top", "g-7", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"] == "g-7-00000001"
    assert fake.asked == 1


def test_no_run(runtime, capsys):
    assert main(["top"]) == 2
    assert capsys.readouterr().err == "error: RUN: no graph runs here\n"


def test_several_runs(fake, tmp_path, capsys):
    with FakeRun(tmp_path / "other", "h-8-00000002"):
        assert main(["top", "--once"]) == 2
        assert "2 graphs run: g-7-00000001, h-8-00000002" in capsys.readouterr().err
        assert main(["top", "h", "--json"]) == 0


def test_a_stopped_run_is_named_and_not_waited_for(fake, monkeypatch, capsys):
    monkeypatch.setattr(top, "ANSWER_S", 0.1)
    fake.silent.set()
    for words in (["--once"], ["--json"]):
        assert main(["top", *words]) == 1
        assert capsys.readouterr().err == "error: g-7-00000001: no answer for 0.1 s; is its process stopped?\n"


def test_two_followers_and_their_windows(follower, fake):
    with_other = top.Follower(find(None))
    with_other.start()
    for each in (follower, with_other):
        wait_for(lambda each=each: (w := each.window) and w[0] and w[0]["frames"] > 110, 10, "a window that moves")
    with_other.close()


def test_silence_and_the_answer_after_it(follower, fake):
    wait_for(lambda: follower.window, 10, "the first snapshot")
    fake.silent.set()
    wait_for(lambda: follower.silent_s, 10, "silence")
    assert re.fullmatch(r"g-7-00000001: no answer for \d+ s; is its process stopped\?", top.silence(follower))
    fake.silent.clear()
    wait_for(lambda: not follower.silent_s, 10, "an answer")


def test_a_cut_connection_is_made_again(follower, fake):
    wait_for(lambda: follower.window, 10, "the first snapshot")
    asked = fake.asked
    fake.cut()
    wait_for(lambda: fake.asked > asked + 2, 10, "snapshots by a new connection")
    assert not follower.ended


def test_the_log_of_a_node(follower):
    follower.log_of = "detect"
    wait_for(lambda: follower.log, 10, "a log")
    assert follower.log[:2] == ["detect line 0", "detect line 1"]


@pytest.mark.parametrize(
    "exit_, text",
    [
        ("completed", r"g-7-00000001: completed, 7 frames in 3\.5 s; results in .*/out"),
        (None, r"g-7-00000001: its process is gone without a report: killed, or out of memory\? its logs are in .*/out/logs"),
    ],
)
def test_the_end_of_the_run(fake, capsys, exit_, text):
    enough = threading.Event()
    fake.change = lambda made: made["frames"] > 106 and enough.set()
    ending = threading.Thread(target=lambda: enough.wait(10) and fake.end(exit_))
    ending.start()
    assert main(["top"]) == 0
    ending.join()
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(text, lines[-1]), lines
    assert re.match(r"\d+ frames  cam \d+\.\d/s [\d.]+ ms, detect ", lines[0])


def test_a_report_of_an_earlier_run_is_not_taken(tmp_path, runtime, monkeypatch):
    monkeypatch.setattr(top, "REPORT_S", 0.1)
    (tmp_path / "report.json").write_text(json.dumps({"run": "g-6", "exit": "completed", "frames": 1, "wall_s": 1.0}))
    assert top.how_it_ended(attach.Found("g-7", tmp_path, None)) == f"g-7: has ended; there is no report in {tmp_path}"


class Terminal:
    """`pipe top` on a terminal of its own, 40 lines."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.text = ""
        env = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(ROOT / "tests"), "COLUMNS": "150", "LINES": "40"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "top"], stdin=self.slave, stdout=self.slave, stderr=self.slave, cwd=ROOT, env=env
        )

    def wait(self, text: str) -> None:
        until = time.monotonic() + 20
        at = len(self.text)
        while text not in self.text[at:]:
            assert time.monotonic() < until, f"waited for {text!r}: {self.text[-3000:]!r}"
            if select.select([self.master], [], [], 0.05)[0]:
                self.text += os.read(self.master, 65536).decode(errors="replace")

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def end(self) -> int:
        until = time.monotonic() + 20
        while self.process.poll() is None:
            assert time.monotonic() < until, "does not end"
            if select.select([self.master], [], [], 0.05)[0]:
                self.text += os.read(self.master, 65536).decode(errors="replace")
        while select.select([self.master], [], [], 0)[0]:
            self.text += os.read(self.master, 65536).decode(errors="replace")
        assert termios.tcgetattr(self.slave) == self.before, "the settings of the terminal are restored"
        assert self.text.rfind("\x1b[?1049l") > self.text.rfind("\x1b[?1049h"), "the first screen is back"
        assert self.text.rfind("\x1b[?25h") > self.text.rfind("\x1b[?25l"), "the cursor is back"
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def test_the_terminal_is_restored_after_an_exception(monkeypatch):
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    with open(slave, closefd=False) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with contextlib.suppress(ZeroDivisionError), Keys() as keys:
            assert termios.tcgetattr(slave) != before
            os.write(master, b"sq")
            assert keys.wait(5.0) == ["s", "q"] and keys.wait(0.0) == []
            raise ZeroDivisionError
    assert termios.tcgetattr(slave) == before
    os.close(slave)
    os.close(master)


@pytest.fixture
def terminal(fake):
    made = Terminal()
    yield made
    made.close()


def test_keys_on_a_terminal(terminal, fake):
    terminal.wait("cam.image->detect.image")
    terminal.press("\x1b[B\x1b[B\r")
    terminal.wait("detect line 199")
    terminal.press("\x1bp")
    terminal.wait("(paused)")
    terminal.press("s")
    terminal.wait("node↓")
    terminal.press("q")
    assert terminal.end() == 0


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.quick(1)
def test_signals_give_the_terminal_back(terminal, number, code):
    terminal.wait("detect")
    terminal.process.send_signal(number)
    assert terminal.end() == code


@pytest.mark.slow
def test_silence_then_the_end_on_a_terminal(terminal, fake):
    terminal.wait("detect")
    fake.silent.set()
    terminal.wait(" s; is its process stopped?")
    fake.end("failed")
    assert terminal.end() == 0
    assert "g-7-00000001: failed, 7 frames in 3.5 s" in terminal.text.partition("\x1b[?1049l")[2]


@pytest.mark.slow
def test_ctrl_z_and_back(terminal):
    terminal.wait("detect")
    terminal.process.send_signal(signal.SIGTSTP)
    terminal.wait("\x1b[?1049l")
    stat = Path(f"/proc/{terminal.process.pid}/stat")
    wait_for(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", 10, "a stopped top")
    assert termios.tcgetattr(terminal.slave) == terminal.before
    terminal.process.send_signal(signal.SIGCONT)
    terminal.wait("\x1b[?1049h")
    terminal.press("q")
    assert terminal.end() == 0
