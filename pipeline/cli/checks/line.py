"""One finding of `pipe doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

OK, WARN, FAIL = "ok", "warn", "FAIL"


@dataclass(frozen=True)
class Line:
    """text: the state found and, unless ok, how to fix it."""

    level: str
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.level:<5} {self.name:<10} {self.text}"


def read(path: Path) -> str | None:
    """The text of a file of the kernel; None if it is not there."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None
