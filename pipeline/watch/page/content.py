"""All that a run page shows, in one dict that is ready for JSON: of a run that has ended, or of one that lives.

snapshot, report   runtime/snapshot.py, runtime/report.py (None while it runs)
run                of logs/run.json: file, text, times, options, nodes with their config, machine, versions, commit
drawing            where the graph's boxes and edges stand
series, stories    over time, and frame by frame, from the events; lives: the processes that were started
media, scores      what the sinks left in their folders
span_s             from the first to the last step, for rates; cuts: texts, what is left out and why
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.graph.spec import GraphSpec
from pipeline.watch.history import History, Life
from pipeline.watch.page.drawing import drawing
from pipeline.watch.page.media import Found
from pipeline.watch.page.series import Series
from pipeline.watch.page.stories import MOST_FRAMES, Stories

_RUN = ("file", "text", "wall_ns", "options", "machine", "versions", "commit")
MOST_TEXT = 64 << 10
"""Characters of the graph file."""


def content(
    graph: GraphSpec,
    out: Path,
    snapshot: Mapping[str, Any],
    report: Mapping[str, Any] | None = None,
    errors: list[str] | None = None,
) -> dict[str, Any]:
    """Raises InputError if `out` has no logs/run.json."""
    history = History(out)
    series, stories = Series(history), Stories(history)
    for rows in history.events():
        series.add(rows)
        stories.add(rows)
    found, counts, frames = Found(out, graph.nodes), series.result(), stories.result()
    many = stories.total > MOST_FRAMES
    cuts = [
        *(["the oldest events of the run: frames and the time axis begin later"] if history.is_cut else []),
        *([f"frames: {len(frames['frames'])} of {stories.total} are here, the slowest among them"] if many else []),
        *(["frames: only those of the newest events are here"] if stories.is_cut and not history.is_cut else []),
        *(["pictures: the folders of the sinks hold more files than were looked at"] if found.is_cut else []),
    ]
    return {
        "live": report is None,
        "run": run_of(history),
        "drawing": drawing(graph),
        "snapshot": snapshot,
        "report": report,
        "errors": list(errors or ()),
        "series": counts,
        "span_s": counts["span_s"],
        "stories": frames,
        "lives": _lives(history, report),
        "media": found.media,
        "scores": found.scores,
        "cuts": cuts,
    }


def run_of(history: History) -> dict[str, Any]:
    raw = history.run.raw
    nodes = [{"name": n.name, "op": n.op, "driver": n.driver, "place": n.place, "config": n.config} for n in history.run.nodes]
    return {key: raw.get(key) for key in _RUN} | {"nodes": nodes, "text": str(raw.get("text", ""))[:MOST_TEXT]}


def _lives(history: History, report: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """With the times of each restart that the report knows."""
    begin = history.run.start.anchor_mono_ns if history.run.start is not None else history.run.time_ns
    nodes = {node.place: node.name for node in history.run.nodes}
    seen: dict[str, int] = {}

    def times(life: Life) -> dict[str, Any] | None:
        if report is None or not life.why or life.pid is None or life.place not in nodes:
            return None
        rows, at = report["nodes"][nodes[life.place]]["restart_ms"], seen.get(life.place, 0)
        seen[life.place] = at + 1
        return dict(rows[at]) if at < len(rows) else None

    return [
        {"place": life.place, "pid": life.pid, "why": life.why, "at_s": (life.time_ns - begin) * 1e-9, "ms": times(life)}
        for life in history.lives
    ]
