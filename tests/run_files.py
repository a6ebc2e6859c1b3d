"""The folder of a run, written by hand: events whose times a test chooses, in ms since the start of the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.flow.log import DELIVERED, DROPPED, ERROR, PUBLISHED, REASON, REUSED, STEP
from pipeline.flow.slot import who
from pipeline.graph import load
from pipeline.graph.plan import Plan
from pipeline.options import RunOptions
from pipeline.runtime.runfile import describe
from pipeline.watch.history import History

BEGIN_NS = 5_000_000_000
"""CLOCK_MONOTONIC at 0 ms."""


def ns(ms: float) -> int:
    return BEGIN_NS + round(ms * 1e6)


class RunFiles:
    """`save` writes the events added since the last one, `history` opens the folder."""

    def __init__(self, out: Path, text: str, rate: float | None = None) -> None:
        self.plan = Plan(load.parse(text, "t.yaml"), RunOptions(out), "t-1-00000001")
        self.out, self.rows, self.files = out, [], 0
        self.steps: dict[str, int] = {}
        self.content = describe(self.plan) | {"time_ns": BEGIN_NS}
        if rate is not None:
            start = {"anchor_mono_ns": BEGIN_NS, "anchor_stamp_ns": 0, "wall_offset_ns": 0, "rate": rate, "live": False}
            self.content["start"] = start
        (out / "logs" / "events").mkdir(parents=True)
        (out / "logs" / "run.json").write_text(json.dumps(self.content))

    def who(self, frame: str) -> int:
        source, _, number = frame.partition(":")
        return who(self.plan.sources.index(source), int(number))

    def edge(self, name: str) -> int:
        return next(e.id for e in self.plan.edges if e.name == name)

    def add(
        self, kind: int, index: int, gen: int, frame: str, a: int, b: int = 0, c: int = 0, d: int = 0, reason: int = 0
    ) -> None:
        stamp_ns = int(frame.partition(":")[2]) * 100_000_000
        self.rows.append([kind | index << 8 | reason << 32, gen, self.who(frame), stamp_ns, a, b, c, d])

    def publish(self, port: str, frame: str, committed: float) -> None:
        index = next(p.index for p in self.plan.ports if f"{p.node}.{p.port}" == port)
        self.add(PUBLISHED, index, 1 + self.who(frame), frame, 64, 0, ns(committed))

    def step(self, node: str, frame: str, began: float, returned: float, committed: float, latency: float | None = None) -> None:
        """One call; of a source began and returned are those of read()."""
        is_source = node in self.plan.sources
        number = self.steps[node] = self.steps.get(node, -1) + 1
        latency_ns = -1 if latency is None else round(latency * 1e6)
        at, write = ns(committed if is_source else began), ns(committed) - ns(returned)
        self.add(STEP, self.plan.node_index[node], number, frame, ns(returned) - ns(began), latency_ns, at, write << 8)

    def read(self, port: str, frame: str, began: float, returned: float, committed: float) -> None:
        """A source reads and sends a frame."""
        self.publish(port, frame, committed)
        self.step(port.partition(".")[0], frame, began, returned, committed)

    def take(self, edge: str, frame: str, made: float, sent: float, taken: float, began: float, again: bool = False) -> None:
        """An input of the next `step`."""
        times = [ns(began) - ns(at) for at in (made, sent, taken)]
        self.add(REUSED if again else DELIVERED, self.edge(edge), 1 + self.who(frame), frame, times[0], times[1], 0, times[2])

    def drop(self, edge: str, frame: str, reason: str, at: float) -> None:
        self.add(DROPPED, self.edge(edge), 1 + self.who(frame), frame, ns(at), reason=REASON[reason])

    def error(self, node: str, frame: str, at: float) -> None:
        self.add(ERROR, self.plan.node_index[node], 0, frame, ns(at))

    def life(self, place: str, epoch: int, at: float, why: str = "", pid: int | None = 7) -> None:
        with (self.out / "logs" / "lives.jsonl").open("a") as file:
            file.write(json.dumps({"place": place, "epoch": epoch, "pid": pid, "time_ns": ns(at), "why": why}) + "\n")

    def save(self) -> None:
        path = self.out / "logs" / "events" / f"{self.files:08d}.events"
        path.write_bytes(np.array(self.rows, "<i8").reshape(-1, 8).tobytes())
        self.files, self.rows = self.files + 1, []

    def history(self) -> History:
        self.save()
        return History(self.out)


def check_trace(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The events of a trace by their phase. What Perfetto needs holds: see the assertions."""
    events = json.loads(path.read_text())["traceEvents"]
    by_phase: dict[str, list[dict[str, Any]]] = {phase: [] for phase in "MXsfCi"}
    named: set[tuple[int, int]] = set()
    for event in events:
        by_phase[event["ph"]].append(event)
        assert isinstance(event["pid"], int) and isinstance(event["tid"], int) and isinstance(event["name"], str)
        if event["ph"] == "M":
            named.add((event["pid"], event["tid"]))
        else:
            assert (event["pid"], event["tid"]) in named, "a track without a name"
    times = [event["ts"] for event in events if event["ph"] != "M"]
    assert times == sorted(times) and all(at >= 0 for at in times)
    slices: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for event in by_phase["X"]:
        track = slices.setdefault((event["pid"], event["tid"]), [])
        assert event["dur"] >= 0 and (not track or event["ts"] >= track[-1][1] - 5e-4), "slices of a track overlap"
        track.append((event["ts"], event["ts"] + event["dur"]))
    begins, ends = {e["id"]: e for e in by_phase["s"]}, {e["id"]: e for e in by_phase["f"]}
    assert begins.keys() == ends.keys() and len(begins) == len(by_phase["s"]) == len(by_phase["f"])
    for number, begin in begins.items():
        assert begin["ts"] <= ends[number]["ts"] and begin["name"] == ends[number]["name"]
        for end in (begin, ends[number]):
            inside = slices[end["pid"], end["tid"]]
            assert any(a - 5e-4 <= end["ts"] <= b + 5e-4 for a, b in inside), "an arrow needs a slice at both ends"
    assert all(event["args"]["frames"] >= 0 for event in by_phase["C"])
    return by_phase
