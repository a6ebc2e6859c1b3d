"""A fault of `--inject` and `inject:`: its text, and its form as plain data for the processes at the ends of an edge.

    NODE[.PORT]:FAULT[=LEVEL][@FROM-TO]     on the command line
    [PORT:]FAULT[=LEVEL][@FROM-TO]          in the list `inject:` of a node

FROM and TO are times since the first frame of the stream's source (10s, 500ms), or frame numbers. TO is excluded; one of them may
be absent.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import GraphError
from pipeline.frame import FOREVER, NEVER

FORM = "FAULT[=LEVEL][@FROM-TO]"
STEPS = (
    "allocated",
    "written",
    "committed",
    "recorded",
    "sent",
    "rung",
    "received",
    "processing",
    "processed",
    "released",
    "reading",
)
"""Steps of a frame's life at which a process kills itself, see flow/faults.py: no faults, but `--inject` takes them, too."""
TIMED = ("delay", "jitter")
"""Faults that hold frames back, in ms."""
_UNITS_NS = {"s": 1_000_000_000, "ms": 1_000_000}
_END = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(s|ms)|(\d{1,15})")


@dataclass(frozen=True, slots=True)
class Window:
    """since <= x < until; x: frame id, or [ns] since the first frame of the source."""

    frames: bool = True
    since: int = NEVER
    until: int = FOREVER


@dataclass(frozen=True, slots=True)
class FaultText:
    """A fault as written. at: position in messages; level: "" = the default."""

    at: str
    text: str
    node: str
    port: str
    fault: str
    level: str
    window: Window


@dataclass(frozen=True, slots=True)
class EdgeFault:
    """One fault on one edge.

    edge, bit  index of the edge in the plan; of the fault in the graph: the bit that marks a frame in the event log
    name       of the fault; level: of the engine's own faults
    origin     index on the board of the source whose stamps the edge carries
    cls, file  `module:Class` of the operator and its file, None: one of the engine's own; config: of the operator
    port       of the operator
    """

    name: str
    level: float
    seed: int
    window: Window
    cls: str | None = None
    file: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    port: str = ""
    edge: int = -1
    bit: int = 0
    origin: int = -1


@dataclass(frozen=True, slots=True)
class Target:
    """An edge of a fault, by name (edges get indices in the plan). port: NODE.PORT that the fault was given for."""

    edge: str
    port: str
    fault: EdgeFault


@dataclass(frozen=True, slots=True)
class Injection:
    """One fault of a graph. text: NODE[.PORT]:FAULT[=LEVEL][@FROM-TO]."""

    node: str
    fault: str
    text: str
    targets: tuple[Target, ...]


def parse(text: str, at: str, node: str | None = None, nodes: Collection[str] = ()) -> FaultText:
    """node: the one whose `inject:` has the text; None: the text names it, one of `nodes`. Raises GraphError."""
    head, colon, rest = text.partition(":")
    if node is None:
        node, dot, port = head.rpartition(".")
        if head in nodes or not dot:
            node, port = head, ""
        if not colon or not node:
            raise GraphError(f"{at}: needs NODE[.PORT]:{FORM}, got {text!r}; e.g. cam:blackout@10s-15s")
    else:
        port, rest = (head, rest) if colon else ("", head)
    what, window_sign, window = rest.partition("@")
    fault, level_sign, level = what.partition("=")
    if not fault or (level_sign and not level):
        raise GraphError(f"{at}: needs {FORM}, got {rest!r}; e.g. noise=0.2@10s-15s")
    where = f"{node}.{port}" if port else node
    return FaultText(at, f"{where}:{rest}", node, port, fault, level, _window(window, at) if window_sign else Window())


def _window(text: str, at: str) -> Window:
    since, dash, until = text.partition("-")
    ends = [_END.fullmatch(end) for end in (since, until)]
    given = [end for end, part in zip(ends, (since, until), strict=True) if part]
    if not dash or not given or any(end is None for end in given):
        raise GraphError(
            f"{at}: window: needs FROM-TO as 10s-15s, 500ms-2s, or frame numbers 10-20, one may be absent, got {text!r}"
        )
    frames = {end[3] is not None for end in given if end is not None}
    if len(frames) > 1:
        raise GraphError(f"{at}: window: needs two times or two frame numbers, got {text!r}")
    low, high = (None if end is None else _number(end) for end in ends)
    window = Window(frames.pop(), NEVER if low is None else low, FOREVER if high is None else high)
    if window.since >= window.until or window.until == 0:
        raise GraphError(f"{at}: window: needs FROM before TO, got {text!r}")
    return window


def _number(end: re.Match[str]) -> int:
    return int(end[3]) if end[3] is not None else round(float(end[1]) * _UNITS_NS[end[2]])
