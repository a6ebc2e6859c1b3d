"""`pipe top`: follows a running graph through its door. A thread asks for snapshots; the keys and the screen never wait for it.

The run computes a snapshot when it is asked, twice a second here, and that is all that it notices.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import InputError, RunError, printable
from pipeline.outside import parse_json
from pipeline.runtime import signals, streams
from pipeline.watch import top_rows
from pipeline.watch.attach import ANSWER_S, Attached, Found, runs
from pipeline.watch.top_keys import Keys
from pipeline.watch.top_rows import EDGES, NODES, Snapshot
from pipeline.watch.top_view import View

ASK_S, WINDOW_S, ONCE_S, LINE_S, LOOK_S = 0.5, 5.0, 1.0, 2.0, 0.25
"""Between two snapshots; length of the window; of that of `--once`; between two plain lines; between two looks at the keys."""
SILENT_S, AGAIN_S, REPORT_S, LEFT_S = 2.0, 0.5, 3.0, 0.5
"""Without an answer for so long, top says so; between two attempts to attach; wait for the report of a run that has ended;
a run's folder that is still there so long after its end was left by a killed process."""
LOG_LINES = 200

Window = tuple[Snapshot | None, Snapshot]


class Follower(threading.Thread):
    """Asks one run again and again, also after a connection that was cut, until the run has ended.

    ended    how it ended, in one line; "" while it runs
    trouble  why it cannot be asked, "" if it can
    window   the newest snapshot, with the one at the start of the window before it; None before the first
    news     set with each answer, and at the end
    log_of   the node whose log is wanted; log: its newest lines
    """

    def __init__(self, run: Found) -> None:
        super().__init__(name="follower", daemon=True)
        self.run_found = run
        self.ended = self.trouble = self.log_of = ""
        self.log: list[str] = []
        self.answered_s = time.monotonic()
        self._snapshots: deque[Snapshot] = deque()
        self.window: Window | None = None
        self._attached: Attached | None = None
        self._stopped = threading.Event()
        self.news = threading.Event()

    @property
    def silent_s(self) -> float:
        """Time since the last answer [s], 0 while it is not worth a word."""
        passed = time.monotonic() - self.answered_s
        return passed if passed > SILENT_S else 0.0

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                with Attached(self.run_found, answer_s=None) as self._attached:
                    self._follow(self._attached)
            except (RunError, OSError) as error:  # OSError: of files that the run removes at its end
                if self._stopped.is_set():
                    return
                if not _runs(self.run_found):
                    self.ended = how_it_ended(self.run_found)
                    self.news.set()
                    return
                self.trouble = str(error)
                self._stopped.wait(AGAIN_S)

    def _follow(self, attached: Attached) -> None:
        while not self._stopped.is_set():
            now = attached.snapshot()
            self._snapshots.append(now)
            while len(self._snapshots) > 2 and now["time_ns"] - self._snapshots[0]["time_ns"] > WINDOW_S * 1e9:
                self._snapshots.popleft()
            self.window = (self._snapshots[0] if len(self._snapshots) > 1 else None), now
            if self.log_of:
                self.log = [printable(line) for line in attached.log(self.log_of, LOG_LINES)]
            self.answered_s, self.trouble = time.monotonic(), ""
            self.news.set()
            self._stopped.wait(ASK_S)

    def close(self) -> None:
        self._stopped.set()
        if self._attached is not None:
            self._attached.close()
        self.join(1.0)


def _runs(found: Found) -> bool:
    """Does it still run? If nobody can tell: yes, and it is asked again."""
    try:
        return any(run.run == found.run for run in runs())
    except (RunError, OSError):
        return True


def how_it_ended(run: Found) -> str:
    """One line. The report comes a moment after the run's last answer; a killed run leaves none, but its folder."""
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < REPORT_S:
        report = _report(run.out / "report.json")
        if report is not None and report.get("run") == run.run:
            return f"{run.run}: {report['exit']}, {report['frames']} frames in {report['wall_s']:.1f} s; results in {run.out}"
        if passed > LEFT_S and run.folder is not None and run.folder.exists():
            return (
                f"{run.run}: its process is gone without a report: killed, or out of memory? its logs are in {run.out / 'logs'}"
            )
        time.sleep(0.05)
    return f"{run.run}: has ended; there is no report in {run.out}"


def _report(path: Path) -> dict[str, Any] | None:
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, InputError):
        return None
    return found if isinstance(found, dict) else None


