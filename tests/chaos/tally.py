"""Counts of attacks and findings."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

FINDINGS = ("leaks", "hangs", "torn", "unaccounted", "failed")


@dataclass
class Tally:
    """Counts and findings of one scenario, or of all.

    kills        (step or method, kind of node) -> SIGKILLs that hit a living process
    quiescences  moments at which ids, slots, descriptors, processes and sockets of the waiting graph were all checked
    left_out     attacks that are not possible on this machine
    failed       any other failure: a run that did not end well, fewer than 20 frames between two kills
    """

    name: str = ""
    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    restarts: int = 0
    frames: int = 0
    quiescences: int = 0
    supervisors: int = 0
    stops: int = 0
    leaks: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    unaccounted: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.kills += other.kills
        for number in ("restarts", "frames", "quiescences", "supervisors", "stops"):
            setattr(self, number, getattr(self, number) + getattr(other, number))
        self.left_out += other.left_out
        for finding in FINDINGS:
            getattr(self, finding).extend(f"{other.name}: {text}" for text in getattr(other, finding))

    @property
    def found(self) -> int:
        return sum(len(getattr(self, finding)) for finding in FINDINGS)

    def table(self) -> str:
        """Kills by step (rows) and kind of node (columns)."""
        kinds = sorted({kind for _, kind in self.kills})
        steps = list(dict.fromkeys(step for step, _ in self.kills))
        lines = ["  ".join([f"{'killed':<24}", *(f"{kind:>9}" for kind in kinds)])]
        for step in steps:
            counts = [self.kills[step, kind] for kind in kinds]
            lines.append("  ".join([f"{step:<24}", *(f"{n or '-':>9}" for n in counts)]))
        return "\n".join(lines)

    def summary(self) -> str:
        """The summary, without lists of findings."""
        numbers = {
            "kills": sum(self.kills.values()),
            "restarts": self.restarts,
            "supervisors killed": self.supervisors,
            "stopped and continued": self.stops,
            "frames": self.frames,
            "quiescence checks": self.quiescences,
            **{finding: len(getattr(self, finding)) for finding in FINDINGS},
        }
        return "   ".join(f"{what}: {n}" for what, n in numbers.items())

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        kills: dict[str, dict[str, int]] = {}
        for (step, kind), n in self.kills.items():
            kills.setdefault(step, {})[kind] = n
        counts = {n: getattr(self, n) for n in ("restarts", "frames", "quiescences", "supervisors", "stops")}
        return {"kills": kills, **counts, "left_out": self.left_out, **{finding: getattr(self, finding) for finding in FINDINGS}}
