"""Snapshots of runs that never were, as runtime/snapshot.py makes them; a graph cam -> detect -> show, and what happens in it."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.runtime.histogram import Histogram

EDGE, LAST = "cam.image->detect.image", "detect.boxes2d->show.boxes2d"


def sparse(ms: Any) -> list[list[int]]:
    """Durations [ms] as a snapshot has them."""
    histogram = Histogram()
    histogram.add(np.asarray(ms, dtype=float) * 1e6)
    return histogram.sparse()


def node(place: str, kind: str, steps: int, ms: Any, **more: Any) -> dict[str, Any]:
    made = {"place": place, "kind": kind, "state": "busy", "steps": steps, "out": steps, "errors": 0, "restarts": 0}
    return made | {"level": None, "status": "", "waits_for": None, "compute": sparse(ms), "latency": None} | more


def edge(ends: str, produced: int, delivered: int, ms: Any, **more: Any) -> dict[str, Any]:
    a, _, b = ends.partition("->")
    made = {"from": a, "to": b, "produced": produced, "delivered": delivered, "dropped": {}, "in_flight": produced - delivered}
    return made | {"oldest_ms": None, "bytes": 100 * produced, "copied_bytes": 0, "hop": sparse(ms)} | more


def process(pid: int, cpu_s: float, **more: Any) -> dict[str, Any]:
    return {"pid": pid, "cpu_s": cpu_s, "rss_mb": 80.0, "restarts": 0, "state": "running"} | more


def snapshot(seconds: float = 10.0, frames: int = 100, **more: Any) -> dict[str, Any]:
    """After `seconds` of a run in which `detect` has taken 20 ms for each frame, and `show`, in the same process, 1 ms."""
    return {
        "run": "g-7-00000001",
        "graph": "g",
        "exit": None,
        "time_ns": int(5e9 + seconds * 1e9),
        "wall_s": seconds,
        "frames": frames,
        "live": True,
        "processes": {"cam": process(11, seconds / 10), "work": process(12, seconds / 2, rss_mb=120.0)},
        "nodes": {
            "cam": node("cam", "source", frames, [3.0] * frames),
            "detect": node("work", "operator", frames, [20.0] * frames, level="full"),
            "show": node("work", "sink", frames, [1.0] * frames, latency=sparse([40.0] * frames), out=0),
        },
        "edges": {EDGE: edge(EDGE, frames, frames, [0.1] * frames), LAST: edge(LAST, frames, frames, [0.2] * frames)},
        "quality": [],
        "injected": [],
        "board": None,
    } | more


def empty() -> dict[str, Any]:
    """Before the first frame."""
    return snapshot(0.0, 0)
