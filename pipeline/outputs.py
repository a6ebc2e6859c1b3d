"""Checks of what a node sends, shared by the engine, `pipeline.testing` and `pipe run --only`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from pipeline.errors import FrameError
from pipeline.schema import Port


def by_port(result: Any, outputs: Collection[str], node: str) -> Mapping[str, Any]:
    """The result of `process` as {port: value}; empty if it is None. `outputs` are the names of the node's ports.

    Raises FrameError if a sink returned something, or a node with several ports returned no mapping.
    """
    if result is None:
        return {}
    if not outputs:
        raise FrameError(f"{node}: is a sink, its process() must return None, got {type(result).__name__}")
    if len(outputs) == 1:
        return {next(iter(outputs)): result}
    if type(result) is not dict and not isinstance(result, Mapping):  # the cheap test comes first
        raise FrameError(f"{node}: process() must return {{port: value}} for {', '.join(outputs)}, got {type(result).__name__}")
    return result


def arrays_of(value: Any, ports: Mapping[str, Port], port: str, node: str, side: str = "output") -> dict[str, np.ndarray]:
    """The arrays of one port's value. Raises FrameError if the port is unknown, or form, dtype or shape are not its schema's."""
    if port not in ports:
        raise FrameError(f"{node}: needs {side} ports {', '.join(ports) or '(none)'}, got {port}")
    return ports[port].schema.accept(value, f"{node}.{port}")


def heap(outputs: Collection[str], node: str) -> Callable[[str, str, tuple[int, ...], Any], np.ndarray]:
    """An `alloc` without an engine: it returns ordinary memory, and refuses unknown ports as the engine does."""

    def alloc(port: str, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        if port not in outputs:
            raise FrameError(f"{node}: alloc: needs an output port ({', '.join(outputs)}), got {port}")
        return np.empty(shape, dtype)

    return alloc
