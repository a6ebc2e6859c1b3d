"""What `lineage.py` finds out about one frame.

A hop is one input of one call. Its parts follow each other without a gap, on CLOCK_MONOTONIC:

    the writer commits  queued  descriptor sent  transport  taken by the reader's thread  sync wait  process() is called
    compute  it returns  write  committed

queued     the frame waited at its writer for credit
transport  it was in the ring, of which `busy` is the time in which the reader's thread worked on something else
sync wait  until the set was complete, and the outputs of the reader had room
write      outputs were checked and copied; of a sink also its digest
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.watch.history import Life


@dataclass(frozen=True)
class Hop:
    """edge: "" for the reading of a source, whose sync wait is the one for its time (`--rate`), and whose compute is read().

    frame   that came over the edge; joined: port and frame of the other inputs of the set; reused: an earlier set had it, too
    ended_ns  commit of the call, CLOCK_MONOTONIC
    """

    node: str
    edge: str
    frame: str
    joined: tuple[tuple[str, str], ...]
    reused: bool
    queued_ns: int
    transport_ns: int
    busy_ns: int
    sync_wait_ns: int
    compute_ns: int
    write_ns: int
    ended_ns: int


@dataclass(frozen=True)
class Drop:
    edge: str
    reason: str
    at_ns: int


@dataclass(frozen=True)
class Segment:
    """Part of a critical path. edge: "" for a call's own parts; what: queued, transport, sync wait, compute, write, or a text."""

    node: str
    edge: str
    what: str
    ns: int


@dataclass(frozen=True)
class Arrival:
    """At a sink. latency_ns: as in the report, by the machine's clock; path: its segments, in order; their sum is the latency."""

    sink: str
    latency_ns: int
    path: list[Segment]


@dataclass(frozen=True)
class FrameStory:
    """in_flight: edges on which the frame was sent, and has no end yet. errors: nodes whose call raised."""

    frame: str
    stamp_ns: int
    begun_ns: int
    hops: list[Hop]
    drops: list[Drop]
    in_flight: list[str]
    errors: list[str]
    arrivals: list[Arrival]
    restarts: list[Life] = field(default_factory=list)
