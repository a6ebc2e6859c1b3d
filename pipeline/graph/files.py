"""The files of a graph: finds them, reads the keys at their top, applies `--set`, follows `includes:`.

An included graph is a whole one: it runs alone, too. Inside of it names stay as they are (`cam.image`); outside of it they
begin with its name (`front.cam.image`): in the graph around it, on the command line and in all results. Messages name the file
and line where a value stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pipeline import settings
from pipeline.errors import GraphError, Where
from pipeline.graph import project, yamlfile
from pipeline.graph.spec import at_least
from pipeline.settings import nearest, suggest

SHIPPED = Path(__file__).parents[2] / "graphs"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")
NAME_NEEDS = "needs a name of at most 100 letters, digits, _ and -, starting with a letter"
"""Of nodes, processes and included graphs: names of folders and files."""
MOST_PARTS = 1000
"""Files of one graph, each time that one is included. A few files that include each other could stand for millions."""


@dataclass(frozen=True)
class _Budget:
    """What a finished run is held to; see runtime/budget.py."""

    latency_ms: float | None = None
    min_rate_hz: float | None = None
    drops_percent: float | None = None
    memory_mb: float | None = None

    def __post_init__(self) -> None:
        at_least(self.latency_ms, 0, "latency_ms", above=True)
        at_least(self.min_rate_hz, 0, "min_rate_hz", above=True)
        at_least(self.drops_percent, 0, "drops_percent", most=100)
        at_least(self.memory_mb, 0, "memory_mb", above=True)


@dataclass(frozen=True)
class _Quality:
    target_latency_ms: float | None = None

    def __post_init__(self) -> None:
        at_least(self.target_latency_ms, 0, "target_latency_ms", above=True)


@dataclass(frozen=True)
class _File:
    """The keys at the top of a file. `settings.build` refuses all others."""

    version: Literal[1]
    nodes: dict[str, Any] = field(default_factory=dict)
    budget: _Budget = field(default_factory=_Budget)
    quality: _Quality = field(default_factory=_Quality)
    includes: tuple[Any, ...] = ()


class Set(NamedTuple):
    """A value that replaces one of a file. target: NODE.config.KEY in the words of that file; mark: its place in messages."""

    target: str
    value: Any
    mark: str


@dataclass(frozen=True)
class Part:
    """One file of a graph. prefix: of the names of its nodes, "" or "front."; top: of the file."""

    prefix: str
    top: Where
    raw: _File
    text: str


class _Include(NamedTuple):
    path: Path
    label: str
    name: str
    sets: list[Set]
    where: Where


def find_file(name: str) -> Path:
    """`demo`: a shipped graph, or graphs/demo.yaml of the project around the working folder. `./demo`, `demo.yaml`: the file."""
    path = Path(name)
    shipped = {p.stem: p for p in sorted(SHIPPED.glob("*.yaml"))}
    if name in shipped:
        return shipped[name]
    if path.is_file():
        return path
    if path.name == name and name.removesuffix(".yaml") in shipped:
        return shipped[name.removesuffix(".yaml")]
    root = project.around(Path.cwd())
    if path.name == name and root is not None and (own := root / "graphs" / f"{name.removesuffix('.yaml')}.yaml").is_file():
        return own
    near = nearest(path.stem, shipped)
    hint = f"did you mean the shipped graph {near}?" if near else f"shipped graphs: {', '.join(shipped) or 'none'}"
    raise GraphError(f"{name}: {'is a folder, not a graph file' if path.is_dir() else 'no such graph file'}; {hint}")


def read_text(path: Path, name: str) -> str:
    """name: of the file in messages."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise GraphError(f"{name}: cannot read the graph: {reason}") from None


def given_sets(sets: Iterable[str] | Mapping[str, Any]) -> list[Set]:
    """`NODE.config.KEY=VALUE` texts of `--set`, or {"NODE.config.KEY": value}."""
    items = sets.items() if isinstance(sets, Mapping) else (_split_set(text) for text in sets)
    return [
        Set(target, value, f"--set {target}={value if isinstance(value, (str, int, float)) else settings.show(value)}")
        for target, value in items
    ]


def _split_set(text: str) -> tuple[str, Any]:
    target, equals, value = text.partition("=")
    if not equals:
        raise GraphError(f"--set {text}: needs NODE.config.KEY=VALUE, got no =")
    return target.strip(), yamlfile.read(value, f"--set {text}")[0]


def parts(text: str, file: str, sets: Iterable[str] | Mapping[str, Any] = (), path: Path | None = None) -> list[Part]:
    """The graph, then those that it includes, each followed by its own. path: of the file, None: of the name `file`."""
    found: list[Part] = []
    at = Path(file) if path is None else path
    _read(text, file, at, given_sets(sets), "", (at.resolve(),), found)
    if not any(part.raw.nodes for part in found):
        raise found[0].top.child("nodes").error("needs at least one node, got none")
    return found


