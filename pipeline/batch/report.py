"""The report of a batch: batch.json, and the table at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.batch.items import Item
from pipeline.batch.merge import Merged
from pipeline.batch.plan import Options
from pipeline.errors import printable
from pipeline.graph.spec import GraphSpec

MOST_ROWS = 40
"""Lines of the table; of a longer batch only what failed is in it."""
_KEPT = ("frames", "wall_s", "dropped", "node_errors", "digest", "key")


@dataclass
class Row:
    """One item. state: done | skipped (done by an earlier call) | failed | left (not done when the batch stopped)"""

    item: Item
    state: str = "left"
    reasons: list[dict[str, Any]] = field(default_factory=list)  # of the tries that failed
    error: str = ""
    record: dict[str, Any] = field(default_factory=dict)
    tries: int = 0

    @property
    def done(self) -> bool:
        return self.state in ("done", "skipped")

    def skip(self, record: dict[str, Any]) -> None:
        self.state, self.record = "skipped", record

    def add(self, record: dict[str, Any], reason: str) -> None:
        """One try has ended; no reason: it was good."""
        self.tries += 1
        self.record = record
        if reason:
            self.reasons.append({"try": self.tries, "host": record.get("host"), "exit": record["exit"], "reason": reason})
        else:
            self.state = "done"

    def fail(self, reason: str) -> None:
        self.state, self.error = "failed", reason

    def plain(self) -> dict[str, Any]:
        found = {"folder": self.item.folder, "state": self.state, "tries": self.tries, "failed_tries": self.reasons}
        if self.error:
            found["error"] = self.error
        return found | {name: self.record[name] for name in _KEPT if name in self.record}


def make(spec: GraphSpec, options: Options, rows: Iterable[Row], merged: Merged, exit_: str, wall_s: float) -> dict[str, Any]:
    rows = list(rows)
    return {
        "graph": spec.name,
        "exit": exit_,
        "engine": options.engine,
        "wall_s": round(wall_s, 3),
        "counts": {state: sum(row.state == state for row in rows) for state in ("done", "skipped", "failed", "left")},
        "frames": sum(row.record.get("frames", 0) for row in rows if row.done),
        "items": {row.item.name: row.plain() for row in rows},
        "scores": merged.scores,
        "results": merged.results,
    }


def lines(report: dict[str, Any], out: str) -> list[str]:
    """The table, then what all items give together."""
    items = report["items"]
    shown = items if len(items) <= MOST_ROWS else {name: row for name, row in items.items() if row["state"] == "failed"}
    table = [["item", "state", "frames", "s", "tries", ""]]
    for name, row in list(shown.items())[:MOST_ROWS]:
        reasons = row.get("error") or "; ".join(f"try {t['try']}: {t['reason']}" for t in row["failed_tries"])
        done = row["state"] in ("done", "skipped")
        wall = f"{row['wall_s']:.1f}" if done and "wall_s" in row else ""
        cells = [name, row["state"], str(row.get("frames", "")) if done else "", wall, str(row["tries"]), reasons]
        table.append([printable(cell, 200) for cell in cells])
    counts = ", ".join(f"{n} {state}" for state, n in report["counts"].items() if n)
    out_lines = aligned(table) if len(table) > 1 else []
    out_lines.append(f"{report['graph']}: {report['exit']}, {len(items)} items in {report['wall_s']:.1f} s: {counts}")
    for node, score in report["scores"].items():
        out_lines.append(f"  {node}: {score['status']} (of {score['items']} items)")
    return [*out_lines, f"  results in {out}"]


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """First column to the left, numbers to the right, the last one as it is."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    out = []
    for row in table:
        cells = [row[0].ljust(widths[0]), row[1].ljust(widths[1])]
        cells += [cell.rjust(width) for cell, width in zip(row[2:-1], widths[2:-1], strict=True)]
        out.append("  ".join([*cells, row[-1]]).rstrip())
    return out
