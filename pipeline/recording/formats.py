"""From the name of a format to its class, which makes recordings that other tools read."""

from __future__ import annotations

from functools import cache

from pipeline.errors import GraphError
from pipeline.graph import lookup, project
from pipeline.recording.message import Format
from pipeline.settings import suggest

_PACKAGE = "operators.record"


@cache
def available() -> list[str]:
    """Names of the shipped formats, found without importing them. A recording names its format: nothing else is imported."""
    folder = project.SHIPPED.joinpath(*_PACKAGE.split("."))
    return sorted(path.stem for path in folder.glob("*.py") if b"(Format):" in path.read_bytes())


def format_class(name: str) -> type[Format]:
    """`foxglove` -> operators/record/foxglove.py."""
    cls = lookup.shipped_class(f"{_PACKAGE}.{name}", Format, name) if name in available() else None
    if cls is None:
        raise GraphError(f"unknown format of recordings {name[:40]!a}{suggest(name[:40], available())}")
    return cls