def _read(text: str, file: str, path: Path, sets: list[Set], prefix: str, chain: tuple[Path, ...], found: list[Part]) -> None:
    """Adds the file and all that it includes to `found`. chain: the files around it, itself at the end."""
    data, marks = yamlfile.read(text, file)
    top = Where(file, marks, prefix=prefix)
    if not isinstance(data, dict):
        raise top.error(f"needs a mapping with version: 1 and nodes:, got {settings.show(data)}")
    if "version" not in data:
        raise Where(file).error("needs version: 1 at the top, got none")
    if "nodes" not in data and "includes" not in data:
        raise top.child("nodes").error("needs a value (a mapping), got none")
    includes = _includes(data, top, path.parent)
    _apply(sets, data, marks, includes, prefix)
    raw: _File = settings.build(_File, data, top)
    found.append(Part(prefix, top, raw, text))
    for include in includes:
        if len(found) >= MOST_PARTS:
            raise include.where.error(f"needs at most {MOST_PARTS} included graphs in all, got more")
        resolved = include.path.resolve()
        if resolved in chain:
            loop = " -> ".join(p.name for p in (*chain[chain.index(resolved) :], resolved))
            raise include.where.child("graph").error(f"needs a graph that does not include this one, got {loop}")
        inner = read_text(include.path, str(include.where.child("graph")) + f": {include.label}")
        _read(inner, include.label, include.path, include.sets, f"{prefix}{include.name}.", (*chain, resolved), found)


def _includes(data: dict[str, Any], top: Where, folder: Path) -> list[_Include]:
    entries, where = data.get("includes", []), top.child("includes")
    if not isinstance(entries, list):
        raise where.error(f"needs a list such as [{{graph: one_camera.yaml, as: front}}], got {settings.show(entries)}")
    taken = list(data["nodes"]) if isinstance(data.get("nodes"), dict) else []
    found = []
    for i, entry in enumerate(entries):
        found.append(_include(entry, where.child(i), folder))
        if found[-1].name in taken:
            raise where.child(i, "as").error(f"needs a name that no other node or included graph has, got {found[-1].name}")
        taken.append(found[-1].name)
    return found


def _include(entry: Any, where: Where, folder: Path) -> _Include:
    if not isinstance(entry, dict):
        raise where.error(f"needs a mapping with graph: and as:, got {settings.show(entry)}")
    for key in entry:
        if key not in ("graph", "as", "set"):
            raise where.child(key).error(f"unknown key{suggest(key, ('graph', 'as', 'set'))}")
    graph, name, sets = entry.get("graph"), entry.get("as"), entry.get("set")
    if not isinstance(graph, str) or not graph:
        raise where.child("graph").error(f"needs the path or name of a graph, got {settings.show(graph)}")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise where.child("as").error(f"{NAME_NEEDS}, got {settings.show(name)}")
    if sets is not None and not isinstance(sets, dict):
        raise where.child("set").error(f"needs a mapping such as {{cam.config.device: 0}}, got {settings.show(sets)}")
    beside = folder / graph
    if graph not in {p.stem for p in SHIPPED.glob("*.yaml")} and beside.is_file():
        path, label = beside, str(beside)
    else:
        try:
            path = find_file(graph if Path(graph).name == graph else str(beside))
        except GraphError as error:
            raise where.child("graph").error(str(error)) from None
        label = path.name
    return _Include(path, label, name, [_inner_set(str(target), value, where) for target, value in (sets or {}).items()], where)


def _inner_set(target: str, value: Any, where: Where) -> Set:
    line = where.child("set", target).line
    return Set(target, value, f"{where.file}:{line}: {where.child('set').name}")


def _apply(
    sets: Iterable[Set], data: dict[str, Any], marks: dict[yamlfile.Key, int | str], includes: list[_Include], prefix: str
) -> None:
    """Apply `set` and `--set` to the data, before they are checked; those of an included graph are passed on to it."""
    nodes = data.get("nodes")
    inner = {include.name: include for include in includes}
    known = [*(nodes if isinstance(nodes, dict) else ()), *inner]
    for target, value, mark in sets:
        keys = tuple(target.split("."))
        if len(keys) < 2 or not all(keys):
            raise GraphError(f"{mark}: needs NODE.config.KEY=VALUE or NODE.KEY=VALUE")
        if keys[0] in inner:
            inner[keys[0]].sets.append(Set(".".join(keys[1:]), value, mark))
            continue
        if keys[0] in known:
            path = ("nodes", *keys)
        elif keys[0] in ("budget", "quality") and not prefix:
            path = keys
        else:
            raise GraphError(f"{mark}: no node {prefix}{keys[0]}{suggest(keys[0], known)}")
        yamlfile.assign(data, marks, path, value, mark)
