"""Shares of the latency of slow frames: synthetic steps in, stages out."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.flow.log import STAMP, VALUES, WHO
from pipeline.graph.load import parse
from pipeline.runtime import shares
from pipeline.runtime.shares import Shares

GRAPH = """version: 1
nodes:
  src: {driver: test.counter}
  a:   {op: test.fault, inputs: {data: src.out}}
  snk: {op: test.null, inputs: {in: a.out}}
"""
MS = 1_000_000


def step(who: int, compute_ms: float, started_ms: float, latency_ms: float = -1) -> np.ndarray:
    row = np.zeros((1, 8), np.int64)
    row[0, [WHO, STAMP]] = who, 0
    row[0, VALUES : VALUES + 3] = compute_ms * MS, latency_ms * MS if latency_ms >= 0 else -1, started_ms * MS
    return row


@pytest.fixture
def made():
    graph = parse(GRAPH, "g.yaml")
    plan = SimpleNamespace(graph=graph, node_index={name: i for i, name in enumerate(graph.nodes)})
    accountant = SimpleNamespace(watch=None, name_of=lambda who: ("src", who))
    return Shares(plan, accountant, {"snk": 10.0}), accountant


def frame(book, who: int, in_order=(0, 1, 2), slow: bool = True) -> None:
    """1 ms until the source sends, a hop of 2, a computes 12 (or 0), a hop of 3, the sink computes 4."""
    at = 100.0 * who
    compute = 12.0 if slow else 0.0
    rows = [
        step(who, 50.0, at + 1),
        step(who, compute, at + 3),
        step(who, 4.0, at + 6 + compute, 10.0 + compute),
    ]
    for index in in_order:
        book(index, rows[index])


def test_no_frame_no_shares(made):
    assert made[0].of() == {}


def test_one_slow_frame(made):
    found, accountant = made
    frame(accountant.watch, 1)
    stages = {share.stage: share.ms for share in found.of()["snk"]}
    assert stages == pytest.approx(
        {"a": 12, "snk": 4, "the hop a.out->snk.in": 3, "the hop src.out->a.data": 2, "src, from capture to send,": 1}
    )
    assert str(found.of()["snk"][0]) == "a takes 12 of 22 ms (mean of 1 slow frames; pipe why RUN src:1 tells of the slowest)"


@pytest.mark.parametrize("order", [(2, 1, 0), (1, 2, 0), (2, 0, 1)])
def test_logs_are_read_in_any_order(made, order):
    found, accountant = made
    for who in range(5):
        frame(accountant.watch, who, order)
    assert (found.of()["snk"][0].frames, found.of()["snk"][0].stage) == (5, "a")


def test_quick_frames_and_incomplete_ones_do_not_count(made):
    found, accountant = made
    frame(accountant.watch, 1, slow=False)
    frame(accountant.watch, 2, (1, 2))  # the source's step is lost
    assert found.of() == {}


def test_memory_is_bounded(made, monkeypatch):
    monkeypatch.setattr(shares, "RECENT", 10)
    found, accountant = made
    for who in range(50):
        frame(accountant.watch, who, (2,))  # nothing to divide them by
    for who in range(50):
        frame(accountant.watch, who, (0, 1))
    assert found.of()["snk"][0].frames == 10


def test_another_watcher_sees_the_same(made):
    plan_accountant = SimpleNamespace(watch=lambda index, rows: seen.append((index, len(rows))), name_of=lambda who: ("src", who))
    seen: list[tuple[int, int]] = []
    graph = parse(GRAPH, "g.yaml")
    Shares(SimpleNamespace(graph=graph, node_index={n: i for i, n in enumerate(graph.nodes)}), plan_accountant, {"snk": 1.0})
    plan_accountant.watch(1, step(0, 1, 1))
    assert seen == [(1, 1)]
