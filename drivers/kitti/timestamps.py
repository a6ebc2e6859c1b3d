"""timestamps.txt of the raw layout: one line per frame number, `2011-09-26 13:02:25.964389445`."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterable
from pathlib import Path

from drivers.kitti.files import read_lines
from pipeline.errors import InputError

_FORM = "a time like 2011-09-26 13:02:25.964389445"


def read_stamps(path: Path, frames: Iterable[int]) -> list[int]:
    """Nanoseconds of each of `frames` (ascending); the local time in the file is read as UTC."""
    lines = read_lines(path)
    stamps: list[int] = []
    before = 0
    for frame in frames:
        if frame >= len(lines):
            raise InputError(f"{path}: needs a line for frame {frame} (line = frame number), got {len(lines)} lines")
        stamp = _parse(path, frame + 1, lines[frame])
        if stamps and stamp <= stamps[-1]:
            raise InputError(f"{path}:{frame + 1}: needs a time after line {before}, got {lines[frame].strip()}")
        stamps.append(stamp)
        before = frame + 1
    return stamps


def _parse(path: Path, number: int, line: str) -> int:
    whole, _, fraction = line.strip().partition(".")
    try:
        seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%d %H:%M:%S"))
        # not float(line): a double resolves today's time only to 200 ns
        nanos = int((fraction + "000000000")[:9])
    except ValueError:
        raise InputError(f"{path}:{number}: needs {_FORM}, got {line.strip()[:40]!r}") from None
    return seconds * 1_000_000_000 + nanos
