"""`pipe ops`: lists operators and drivers, and shows inputs, outputs and config of one of them."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import io
import sys
import tokenize
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.operator import Level

UNITS = ("m", "s", "ms", "ns", "hz", "px", "bytes", "mb", "rad", "deg", "k")
"""Suffixes of names that say the unit."""


def add(parser: argparse.ArgumentParser) -> None:
    parser.description = "List operators and drivers; with NAME show the ports of one, its config keys with defaults and units."
    parser.add_argument("name", nargs="?", help="lidar.voxelize, kitti.tracking, mypkg.module:Class, ...")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from pipeline.graph import project

    project.use(project.around(Path.cwd()))
    print("\n".join(listing() if args.name is None else show(args.name)))
    return 0


def listing() -> list[str]:
    """One line per node, those of the current project first; imports nothing. `! REASON` if an import would fail."""
    from pipeline.graph import catalog, lookup, project

    groups: dict[str, dict[str, str]] = {}
    for kind, title in (("op", "operators"), ("driver", "drivers")):
        own, shipped = lookup.own_nodes(kind), lookup.shipped_nodes(kind)
        if own:
            taken = {
                name: f"! {path} has the name of the shipped {shipped[name]}" for name, path in own.items() if name in shipped
            }
            own_title = f"{title} of {project.current()}"
            groups[own_title] = {name: taken.get(name) or catalog.about(path) for name, path in own.items()}
    groups |= {"operators": {}, "drivers": {}, "test nodes": {}}
    for kind, title in (("op", "operators"), ("driver", "drivers")):
        for name, path in lookup.shipped_nodes(kind).items():
            groups["test nodes" if name.startswith("test.") else title][name] = catalog.about(path)
        for name, entry in lookup.entries(kind).items():
            groups[title].setdefault(name, f"of an installed package: {entry}")
    width = max((len(name) for group in groups.values() for name in group), default=0)
    lines = []
    for title, group in groups.items():
        lines += [title, *(f"  {name:<{width}}  {text}".rstrip() for name, text in sorted(group.items())), ""]
    return lines[:-1]


def show(name: str) -> list[str]:
    """Everything about one operator or driver."""
    from pipeline.graph import lookup
    from pipeline.operator import Source
    from pipeline.schema import ports

    cls = lookup.node_class(name)
    kind = "driver" if issubclass(cls, Source) else "op"
    lines = [f"{kind}: {name}    {lookup.class_ref(cls)}", "", *document(cls).splitlines()]
    for title, declared in (("inputs", getattr(cls, "inputs", {})), ("outputs", cls.outputs)):
        if declared:
            lines += ["", title, *_ports(ports(declared, name), getattr(cls, "holds", {}))]
    if getattr(cls, "levels", ()):
        lines += ["", "levels, of graphs with quality:", *_levels(cls.levels)]
    live = getattr(cls, "tunable", ())
    keys = _config(cls.Config, live)
    about = "config; `pipe set` changes live keys while the graph runs" if live else "config"
    return [*lines, "", about, *(keys or ["  none"])]


def document(cls: type) -> str:
    """The contract of a node: the docstring of its file, or of its class if the file has none."""
    module = sys.modules.get(cls.__module__)
    return inspect.cleandoc(getattr(module, "__doc__", None) or cls.__dict__.get("__doc__") or "")


def _ports(declared: Any, holds: Any) -> list[str]:
    rows = []
    for name, port in declared.items():
        schema = port.schema
        notes = [note for note, on in (("static", port.static), ("optional", port.optional)) if on]
        notes += [f"{schema.frame} frame"] if schema.frame else []
        notes += [f"scores: {schema.kind}"] if schema.kind else []
        notes += [f"holds {holds[name]}"] if holds.get(name) else []
        rows.append((name, schema.name, ", ".join(notes), ""))
        if schema.any:
            rows.append(("", "", "any arrays", ""))
        for array, spec in schema.arrays.items():
            unit = f" [{spec.unit}]" if spec.unit else ""
            rows.append(("", f"  {array}", spec.describe() + unit, spec.about))
    return _table(rows)


def _levels(levels: Sequence[Level]) -> list[str]:
    rows = []
    for level in levels:
        time = f"{level.cost:.0%} of the time" if level.cost < 1 else ""
        readers = f"{level.readers:.0%} of that of its readers" if level.readers < 1 else ""
        rows.append((level.name, level.about, ", ".join(part for part in (time, readers) if part), f"loss {level.loss:g}"))
    return _table(rows)


def _config(config_cls: type, live: Sequence[str]) -> list[str]:
    rows = _keys(config_cls, "", None)
    if not live:
        return _table(rows)
    return _table([(*row[:-1], "live" if row[0].partition(".")[0] in live else "", row[-1]) for row in rows])


def _keys(config_cls: type, prefix: str, values: Any) -> list[tuple[str, ...]]:
    """One row per key; keys of a nested mapping follow as `outer.inner`. `values` holds defaults that the class does not have."""
    from pipeline import settings

    comments = _comments(config_cls)
    hints = settings.field_types(config_cls)
    rows: list[tuple[str, ...]] = []
    for f in dataclasses.fields(config_cls):
        if f.name not in hints:
            continue
        missing = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if values is not None:
            default = getattr(values, f.name)
        elif f.default_factory is not dataclasses.MISSING:
            default = f.default_factory()
        else:
            default = f.default
        about = comments.get(f.name, "")
        nested = dataclasses.is_dataclass(default) and not isinstance(default, type)
        shown = "(required)" if missing and values is None else "" if nested else settings.show(default)
        rows.append((prefix + f.name, settings.describe(hints[f.name]), shown, unit(f.name), about))
        if nested:
            rows += _keys(type(default), f"{prefix}{f.name}.", default)
    return rows


def unit(name: str) -> str:
    """cell_m -> m; a name without one of the unit suffixes has none."""
    stem, _, last = name.rpartition("_")
    return {"hz": "Hz", "mb": "MB", "k": "K"}.get(last, last) if stem and last in UNITS else ""


def _comments(config_cls: type) -> dict[str, str]:
    """Field -> the comment behind it in the source, inherited ones included."""
    out: dict[str, str] = {}
    for cls in reversed(config_cls.__mro__[:-1]):
        try:
            source = inspect.getsource(cls)
        except (OSError, TypeError):
            continue  # made by @operator, or its source is not available
        lines = source.splitlines()
        comments = [t for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type == tokenize.COMMENT]
        for token in comments:
            name, colon, _ = lines[token.start[0] - 1].strip().partition(":")
            if colon and name.isidentifier():
                out[name] = token.string.lstrip("# ")
    return out


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    return ["  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
