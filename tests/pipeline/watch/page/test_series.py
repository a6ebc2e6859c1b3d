"""Frames and drops over time."""

from __future__ import annotations

import pytest
from watch_runs import MS, frame, history, row, rows

from pipeline.flow.log import DROPPED
from pipeline.watch.page.series import MOST_BINS, Series


def counted(*parts):
    series = Series(history())
    for part in parts:
        series.add(part)
    return series.result()


def test_no_event():
    assert counted() == {"n": 0, "span_s": None}


def test_one_frame():
    found = counted(rows(frame(0)))
    assert found["span_s"] == pytest.approx(0.015) and found["drops"] == {}
    assert {name: sum(counts) for name, counts in found["rates"].items()} == {"a": 1, "b": 0, "snk": 1}


def test_many_frames_with_drops():
    parts = [rows(*(frame(n, n * 10 * MS) for n in range(k, k + 100))) for k in range(0, 1000, 100)]
    drops = [
        row(DROPPED, 0, 1, n, n * 10 * MS, reason=reason) for n, reason in ((0, "too_old"), (999, "restart"), (999, "restart"))
    ]
    found = counted(*parts, rows(drops))
    assert found["n"] <= MOST_BINS + 1 and found["n"] * found["step_s"] >= found["span_s"]
    assert sum(found["rates"]["a"]) == 1000 and all(len(counts) == found["n"] for counts in found["rates"].values())
    assert sum(found["drops"]["too_old"]) == 1 and found["drops"]["too_old"][0] == 1
    assert found["drops"]["restart"][-1] + found["drops"]["restart"][-2] == 2
    assert found["from_s"] == pytest.approx(0.003)
