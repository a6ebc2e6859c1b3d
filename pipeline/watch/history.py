"""What a run has left in its folder: run.json, the events of all frames, the lives of its processes. Also while it runs.

`History(folder).events()` gives the rows of `flow/log.py`; `run` says what their indices mean. Rows of one process are in order;
those of different processes are interleaved in pieces of a tenth of a second.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import InputError, explain
from pipeline.flow.chunks import ENDING, ROW_BYTES
from pipeline.flow.log import DELIVERED, DROPPED, ERROR, HEAD, PUBLISHED, REUSED, STEP, WHO
from pipeline.flow.slot import ID_BITS, whose
from pipeline.graph.layout import EVENT_WORDS
from pipeline.outside import open_file, parse_json
from pipeline.runtime.runfile import EVENTS_DIR, FORMAT, LIVES_FILE, RUN_FILE

MOST_BYTES = 64 << 20
"""Largest run.json, lives.jsonl or report.json that is read."""


@dataclass(frozen=True)
class Node:
    """kind: source | operator | sink | tap; place: its process; levels: names, best first."""

    index: int
    name: str
    kind: str
    place: str
    op: str | None = None
    driver: str | None = None
    trigger: str | None = None
    levels: Sequence[str] = ()
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Edge:
    """`NODE.PORT->NODE.PORT`, and its two ends."""

    index: int
    name: str
    src_node: str
    src_port: str
    dst_node: str
    dst_port: str
    static: bool
    policy: str
    size: int


@dataclass(frozen=True)
class Port:
    index: int
    node: str
    port: str
    edges: Sequence[int]


@dataclass(frozen=True)
class Start:
    """The graph clock: wall = CLOCK_MONOTONIC + wall_offset_ns."""

    anchor_mono_ns: int
    anchor_stamp_ns: int | None
    wall_offset_ns: int | None
    rate: float | None
    live: bool


@dataclass(frozen=True)
class Life:
    """A process was started at `time_ns` (CLOCK_MONOTONIC). epoch: deaths before; why: how it died; pid None: it was given up."""

    place: str
    epoch: int
    pid: int | None
    time_ns: int
    why: str


@dataclass(frozen=True)
class Run:
    """run.json. Nodes, ports and edges lie at their indices; start: None before the first frame; raw: the whole file."""

    run: str
    graph: str
    file: str
    text: str
    wall_ns: int
    time_ns: int
    live: bool
    places: Sequence[str]
    nodes: Sequence[Node]
    ports: Sequence[Port]
    edges: Sequence[Edge]
    sources: Sequence[str]
    reasons: Sequence[str]
    faults: Sequence[dict[str, Any]]
    start: Start | None
    raw: dict[str, Any] = field(repr=False)

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    def name_of(self, who: int) -> str:
        """`source:frame_id` of an event's word WHO."""
        source, frame_id = whose(who)
        return f"{self.sources[source]}:{frame_id}"


