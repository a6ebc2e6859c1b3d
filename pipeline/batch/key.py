"""The key of an item: four digests. An item whose key is that of an earlier run is done.

graph     text of the graph file and of those that it includes
settings  overrides and the config of every node with environment and defaults filled in; --frames
input     names, sizes and mtimes of the files that the config names, not their content: reading it would cost as much as the run
version   package, sources (weights among them), libraries, modules of the user

Of a folder that the config names, all files below count, but not those of other items: in a folder with an entry that carries the
item's name (0002, 0002.txt), other entries of the same kind (folders; files with this suffix) belong to other items. So a new
sequence beside the others leaves the keys of those as they are, and a new calibration of one changes the key of this one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.batch import version
from pipeline.errors import InputError
from pipeline.graph import lookup
from pipeline.graph.spec import GraphSpec
from pipeline.settings import plain

MOST_FILES = 2_000_000
Key = dict[str, str]


def key(spec: GraphSpec, item: str, sets: Mapping[str, Any], frames: int | None) -> Key:
    """Raises InputError if the files of an input cannot be listed."""
    nodes = {name: [lookup.class_ref(node.cls), plain(node.config)] for name, node in spec.nodes.items()}
    modules = version.own_modules(spec.project, (lookup.class_file(node.cls) for node in spec.nodes.values()))
    return {
        "graph": _digest(spec.text),
        "settings": _digest([dict(sets), nodes, frames]),
        "input": _digest([[path, list(files(Path(path).expanduser(), item))] for path in paths(nodes)]),
        "version": _digest([version.code(), modules]),
    }


def changed(old: Any, new: Key) -> list[str]:
    """The parts that differ; all of them where the old key is none."""
    return [name for name in new if not isinstance(old, dict) or old.get(name) != new[name]]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def paths(value: Any) -> list[str]:
    """All texts in plain data that name something on this disk, sorted."""
    found: set[str] = set()
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, Mapping):
            todo += one.values()
        elif isinstance(one, (list, tuple)):
            todo += one
        elif isinstance(one, str) and one and len(one) < 4096 and "\0" not in one and os.path.lexists(os.path.expanduser(one)):
            found.add(one)
    return sorted(found)


def files(path: Path, item: str) -> Iterator[tuple[str, int, int]]:
    """Name, size, mtime [ns] of a file, or of the files of a folder that are no other item's."""
    try:
        if not path.is_dir():
            stat = path.stat()
            yield "", stat.st_size, stat.st_mtime_ns
            return
        for number, row in enumerate(_below(path, "", Path(item).name, _carries(path.name, Path(item).name), set())):
            if number >= MOST_FILES:
                raise InputError(f"{path}: needs at most {MOST_FILES:,} files, got more; is it the folder of the input?")
            yield row
    except OSError as error:
        raise InputError(f"{error.filename or path}: cannot be listed: {error.strerror}") from None


def _below(folder: Path, prefix: str, item: str, inside: bool, seen: set[tuple[int, int]]) -> Iterator[tuple[str, int, int]]:
    """inside: everything here is the item's; seen: folders, since a link may lead back to one."""
    stat = folder.stat()
    if (stat.st_dev, stat.st_ino) in seen:
        return
    seen.add((stat.st_dev, stat.st_ino))
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    own = set() if inside else {entry.name for entry in entries if _carries(entry.name, item)}
    kinds = {_kind(entry) for entry in entries if entry.name in own}
    for entry in entries:
        if entry.name not in own and _kind(entry) in kinds:
            continue
        name = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _below(Path(entry.path), f"{name}/", item, inside or entry.name in own, seen)
        else:
            try:
                stat = entry.stat()
            except FileNotFoundError:  # a link to nothing
                stat = entry.stat(follow_symlinks=False)
            yield name, stat.st_size, stat.st_mtime_ns


def _carries(name: str, item: str) -> bool:
    return item in (name, name.partition(".")[0], name.rpartition(".")[0])


def _kind(entry: os.DirEntry[str]) -> str:
    return "/" if entry.is_dir() else os.path.splitext(entry.name)[1]
