"""Capture times in file names, as ROS tools and others write them.

`1509590432.823038000.pcd` seconds and nanoseconds; `1509590432.823038.pcd`, `12.5.pcd` seconds and their decimals; or a whole
number of seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their digits: 10, 13, 16, 19. Text before
the number does not count.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from pipeline.errors import InputError

Unit = Literal["auto", "s", "ms", "us", "ns", "s.ns"]
_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_UNIT_OF_DIGITS: dict[int, Unit] = {10: "s", 13: "ms", 16: "us", 19: "ns"}
_NUMBER = re.compile(r"(?:.*[^0-9.])?([0-9]+)(?:\.([0-9]+))?", re.DOTALL)
_UNDERSCORE = re.compile(r"(?<![0-9])([0-9]{10})_([0-9]{9})$")
_MOST_DIGITS = 40


class _Name(NamedTuple):
    whole: int
    fraction: str


def stamps_ns(files: list[Path], unit: Unit) -> list[int]:
    """The time [ns] of each file. Raises InputError for a name without one, or if the unit is not known."""
    names = [_number(path) for path in files]
    asked = unit if unit != "auto" else _unit(files, names)
    stamps = []
    for path, name in zip(files, names, strict=True):
        if asked == "s.ns":
            stamp = name.whole * 10**9 + int(name.fraction or "0")
            wrong = len(name.fraction) > 9
        else:
            scale = _NS[asked]
            stamp = name.whole * scale + int(name.fraction or "0") * scale // 10 ** len(name.fraction)
            wrong = False
        if wrong or stamp >= np.iinfo(np.int64).max:
            needs = f"{path}: config.stamps: names needs a time in 1970..2262 in {asked}, got this name"
            raise InputError(f"{needs}; set config.stamp_unit")
        stamps.append(stamp)
    return stamps


def _number(path: Path) -> _Name:
    stem = _UNDERSCORE.sub(r"\1.\2", path.stem.removesuffix(".pcd"))
    found = _NUMBER.fullmatch(stem)
    if found is None or len(found[1]) > _MOST_DIGITS or len(found[2] or "") > _MOST_DIGITS:
        raise InputError(f"{path}: config.stamps: names needs a file called by its time; config.stamps: rate?")
    return _Name(int(found[1]), found[2] or "")


def _unit(files: list[Path], names: list[_Name]) -> Unit:
    """The unit that fits all names; the greatest decides. Raises InputError if more than one fits."""
    fractions = {len(name.fraction): name.fraction for name in names if name.fraction}
    if fractions:
        if len(fractions) == 1 or max(fractions) != 9:
            return "s"
        if any(name.fraction.endswith("0") and name.fraction != "0" for name in names):
            return "s.ns"  # without the zeros in front: decimals of different length have none at their end
        short = files[[len(name.fraction) for name in names].index(min(fractions))]
        raise InputError(
            f"{short}: config.stamps: names needs to know what follows the point, other names have more digits; "
            "set config.stamp_unit: s for decimals of seconds, s.ns for nanoseconds"
        )
    digits = max(len(str(name.whole)) for name in names) if names else 19
    if digits not in _UNIT_OF_DIGITS:
        raise InputError(
            f"{files[0]}: config.stamps: names needs times since 1970 to find their unit, got {digits} digits at most; "
            "set config.stamp_unit: s, ms, us or ns"
        )
    return _UNIT_OF_DIGITS[digits]
