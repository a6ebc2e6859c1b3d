"""A frame: a header and named arrays.

The arrays of a received frame are read-only views into the producer's pool (see `flow/shm.py`). They stay valid as long as any
array made from them exists.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

FOREVER = 2**63 - 1
"""A stamp [ns] later than all others: the bound at the end of a stream."""
NEVER = -(2**62)
"""A stamp [ns] earlier than all others; subtracting from it does not overflow. Recordings contain it: see `Static.from_ns`."""


class Header(NamedTuple):
    """Source and time of a frame. A derived frame keeps the header of the frame that triggered it.

    source    name of the source node
    frame_id  counter of that source, from 0; a gap is a frame that was dropped or could not be read
    item      the data set's name of the frame: "000134", or "0000/000134" (sequence/frame) if it has sequences
    stamp_ns  capture time [ns] by the clock of the sensor or of the data set
    recv_ns   arrival at this host [ns, CLOCK_REALTIME]; never part of a digest
    """

    source: str
    frame_id: int
    item: str
    stamp_ns: int
    recv_ns: int = 0

    @property
    def sequence(self) -> str:
        """The part of `item` before its last "/": the sequence of this frame, "" if there is only one."""
        return self.item.rpartition("/")[0]

    @property
    def name(self) -> str:
        """The part of `item` after its last "/": the frame's own name."""
        return self.item.rpartition("/")[2]

    def __str__(self) -> str:
        return f"{self.source}:{self.frame_id}"


new_header = tuple.__new__
"""`new_header(Header, (source, frame_id, ...))` takes half the time of `Header(...)`."""


@dataclass(slots=True)
class Reading:
    """One step of a source: the values of its ports at one instant.

    values    port -> value; a port left out emits nothing at this instant (its readers learn the stamp nevertheless)
    item      see `Header`
    stamp_ns  capture time; grows from reading to reading, except for disorder up to the source's `max_disorder_ms`
    recv_ns   host arrival [ns]; 0 = now
    meta      port -> small facts about its frame (numbers and strings); part of the digest
    frame_id  set by a replay, which keeps the recorded numbers; None = the next one
    """

    values: dict[str, Any]
    item: str
    stamp_ns: int
    recv_ns: int = 0
    meta: dict[str, dict[str, Any]] = field(default_factory=dict)
    frame_id: int | None = None


@dataclass(frozen=True, slots=True)
class Static:
    """One latched value of a static port, valid from `from_ns` until the next value's `from_ns`."""

    port: str
    value: Any
    from_ns: int = NEVER