def tables(then: Snapshot | None, now: Snapshot) -> list[str]:
    """Both tables as lines."""
    nodes, edges = top_rows.node_rows(then, now), top_rows.edge_rows(then, now)
    return [top_rows.title(then, now), "", *top_rows.lines(nodes, NODES), "", *top_rows.lines(edges, EDGES)]


def snapshot(run: Found) -> Snapshot:
    with Attached(run, ANSWER_S) as attached:
        return attached.snapshot()


def once(run: Found) -> list[str]:
    """The tables of one second."""
    with Attached(run, ANSWER_S) as attached:
        then = attached.snapshot()
        time.sleep(ONCE_S)
        try:
            return tables(then, attached.snapshot())
        except RunError:  # it has ended within that second
            return tables(None, then)


def follow(run: Found) -> int:
    """Until `q`, a signal, or the end of the run; returns the exit code."""
    came: list[int] = []
    Attached(run, ANSWER_S).close()  # raises before the screen changes
    follower = Follower(run)
    with signals.caught(came.append):
        follower.start()
        try:
            if _terminal():
                Screen(follower, came).show()
            else:
                _print_lines(follower, came)
        finally:
            follower.close()
    if follower.ended:
        streams.show([follower.ended])
    return 128 + came[0] if came else 0


def _terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _print_lines(follower: Follower, came: list[int]) -> None:
    before: Snapshot | None = None
    at = said = time.monotonic()
    while not came and not follower.ended:
        follower.news.wait(LOOK_S)
        follower.news.clear()
        now, window = time.monotonic(), follower.window
        if follower.silent_s and now - said > WINDOW_S:
            said = now
            print(silence(follower), flush=True)
        if window is None or now < at or follower.silent_s:
            continue
        at = now + LINE_S
        for text in top_rows.changes(before, window[1]):
            print(f"  {text}", flush=True)
        print(top_rows.line(*window), flush=True)
        before = window[1]


def silence(follower: Follower) -> str:
    """What a run that does not answer should be told as."""
    why = f" ({follower.trouble})" if follower.trouble else "; is its process stopped?"
    return f"{follower.run_found.run}: no answer for {follower.silent_s:.0f} s{why}"


class Screen:
    """The live tables on the terminal's second screen, with keys. Both are given back however this ends, and for Ctrl-Z."""

    def __init__(self, follower: Follower, came: list[int]) -> None:
        self._follower, self._came = follower, came
        self._view = View()
        self._shown: Window | None = None
        self._suspended = False

    def show(self) -> None:
        with self._ctrl_z():
            while True:
                with Keys() as keys, self._live() as draw:
                    self._watch(keys, draw)
                if not self._suspended:
                    break
                self._suspended = False
                os.kill(os.getpid(), signal.SIGSTOP)  # until SIGCONT
        if self._follower.ended and self._shown is not None:
            streams.show(tables(*self._shown))

    @contextlib.contextmanager
    def _ctrl_z(self) -> Iterator[None]:
        def suspend(number: int, frame: Any) -> None:
            self._suspended = True

        before = signal.signal(signal.SIGTSTP, suspend)
        try:
            yield
        finally:
            signal.signal(signal.SIGTSTP, before)

    @contextlib.contextmanager
    def _live(self) -> Iterator[Callable[[], None]]:
        from rich.live import Live

        with Live(screen=True, auto_refresh=False) as live:
            yield lambda: live.update(self._screen(*live.console.size), refresh=True)

    def _watch(self, keys: Keys, draw: Callable[[], None]) -> None:
        follower, view = self._follower, self._view
        drawn_s = 0.0
        while not (self._came or follower.ended or view.quits or self._suspended):
            news = follower.news.is_set()
            follower.news.clear()
            if news and not view.paused:
                self._shown = follower.window
            if news or time.monotonic() - drawn_s > 1.0:
                drawn_s = time.monotonic()
                draw()
            try:
                pressed = keys.wait(LOOK_S)
            except (EOFError, OSError):  # the terminal is gone
                return
            for key in pressed:
                view.press(key)
            if view.log_of != follower.log_of:
                follower.log_of, follower.log = view.log_of, []
            if pressed:
                drawn_s = 0.0

    def _screen(self, width: int, height: int) -> Any:
        follower, view = self._follower, self._view
        notes = [silence(follower)] if follower.silent_s else []
        if view.log_of:
            return view.log_screen(follower.log, height, notes)
        if self._shown is None:
            return "\n".join(notes or [f"{follower.run_found.run}: waiting for its answer"])
        return view.screen(*self._shown, width, height, notes)
