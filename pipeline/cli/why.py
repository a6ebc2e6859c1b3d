"""`pipe why`: where the milliseconds of one frame went."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING

from pipeline.errors import InputError

if TYPE_CHECKING:
    from pipeline.watch.history import Run
    from pipeline.watch.story import Arrival, FrameStory, Hop

COLUMNS = ("queued", "transport", "(busy)", "sync wait", "compute", "write", "done at")


def add(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Explain one frame of a run: its hops with the time of each part, what was dropped on the way and why, and the critical "
        "path of each sink. Of a running graph, or of a finished run's folder."
    )
    parser.epilog = "What the parts mean: docs/watching.md."
    parser.add_argument("of", metavar="RUN", help="id of a running graph or its beginning, or the folder of a run (--out)")
    parser.add_argument("frame", metavar="FRAME", help="source:frame_id, e.g. world:17")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from pipeline.watch import attach
    from pipeline.watch.history import History
    from pipeline.watch.lineage import Lineage

    source, frame_id = parse(args.frame)
    history = History(attach.find(args.of).out)
    story = Lineage(history).of(source, frame_id)
    print(json.dumps(asdict(story), indent=1) if args.json else "\n".join(lines(story, history.run)))
    return 0


def parse(text: str) -> tuple[str, int]:
    """`source:frame_id`"""
    source, _, number = text.rpartition(":")
    if not source or not number.isdecimal() or int(number) >= 2**48:
        raise InputError(f"FRAME {text}: needs source:frame_id, e.g. world:17")
    return source, int(number)


def lines(story: FrameStory, run: Run) -> Iterator[str]:
    """For people. Times in ms; `busy` is part of transport; `done at` counts from the source's send."""
    yield f"{story.frame} of {run.run}, stamp {story.stamp_ns * 1e-9:.3f} s"
    yield from _table(story)
    yield from dict.fromkeys(text for hop in story.hops if (text := _joined(hop)))
    for drop in story.drops:
        yield f"dropped: {drop.edge}: {drop.reason}, at {(drop.at_ns - story.begun_ns) * 1e-6:.2f}"
    for node in story.errors:
        yield f"error: {node} raised; see its log, and DIR/poison"
    for edge in story.in_flight:
        yield f"on its way: {edge}"
    for life in story.restarts:
        what = "given up" if life.pid is None else "started again"
        yield f"restart: {life.place}: {life.why}; {what} at {(life.time_ns - story.begun_ns) * 1e-6:.2f}"
    for arrival in story.arrivals:
        yield from _path(arrival)
    if not story.arrivals:
        yield "it is the trigger of no sink's call"


def _table(story: FrameStory) -> Iterator[str]:
    rows = [("node", "from", *COLUMNS), *(_row(hop, story.begun_ns) for hop in story.hops)]
    if len(rows) == 1:
        return
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
        yield "  " + "  ".join(cells).rstrip()


def _row(hop: Hop, begun_ns: int) -> tuple[str, ...]:
    parts = (
        hop.queued_ns,
        hop.transport_ns,
        hop.busy_ns,
        hop.sync_wait_ns,
        hop.compute_ns,
        hop.write_ns,
        hop.ended_ns - begun_ns,
    )
    times = [f"{ns * 1e-6:.2f}" for ns in parts]
    if not hop.edge:
        times[:3] = ["", "", ""]
    return (hop.node, hop.edge.partition("->")[0] or "read()", *times)


def _joined(hop: Hop) -> str:
    """The frames of other sources in the same set; "" without."""
    source = hop.frame.rpartition(":")[0]
    others = [f"{frame} ({port})" for port, frame in hop.joined if frame.rpartition(":")[0] != source]
    return f"joined at {hop.node}{' again' if hop.reused else ''}: {', '.join(others)}" if others else ""


def _path(arrival: Arrival) -> Iterator[str]:
    """One line per node, so that the parts and the sums can be added up."""
    yield f"critical path to {arrival.sink}: {arrival.latency_ns * 1e-6:.2f} ms"
    stages = [(node, list(parts)) for node, parts in groupby(arrival.path, key=lambda segment: segment.node)]
    width = max((len(node) for node, _ in stages), default=0)
    for node, parts in stages:
        text = ", ".join(f"{part.what} {part.ns * 1e-6:.2f}" for part in parts)
        yield f"  {_ms(sum(part.ns for part in parts))}  {node:<{width}}  {text}"


def _ms(ns: int) -> str:
    return f"{ns * 1e-6:8.2f}"
