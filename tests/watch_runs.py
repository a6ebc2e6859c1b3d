"""A small run for the tests of its history: a source `a`, an operator `p`, a join `j` with a second source `b`, a sink `snk`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from pipeline.flow.log import DELIVERED, DROPPED, PUBLISHED, REASON, REASONS, STEP
from pipeline.flow.slot import who
from pipeline.watch.history import Edge, Node, Port, Run, Start

MS = 1_000_000
NODES = [("a", "source"), ("b", "source"), ("p", "operator"), ("j", "operator"), ("snk", "sink")]
EDGES = [("a.out->p.in", "a", "p"), ("p.out->j.x", "p", "j"), ("b.out->j.y", "b", "j"), ("j.out->snk.in", "j", "snk")]
A, B, P, J, SNK = range(5)


def history(*, rate: float | None = None, live: bool = False) -> Any:
    """What Series and Stories need of a `History`."""
    nodes = [Node(i, name, kind, name) for i, (name, kind) in enumerate(NODES)]
    edges = [
        Edge(i, name, src, name.split("->")[0].split(".")[1], dst, name.split(".")[-1], False, "block", 1)
        for i, (name, src, dst) in enumerate(EDGES)
    ]
    ports = [Port(0, "a", "out", [0]), Port(1, "p", "out", [1]), Port(2, "b", "out", [2]), Port(3, "j", "out", [3])]
    run = Run(
        "g-1-2", "g", "g.yaml", "version: 1", 0, 0, live, [n for n, _ in NODES], nodes, ports, edges, ["a", "b"], REASONS, [],
        Start(0, None, None, rate, live), {},
    )  # fmt: skip
    return SimpleNamespace(run=run)


def row(kind: int, index: int, gen: int, frame: int, *values: int, source: int = 0, reason: str = "error") -> list[int]:
    """One event; values: its words from 4 on."""
    head = kind | index << 8 | (REASON[reason] << 32 if kind == DROPPED else 0)
    return [head, gen, who(source, frame), frame, *values, *[0] * (4 - len(values))]


def frame(n: int, at: int = 0) -> list[list[int]]:
    """All events of frame n of `a`, read from `at` [ns] on, which meets frame 7 of `b` in the join."""
    gen = n + 1
    return [
        # read for 2 ms, committed 1 ms later
        row(PUBLISHED, 0, gen, n, 8, 8, at + 3 * MS),
        row(STEP, A, n, n, 2 * MS, -1, at + 3 * MS, 1 * MS << 8),
        # sent 1 ms after the commit, taken 2 ms later, called 1 ms later: process() from 7 to 12 ms
        row(DELIVERED, 0, gen, n, 5 * MS, 3 * MS, 0, 1 * MS),
        row(PUBLISHED, 1, gen, n, 8, 8, at + 13 * MS),
        row(STEP, P, n, n, 5 * MS, -1, at + 7 * MS, 1 * MS << 8),
        # the frame of b comes last: from 15 to 16 ms
        row(DELIVERED, 1, gen, n, 3 * MS, 2 * MS, 0, 2 * MS),
        row(DELIVERED, 2, 8, 7, 20 * MS, 1 * MS, 0, 0, source=1),
        row(PUBLISHED, 3, gen, n, 8, 8, at + 16 * MS),
        row(STEP, J, n, n, 1 * MS, -1, at + 15 * MS),
        row(DELIVERED, 3, gen, n, 2 * MS, 2 * MS, 0, 1 * MS),
        row(STEP, SNK, n, n, 2 * MS, 20 * MS, at + 18 * MS),
    ]


def rows(*parts: list[list[int]]) -> np.ndarray:
    """(n, 8) int64."""
    return np.array([one for part in parts for one in part], np.int64).reshape(-1, 8)
