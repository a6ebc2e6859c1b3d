"""DIR/logs/run.json: what a run is, so that its events can be read without its graph file; lives.jsonl: its processes.

`watch/history.py` reads both. run.json is written before the processes start, and again, with `start`, before the first frame.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import re
import time
from pathlib import Path
from time import monotonic_ns
from typing import Any

from pipeline.flow import chunks
from pipeline.flow.clock import wall_offset
from pipeline.flow.lines import Lines
from pipeline.flow.log import REASONS
from pipeline.graph.plan import Plan
from pipeline.graph.spec import NodeSpec
from pipeline.machine.facts import facts
from pipeline.operator import BEST
from pipeline.runtime.messages import Start
from pipeline.settings import plain

RUN_FILE, LIVES_FILE, EVENTS_DIR = "run.json", "lives.jsonl", "events"
FORMAT = 1
_LOGIN = re.compile(r'(\w://)[^/@\s"]+@')
"""User and password of a camera's address: rtsp://USER:PASSWORD@HOST. Folders of runs are shown to others."""
_PACKAGES = ("perception-pipe", "numpy", "numba", "torch", "opencv-python", "opencv-python-headless", "pyzmq")


class RunFile:
    """Both files of one run. Nothing here raises: a full disk is told by `unwritten`."""

    def __init__(self, plan: Plan, logs: Path) -> None:
        self.path = logs / RUN_FILE
        self._lives = Lines(logs / LIVES_FILE)
        self._content = describe(plan)
        self._why = ""
        self._save()

    def add_versions(self) -> None:
        """While the processes start: the search for packages takes 0.05 s."""
        self._content["versions"] = versions()
        self._save()

    def started(self, start: Start) -> None:
        """The graph clock starts now."""
        self._content["start"] = {
            "anchor_mono_ns": start.anchor_mono_ns,
            "anchor_stamp_ns": start.anchor_stamp_ns,
            "wall_offset_ns": start.wall_ns,
            "rate": start.rate,
            "live": start.live,
        }
        self._save()

    def life(self, place: str, epoch: int, pid: int | None, why: str) -> None:
        """A process was started. epoch: number of deaths before; why: of a successor. pid None: it died and was given up."""
        line = {"place": place, "epoch": epoch, "pid": pid, "time_ns": monotonic_ns(), "why": why}
        self._lives.add(json.dumps(line))
        self._lives.flush()

    def unwritten(self) -> list[str]:
        """Texts: each file that lacks something, and why."""
        self._lives.flush()
        lacking = [(self.path, self._why)] if self._why else []
        if self._lives.pending:
            lacking.append((self._lives.path, self._lives.why))
        return [f"{path}: needs to be written, got: {why}; pipe why cannot read this run" for path, why in lacking]

    def close(self) -> None:
        self._lives.close()

    def _save(self) -> None:
        """By a rename, so that a reader finds the old or the new file."""
        temporary = self.path.with_suffix(".tmp")
        try:
            text = json.dumps(self._content, indent=1, default=str)
            temporary.write_text(_LOGIN.sub(r"\1***@", text) + "\n", encoding="utf-8")
            os.replace(temporary, self.path)
            self._why = ""
        except OSError as error:
            self._why = error.strerror or str(error)
            with contextlib.suppress(OSError):
                temporary.unlink()


def describe(plan: Plan) -> dict[str, Any]:
    """The content of run.json before the start. Indices are those of the events."""
    graph, options = plan.graph, plan.options
    return {
        "format": FORMAT,
        "run": plan.run_id,
        "graph": graph.name,
        "file": graph.path,
        "text": graph.text,
        "wall_ns": time.time_ns(),
        "time_ns": monotonic_ns(),
        "wall_offset_ns": wall_offset(),
        "live": graph.live,
        "options": {"frames": options.frames, "duration_s": options.duration_s, "rate": options.rate},
        "places": list(plan.places),
        "nodes": [_node(plan, name) for name in plan.node_index],
        "ports": [{"index": p.index, "node": p.node, "port": p.port, "edges": p.edges} for p in plan.ports],
        "edges": [
            {
                "index": e.id,
                "name": e.name,
                "from": [e.src_node, e.src_port],  # both may hold dots
                "to": [e.dst_node, e.dst_port],
                "static": e.static,
                "policy": spec.policy,
                "size": spec.size,
            }
            for e, spec in zip(plan.edges, plan.edge_specs, strict=True)
        ],
        "sources": plan.sources,
        "reasons": list(REASONS),
        "faults": [{"bit": i, "node": f.node, "fault": f.fault, "text": f.text} for i, f in enumerate(graph.faults)],
        "events": {"chunk_bytes": chunks.CHUNK_BYTES, "most_chunks": chunks.MOST_CHUNKS},
        "machine": facts(ask=lambda: ""),
        "versions": {},
        "commit": commit(Path(__file__).resolve()),
        "start": None,
    }


def _node(plan: Plan, name: str) -> dict[str, Any]:
    node = plan.graph.nodes[name]
    return {
        "index": plan.node_index[name],
        "name": name,
        "op": node.op,
        "driver": node.driver,
        "place": node.place,
        "kind": kind_of(node),
        "trigger": node.trigger,
        "levels": [BEST, *(level.name for level in node.levels)] if node.levels else [],
        "config": plain(node.config),
    }


def kind_of(node: NodeSpec) -> str:
    """source | operator | sink | tap"""
    return "source" if node.is_source else "tap" if node.is_tap else "sink" if node.is_sink else "operator"


@functools.cache
def versions() -> dict[str, str]:
    """Of Python, the kernel and the packages that are installed; nothing is imported."""
    from importlib import metadata

    found = {"python": platform.python_version(), "kernel": platform.release()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit(inside: Path) -> str | None:
    """The commit of the checkout around a file, read without git; None outside a checkout."""
    for folder in inside.parents:
        git = folder / ".git"
        try:
            if git.is_file():  # a worktree: "gitdir: PATH"
                git = folder / git.read_text().removeprefix("gitdir:").strip()
            if git.is_dir():
                return _head(git)
        except OSError:
            return None
    return None


def _head(git: Path) -> str | None:
    """The hash that HEAD stands for. A worktree keeps its branches in the folder that `commondir` names."""
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref: "):
        return head
    name = head.removeprefix("ref: ")
    shared = git / "commondir"
    git = git / shared.read_text().strip() if shared.is_file() else git
    if (git / name).is_file():
        return (git / name).read_text().strip()
    packed = (git / "packed-refs").read_text() if (git / "packed-refs").is_file() else ""
    return next((line.partition(" ")[0] for line in packed.splitlines() if line.endswith(f" {name}")), None)
