"""`pipe run --metrics HOST:PORT`: what a snapshot says (runtime/snapshot.py), in the words of Prometheus.

Every number is taken from the books when it is asked for; nothing is kept beside them. Counts of the books only grow, also over
restarts of a process. Durations come from bins 1.8 % wide, so a bucket's bound and a sum are exact to that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.flow.log import REASONS
from pipeline.runtime.histogram import Histogram

if TYPE_CHECKING:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

Snapshot = Mapping[str, Any]
STATES = ("open", "read", "busy", "wait", "idle", "done")
UP = ("starting", "running")
"""States of a process that exists."""
BOUNDS_S = (*(step * 10.0**power for power in range(-5, 1) for step in (1.0, 2.5, 5.0)), 10.0)
"""Buckets of all durations: 10 us to 10 s."""
_BOUNDS_NS = np.array(BOUNDS_S) * 1e9
_LE = [*(f"{bound:g}" for bound in BOUNDS_S), "+Inf"]


def families(now: Snapshot, cpu_s: Mapping[str, float]) -> Iterator[Metric]:
    """All metrics of one snapshot. cpu_s: CPU time of each process, which never falls."""
    yield from _of_the_run(now)
    yield from _of_nodes(now)
    yield from _of_edges(now)
    yield from _of_processes(now, cpu_s)


def _counter(name: str, about: str, *labels: str) -> CounterMetricFamily:
    from prometheus_client.core import CounterMetricFamily

    return CounterMetricFamily(name, about, labels=labels)


def _gauge(name: str, about: str, *labels: str) -> GaugeMetricFamily:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(name, about, labels=labels)


def _histogram(name: str, about: str, label: str, of: Mapping[str, Sequence[Sequence[int]]]) -> HistogramMetricFamily:
    """of: value of the label -> sparse histogram [ns]."""
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(name, about, labels=[label])
    for value, sparse in of.items():
        histogram = Histogram.from_sparse(sparse)
        counts = [*histogram.upto(_BOUNDS_NS), histogram.count]
        family.add_metric([value], list(zip(_LE, map(float, counts), strict=True)), histogram.sum_ns() * 1e-9)
    return family


def _of_the_run(now: Snapshot) -> Iterator[Metric]:
    info = _gauge("pipe_run_info", "The run, always 1.", "run", "graph", "mode")
    info.add_metric([now["run"], now["graph"], "live" if now["live"] else "offline"], 1)
    yield info
    age = _gauge("pipe_run_seconds", "Time since the run began.")
    age.add_metric([], now["wall_s"])
    yield age
    frames = _counter("pipe_run_frames_total", "Frames of the first source.")
    frames.add_metric([], now["frames"])
    yield frames
    injected = _counter("pipe_injected_frames_total", "Frames changed, delayed or dropped by an injected fault.", "node", "fault")
    for row in now["injected"]:
        injected.add_metric([row["node"], row["text"]], row["frames"])
    yield injected
    switches = _counter("pipe_quality_switches_total", "Changes of an operator's level.", "node")
    counts: dict[str, int] = {}
    for row in now["quality"]:
        counts[row["node"]] = counts.get(row["node"], 0) + 1
    for node, count in counts.items():
        switches.add_metric([node], count)
    yield switches


def _of_nodes(now: Snapshot) -> Iterator[Metric]:
    nodes = now["nodes"]
    for key, name, about in (
        ("steps", "pipe_node_steps_total", "Calls of process() or read() that returned."),
        ("out", "pipe_node_outputs_total", "Frames published, over all ports."),
        ("errors", "pipe_node_errors_total", "Frames at which the node raised an exception."),
        ("restarts", "pipe_node_restarts_total", "Restarts of the node's process."),
    ):
        family = _counter(name, about, "node")
        for node, row in nodes.items():
            family.add_metric([node], row[key])
        yield family
    state = _gauge("pipe_node_state", "1 for the state in which the node is, else 0.", "node", "state")
    level = _gauge("pipe_node_level", "1 for the level at which the operator computes.", "node", "level")
    for node, row in nodes.items():
        for each in STATES:
            state.add_metric([node, each], float(row["state"] == each))
        if row["level"] is not None:
            level.add_metric([node, str(row["level"])], 1)
    yield state
    yield level
    computes = {node: row["compute"] for node, row in nodes.items()}
    yield _histogram("pipe_node_compute_seconds", "Time of one process() or read().", "node", computes)
    latencies = {node: row["latency"] for node, row in nodes.items() if row["latency"] is not None}
    yield _histogram(
        "pipe_sink_latency_seconds", "From the capture of a frame to the end of its step at a sink.", "sink", latencies
    )


def _of_edges(now: Snapshot) -> Iterator[Metric]:
    edges = now["edges"]
    produced = _counter("pipe_edge_produced_total", "Frames produced: delivered + dropped + in flight.", "edge")
    frames = _counter("pipe_edge_frames_total", "Frames that have left the edge.", "edge", "outcome")
    dropped = _counter("pipe_edge_dropped_total", "Frames dropped, by reason.", "edge", "reason")
    flying = _gauge("pipe_edge_in_flight_frames", "Frames produced, neither delivered nor dropped yet.", "edge")
    oldest = _gauge("pipe_edge_oldest_seconds", "Age of the oldest frame in flight, 0 if there is none.", "edge")
    moved = _counter("pipe_edge_bytes_total", "Bytes of the frames produced.", "edge")
    copied = _counter("pipe_edge_copied_bytes_total", "Bytes copied for them.", "edge")
    for edge, row in edges.items():
        produced.add_metric([edge], row["produced"])
        frames.add_metric([edge, "delivered"], row["delivered"])
        frames.add_metric([edge, "dropped"], sum(row["dropped"].values()))
        for reason in REASONS:  # a counter that is first seen above 0 has no rate
            dropped.add_metric([edge, reason], row["dropped"].get(reason, 0))
        flying.add_metric([edge], row["in_flight"])
        oldest.add_metric([edge], (row["oldest_ms"] or 0.0) * 1e-3)
        moved.add_metric([edge], row["bytes"])
        copied.add_metric([edge], row["copied_bytes"])
    yield from (produced, frames, dropped, flying, oldest, moved, copied)
    hops = {edge: row["hop"] for edge, row in edges.items()}
    yield _histogram("pipe_edge_hop_seconds", "From the return of one process() to the entry of the next.", "edge", hops)


def _of_processes(now: Snapshot, cpu_s: Mapping[str, float]) -> Iterator[Metric]:
    up = _gauge("pipe_process_up", "1 while the process exists.", "process")
    cpu = _counter("pipe_process_cpu_seconds_total", "CPU time, of all its lives.", "process")
    memory = _gauge("pipe_process_resident_memory_bytes", "Resident memory.", "process")
    restarts = _counter("pipe_process_restarts_total", "Restarts.", "process")
    for place, row in now["processes"].items():
        up.add_metric([place], float(row["state"] in UP))
        cpu.add_metric([place], cpu_s[place])
        memory.add_metric([place], row["rss_mb"] * 1e6)
        restarts.add_metric([place], row["restarts"])
    yield from (up, cpu, memory, restarts)


class Collector:
    """Of a registry. ask: the newest snapshot; None before the first."""

    def __init__(self, ask: Callable[[], Snapshot | None]) -> None:
        self._ask = ask
        self._cpu_s: dict[str, float] = {}

    def collect(self) -> Iterator[Metric]:
        now = self._ask()
        if now is None:
            return
        for place, row in now["processes"].items():
            # Of a dead process the kernel's final figure replaces the last one of /proc, whose ticks may be rounded up.
            self._cpu_s[place] = max(row["cpu_s"], self._cpu_s.get(place, 0.0))
        yield from families(now, dict(self._cpu_s))
        age = _gauge("pipe_snapshot_age_seconds", "Age of these numbers: a run that is too busy to answer gives its last ones.")
        age.add_metric([], max(0, monotonic_ns() - now["time_ns"]) * 1e-9)
        yield age