class History:
    """folder: DIR of a run, or its logs. Raises InputError if it holds none."""

    def __init__(self, folder: Path) -> None:
        self.out = folder.parent if folder.name == "logs" and (folder / RUN_FILE).is_file() else folder
        self.logs = self.out / "logs"
        self.run = _parse(self.logs / RUN_FILE)
        self._number, self._at = -1, 0  # of `newer`: the file, and the bytes of it that were read

    def events(self) -> Iterator[np.ndarray]:
        """(n, 8) int64 per file, the oldest first. A row that is cut off at the end is left out."""
        for number in self._numbers():
            rows = self._valid(self._rows(number, 0))
            if len(rows):
                yield rows

    def newer(self) -> Iterator[np.ndarray]:
        """The rows that were written since the last call; the first call gives all."""
        for number in self._numbers():
            if number < self._number:
                continue
            if number > self._number:
                self._number, self._at = number, 0
            rows = self._rows(number, self._at)
            self._at += len(rows) * ROW_BYTES
            rows = self._valid(rows)
            if len(rows):
                yield rows

    @property
    def is_cut(self) -> bool:
        """Were the oldest events deleted, so that the history stays bounded?"""
        return next(iter(self._numbers()), 0) > 0

    @property
    def lives(self) -> list[Life]:
        """In the order in which the processes were started."""
        lives = []
        for line in _read(self.logs / LIVES_FILE).splitlines():
            try:
                row = parse_json(line)
                pid = None if row["pid"] is None else int(row["pid"])
                lives.append(Life(str(row["place"]), int(row["epoch"]), pid, int(row["time_ns"]), str(row["why"])))
            except (ValueError, TypeError, KeyError):
                continue  # the last line of a killed run may be cut
        return lives

    @cached_property
    def report(self) -> dict[str, Any] | None:
        """report.json; None before the end of the run."""
        try:
            found = parse_json(_read(self.out / "report.json"))
        except ValueError:
            return None
        return found if isinstance(found, dict) else None

    def _numbers(self) -> list[int]:
        try:
            names = os.listdir(self.logs / EVENTS_DIR)
        except OSError:
            return []
        return sorted(int(name[: -len(ENDING)]) for name in names if name.endswith(ENDING) and name[: -len(ENDING)].isdigit())

    def _valid(self, rows: np.ndarray) -> np.ndarray:
        """The rows whose indices are in run.json: an operator may have written anything into the memory of events."""
        run = self.run
        most = np.zeros(256, np.int64)
        most[[STEP, ERROR]] = len(run.nodes)
        most[[DELIVERED, REUSED, DROPPED]] = len(run.edges)
        most[PUBLISHED] = len(run.ports)
        head, source = rows[:, HEAD], rows[:, WHO] >> ID_BITS
        valid = ((head >> 8 & 0xFFFFFF) < most[head & 0xFF]) & (source >= 0) & (source < len(run.sources))
        reasons = head >> 32 & 0xFF
        return rows[valid & ((head & 0xFF != DROPPED) | (reasons < len(run.reasons)))]

    def _rows(self, number: int, at: int) -> np.ndarray:
        try:
            fd = open_file(self.logs / EVENTS_DIR / f"{number:08d}{ENDING}")
        except OSError:
            return np.zeros((0, EVENT_WORDS), np.int64)  # deleted since it was listed
        with open(fd, "rb") as file:
            file.seek(at)
            data = file.read()
        return np.frombuffer(data, "<i8", len(data) // ROW_BYTES * EVENT_WORDS).reshape(-1, EVENT_WORDS)


def _read(path: Path) -> str:
    """The text of a file; "" where there is none."""
    try:
        with open(open_file(path), "rb") as file:
            return file.read(MOST_BYTES).decode(errors="replace")
    except OSError:
        return ""


def _parse(path: Path) -> Run:
    text = _read(path)
    if not text:
        raise InputError(f"{path}: needs the file of a run, got none; was the folder made by pipe run --out?")
    try:
        raw = parse_json(text)
        if raw["format"] != FORMAT:
            raise ValueError(f"format: needs {FORMAT}, got {str(raw['format'])[:40]}")
        nodes = [Node(**{key: node[key] for key in Node.__dataclass_fields__}) for node in raw["nodes"]]
        ports = [Port(**port) for port in raw["ports"]]
        edges = [_edge(edge) for edge in raw["edges"]]
        for rows in (nodes, ports, edges):
            if [row.index for row in rows] != list(range(len(rows))):
                raise ValueError("the indices of nodes, ports and edges need to be 0, 1, 2, ...")
        return Run(
            raw["run"], raw["graph"], raw["file"], raw["text"], int(raw["wall_ns"]), int(raw["time_ns"]), bool(raw["live"]),
            raw["places"], nodes, ports, edges, raw["sources"], raw["reasons"], raw["faults"],
            None if raw["start"] is None else Start(**raw["start"]), raw,
        )  # fmt: skip
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: needs what pipe run writes there, got {explain(error)}") from None


def _edge(row: dict[str, Any]) -> Edge:
    (src_node, src_port), (dst_node, dst_port) = row["from"], row["to"]
    static, size = bool(row["static"]), int(row["size"])
    return Edge(int(row["index"]), row["name"], src_node, src_port, dst_node, dst_port, static, row["policy"], size)
