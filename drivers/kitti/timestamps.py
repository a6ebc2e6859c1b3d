"""timestamps.txt of the raw layout: one line per frame number, `2011-09-26 13:02:25.964389445`."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterable
from pathlib import Path

from operators import textfile
from pipeline.errors import InputError

_FORM = "a time like 2011-09-26 13:02:25.964389445"
_YEARS = 1970, 2199
"""Stamps of these are positive and fit into 63 bits."""


def read_stamps(path: Path, frames: Iterable[int]) -> list[int]:
    """Nanoseconds of each of `frames` (ascending); the local time in the file is read as UTC."""
    lines = textfile.lines(path)
    stamps: list[int] = []
    before = 0
    for frame in frames:
        if frame >= len(lines):
            raise InputError(f"{path}: needs a line for frame {frame} (line = frame number), got {len(lines)} lines")
        stamp = _parse(path, frame + 1, lines[frame])
        if stamps and stamp <= stamps[-1]:
            textfile.refuse(path, frame + 1, f"a time after line {before}", lines[frame].strip())
        stamps.append(stamp)
        before = frame + 1
    return stamps


def _parse(path: Path, number: int, line: str) -> int:
    whole, _, fraction = line.strip().partition(".")
    try:
        seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%d %H:%M:%S"))
        if not line.isascii() or not _YEARS[0] <= int(whole[:4]) <= _YEARS[1] or (fraction and not fraction.isdecimal()):
            raise ValueError(line)
        # not float(line): a double resolves today's time only to 200 ns
        nanos = int((fraction + "000000000")[:9])
    except ValueError:
        textfile.refuse(path, number, _FORM, textfile.shown(line))
    return seconds * 1_000_000_000 + nanos
