"""Checks what `read()` returned, where it enters the engine: types of fields, and numbers that no header or ledger holds."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

from pipeline import names
from pipeline.errors import FrameError
from pipeline.flow.slot import ID_MASK
from pipeline.frame import Reading
from pipeline.graph.layout import ITEM_BYTES
from pipeline.settings import show

FIRST_NS, LAST_NS = -(2**61), 2**62
"""Stamps [ns] from 73 years before 1970 to 2116: sums with offsets and tolerances stay between `NEVER` and `FOREVER`."""


def checked(reading: Any, next_id: int) -> Reading:
    """The reading with plain ints for its numbers (numpy's are accepted). Raises FrameError, which names the field."""
    if not isinstance(reading, Reading):
        raise FrameError(f"read() needs to return a Reading or None, got {type(reading).__name__}")
    if not isinstance(reading.item, str):
        raise FrameError(f"item: needs text, got {show(reading.item)}")
    try:
        reading.item.encode()
    except UnicodeEncodeError:
        raise FrameError(f"item: needs text that UTF-8 can hold, got {reading.item!a}") from None
    found = names.problem(reading.item, ITEM_BYTES)
    if found:
        raise FrameError(f"item: needs a name of at most {ITEM_BYTES} bytes, got {reading.item[:ITEM_BYTES]!a}: {found}")
    for field in ("values", "meta"):
        if not isinstance(getattr(reading, field), Mapping):
            raise FrameError(f"{field}: needs a mapping of ports, got {show(getattr(reading, field))}")
    reading.stamp_ns = _whole("stamp_ns", reading.stamp_ns, FIRST_NS, LAST_NS)
    reading.recv_ns = _whole("recv_ns", reading.recv_ns, 0, LAST_NS)
    if reading.frame_id is not None:
        reading.frame_id = _whole("frame_id", reading.frame_id, next_id, ID_MASK)
    return reading


def _whole(field: str, value: Any, least: int, most: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise FrameError(f"{field}: needs a whole number, got {show(value)}") from None
    if not least <= number <= most:
        raise FrameError(f"{field}: needs {least} .. {most}, got {number}")
    return number
