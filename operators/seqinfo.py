"""seqinfo.ini of a MOTChallenge sequence: its number of frames and its rate.

Read are seqLength and frameRate in the section [Sequence], or above any section; section and keys in upper or lower case.
Comments begin with ; or #. All other lines are left alone.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from operators import folders, textfile

MIN_HZ, MAX_HZ = 1e-3, 1e6
_LENGTH, _RATE = "seqLength", "frameRate"
_KEYS = {key.lower(): key for key in (_LENGTH, _RATE)}
_COMMENT = re.compile(r"(?:^|\s)[;#].*")
_ENTRY = re.compile(r"(\w+)\s*[=:]\s*(.*)")


class SeqInfo(NamedTuple):
    """None where the file has no such line."""

    frames: int | None = None
    rate_hz: float | None = None


def read_seqinfo(path: Path) -> SeqInfo:
    """Nothing known without the file. Raises InputError for a value that is no number or out of range, and for two values of
    one key."""
    if not folders.is_file(path):
        return SeqInfo()
    found: dict[str, tuple[int, str]] = {}
    section = "sequence"
    for line, written in enumerate(textfile.lines(path), 1):
        content = _COMMENT.sub("", written).strip()
        if content.startswith("["):
            section = content.strip("[] \t").lower()
        entry = _ENTRY.match(content)
        if section != "sequence" or entry is None or entry[1].lower() not in _KEYS:
            continue
        key, value = _KEYS[entry[1].lower()], entry[2]
        if key in found and found[key][1] != value:
            before, other = found[key]
            textfile.refuse(path, line, f"one {key}", f"{textfile.shown(value)}, and {textfile.shown(other)} in line {before}")
        found[key] = line, value
    frames = _number(path, found, _LENGTH, 0, textfile.MAX_FRAMES)
    return SeqInfo(None if frames is None else int(frames), _number(path, found, _RATE, MIN_HZ, MAX_HZ))


def _number(path: Path, found: dict[str, tuple[int, str]], key: str, least: float, most: float) -> float | None:
    if key not in found:
        return None
    line, written = found[key]
    try:
        value = textfile.number(written.encode())
    except ValueError:
        value = float("nan")
    if not least <= value <= most or (key == _LENGTH and value % 1):
        kind = "a whole number" if key == _LENGTH else "a number such as 25 or 29.97"
        textfile.refuse(path, line, f"{key} as {kind}, {least:g} to {most:,.0f}", textfile.shown(written))
    return value
