"""From the name of a format to its class, which makes recordings that other tools read."""

from __future__ import annotations

from pipeline.errors import GraphError
from pipeline.graph import lookup
from pipeline.recording.message import Format


def format_class(name: str) -> type[Format]:
    """`foxglove` -> operators/record/foxglove.py, or `mypkg.module:Class`."""
    module = f"operators.record.{name}"
    cls = lookup.class_by_ref(name) if ":" in name else lookup.shipped_class(module, Format, name)
    if cls is None:
        raise GraphError(f"unknown format of recordings {name}; there is no {module}")
    if not issubclass(cls, Format):
        raise GraphError(f"{name}: needs a subclass of pipeline.recording.message.Format, got {cls.__name__}")
    return cls
