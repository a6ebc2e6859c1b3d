"""Frames per second and memory of a graph on a board that is not here, from the times of its nodes on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.machine.devices import REFERENCE_MIPS, REFERENCE_THREADS, Board, memory_ratio

NET, CPU, SOURCE = "net", "cpu", "source"


@dataclass(frozen=True)
class Measured:
    """One node on this machine.

    kind        net (a GPU computes it there), cpu, source (not there: sensors send)
    ms          of one call, median
    calls       for each frame of the first source
    rss_mb      of its process, largest
    gmac        billions of multiply-adds of a net for one call; None: not known, its time here counts
    """

    name: str
    place: str
    kind: str
    ms: float
    calls: float
    rss_mb: float
    threads: int = 1
    gmac: float | None = None


@dataclass(frozen=True)
class Node:
    """Predicted: milliseconds for each frame, MB of its process (of one of them, where nodes share a process).
    by_time: a net whose multiply-adds are not known."""

    name: str
    kind: str
    here_ms: float
    ms: float
    memory_mb: float
    by_time: bool = False


@dataclass(frozen=True)
class Prediction:
    """limit: what allows no more frames/s."""

    nodes: tuple[Node, ...]
    fps: float
    limit: str
    memory_mb: float
    limits: tuple[tuple[str, float], ...]


def predict(measured: Sequence[Measured], board: Board, frames_mb: float = 0.0, mips: float = REFERENCE_MIPS) -> Prediction:
    """A graph runs at the rate of its slowest process, of its GPU (all nets in turns), of all its cores together.

    mips: single-thread rating of this machine's core, as in `devices`; frames_mb: of the pools
    """
    speed = mips / REFERENCE_MIPS  # of this machine against the reference
    nodes = []
    per_place: dict[str, float] = {}
    memory_of: dict[str, float] = {}
    for each in measured:
        here_ms = each.ms * each.calls
        by_time = each.kind == NET and each.gmac is None
        if each.gmac is not None:
            ms = 1e3 * each.gmac * each.calls / board.gmac_s
        elif by_time:
            ms = here_ms * speed * each.threads / REFERENCE_THREADS * board.net
        else:
            ms = here_ms * speed * board.core
        memory_mb = each.rss_mb * (memory_ratio() if each.kind == NET else 1.0)
        nodes.append(Node(each.name, each.kind, here_ms, 0.0 if each.kind == SOURCE else ms, memory_mb, by_time))
        if each.kind != SOURCE:
            per_place[each.place] = per_place.get(each.place, 0.0) + ms
        memory_of[each.place] = max(memory_of.get(each.place, 0.0), memory_mb)
    gpu_ms = sum(node.ms for node in nodes if node.kind == NET)
    cpu_ms = sum(node.ms for node in nodes if node.kind == CPU)
    limits = [(f"process {place}", ms) for place, ms in per_place.items()]
    limits += [("the GPU, all nets in turns", gpu_ms)] if sum(node.kind == NET for node in nodes) > 1 else []
    limits += [(f"{board.cores} CPU cores", cpu_ms / board.cores)]
    limit, most_ms = max(limits, key=lambda item: item[1])
    return Prediction(
        tuple(nodes),
        1e3 / most_ms if most_ms > 0 else 0.0,
        limit,
        sum(memory_of.values()) + frames_mb,
        tuple(sorted(limits, key=lambda item: -item[1])),
    )
