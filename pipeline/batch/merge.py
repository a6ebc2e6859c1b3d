"""What all items of a batch give together: DIR/_all/NODE/, as if one run had played them all.

Scores are made from the scored data of every frame, never from means of means. A scoring sink keeps a line per frame in its
journal, from which it goes on after a crash; here a node goes on after the last frame of the last item, with the lines of all of
them, and writes its scores.json. If sequences of two items have one name, that of the item's folder is put in front.
Files of other sinks are linked, relative, where no two items have a file of the same name: `pipe eval` reads that folder.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.batch.folder import Folder
from pipeline.batch.items import RESERVED, Item
from pipeline.batch.work import journal, keep_journals
from pipeline.errors import explain
from pipeline.frame import Header
from pipeline.graph.spec import GraphSpec, NodeSpec
from pipeline.operator import Operator, Resume, attach, prepare
from pipeline.runtime import threads


@dataclass
class Merged:
    """scores: node -> status, items, file; results: node -> folder of links; problems: a line for what could not be merged."""

    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def merge(spec: GraphSpec, folder: Folder, items: Sequence[Item]) -> Merged:
    """items: those that are done, in the order of the batch."""
    found = Merged()
    target = folder.path / RESERVED
    try:
        if target.is_dir():
            shutil.rmtree(target)
        for name, node in keep_journals(spec).nodes.items():
            if not node.is_sink or not items:
                continue
            if journal(node.cls):
                _scores(node, folder, items, target / name, found)
            elif _link(folder, items, name, target / name):
                found.results[name] = f"{RESERVED}/{name}"
    except OSError as error:
        found.problems.append(f"{target}: cannot be written: {error.strerror}")
    return found


def _scores(node: NodeSpec, folder: Folder, items: Sequence[Item], target: Path, found: Merged) -> None:
    sources = [(item, path) for item in items if (path := folder.of(item) / node.name / journal(node.cls)).is_file()]
    if not sources:
        return
    try:
        status = _goes_on(node, sources, target)
    except Exception as error:  # a user's own sink, a journal that was damaged
        shutil.rmtree(target, ignore_errors=True)
        found.problems.append(f"{node.name}: the scores of all items cannot be made: {explain(error)}")
        return
    found.scores[node.name] = {"status": status, "items": len(sources), "folder": f"{RESERVED}/{node.name}"}


def _goes_on(node: NodeSpec, sources: Sequence[tuple[Item, Path]], target: Path) -> str:
    """A node that is started again after the last frame of all -> its status."""
    target.mkdir(parents=True)
    last = -1
    name = ""
    with (target / journal(node.cls)).open("w", encoding="utf-8") as out:
        for last, (name, value) in enumerate(_rows(sources)):
            out.write(json.dumps([last, name, value]) + "\n")
    operator = node.cls()
    assert isinstance(operator, Operator)
    resume = Resume(1, last, name, last + 1)
    prepare(operator, node.name, node.config, threads=node.threads, out_dir=target, resume=resume)
    operator.header = Header(node.name, last, name, 0)
    status = [""]
    attach(operator, show=status.append)
    with threads.limit(node.threads):
        operator.open()
        operator.close()
    (target / journal(node.cls)).unlink()
    return status[-1]


def _rows(sources: Sequence[tuple[Item, Path]]) -> Iterator[tuple[str, Any]]:
    """Item of the frame, scored data."""
    of = [{_sequence(name) for name, _ in _read(path)} for _, path in sources]
    shared = len(set().union(*of)) < sum(map(len, of))
    for item, path in sources:
        for name, value in _read(path):
            yield f"{item.folder}/{name}" if shared else name, value


def _read(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            _, name, value = json.loads(line)
            yield name, value


def _sequence(name: str) -> str:
    return name.rpartition("/")[0]


def _link(folder: Folder, items: Sequence[Item], node: str, target: Path) -> bool:
    """Link the files of a sink. False if two items have a file of the same name, or there is none."""
    found: dict[str, Path] = {}
    for item in items:
        own = folder.of(item) / node
        for above, _, names in os.walk(own):
            for name in names:
                path = Path(above) / name
                inside = str(path.relative_to(own))
                if inside.startswith(".") or "/." in inside:
                    continue
                if inside in found:
                    return False
                found[inside] = path
    for inside, path in found.items():
        link = target / inside
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(path, link.parent))
    return bool(found)
