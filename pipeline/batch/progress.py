"""How far a batch is: a bar with ETA on a terminal, else a line per item."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from pipeline.errors import printable
from pipeline.runtime import streams


class Progress:
    """total: items; skipped: of them done before; weight: frames of the others, which the ETA is made of."""

    def __init__(self, name: str, total: int, skipped: int, weight: int, quiet: bool) -> None:
        self.name, self.total, self.items = name, total, skipped
        self.weight, self.done_weight = weight, 0
        self.quiet = quiet
        self.began = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        if not self.quiet and sys.stdout.isatty():
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[items]} items"), TimeElapsedColumn(),
                TextColumn("{task.fields[eta]}"), transient=False,
            )  # fmt: skip
            self._task = self._bar.add_task(self.name, total=max(1, self.weight), items=self._items(), eta="")
            self._bar.start()
        elif not self.quiet:
            skipped = f", {self.items} of them done before" if self.items else ""
            streams.show([f"{self.name}: {self.total} items{skipped}"])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def done(self, item: str, weight: int, text: str, error: bool = False) -> None:
        self.items += 1
        self.done_weight += weight
        eta = self.eta()
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done_weight, items=self._items(), eta=eta)
        if error or not self.quiet:
            self.say(f"{item}: {text}  ({self._items()}{', ' if eta else ''}{eta})", error)

    def tick(self) -> None:
        if self._bar is not None:
            self._bar.update(self._task, eta=self.eta())

    def say(self, text: str, error: bool = False) -> None:
        text = printable(text)
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            streams.show([text], error=error or self.quiet)

    def eta(self) -> str:
        left = self.weight - self.done_weight
        if not self.done_weight or left <= 0:
            return ""
        seconds = (time.monotonic() - self.began) / self.done_weight * left
        return f"ETA {seconds:.0f} s" if seconds < 600 else f"ETA {seconds / 60:.0f} min"

    def _items(self) -> str:
        return f"{self.items}/{self.total}"
