"""Progress of a training: a bar with the time left on a terminal, else a plain line every ten seconds."""

from __future__ import annotations

import sys
import time
from typing import Any

_LINE_S = 10.0


class Progress:
    """Counts from `first` to `total`; `quiet` shows nothing."""

    def __init__(self, title: str, first: int, total: int, quiet: bool) -> None:
        self._title, self._first, self._total, self._quiet = title, first, total, quiet
        self._begun = time.monotonic()
        self._next_line = 0.0
        self._bar: Any = None
        self._task: Any = None
        if sys.stdout.isatty() and not quiet:
            from rich import progress

            self._bar = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TextColumn("{task.fields[text]}"),
                progress.TimeElapsedColumn(),
                progress.TextColumn("ETA"),
                progress.TimeRemainingColumn(),
            )
            self._task = self._bar.add_task(title, total=total, completed=first, text="")
            self._bar.start()

    def update(self, done: int, text: str) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=done, text=text)
            return
        now = time.monotonic()
        if self._quiet or (now < self._next_line and done < self._total):
            return
        self._next_line = now + _LINE_S
        left_s = (now - self._begun) / max(done - self._first, 1) * (self._total - done)
        print(f"{self._title}: {done}/{self._total}  {text}  ETA {_span(left_s)}", flush=True)

    def say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        elif not self._quiet:
            print(text, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
