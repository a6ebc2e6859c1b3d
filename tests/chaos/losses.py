"""Frames named as lost on the way to a sink, read from drops.jsonl, not from the engine's books."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path


def lost_on_the_way(out: Path, edges: Sequence[tuple[str, str, str]], sink: str) -> set[int]:
    """frame_ids. edges: (name, from node, to node) of the whole graph."""
    behind, names = {sink}, set()
    while new := {(name, src) for name, src, dst in edges if dst in behind and name not in names}:
        names |= {name for name, _ in new}
        behind |= {src for _, src in new}
    path = out / "logs" / "drops.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    told = [json.loads(line) for line in lines]
    return {int(line["frame"].rpartition(":")[2]) for line in told if line["edge"] in names}
