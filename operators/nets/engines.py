"""Which engine may serve which weights, and in which runtime. Imports no runtime: `pipe check` uses it."""

from __future__ import annotations

from typing import Any, cast

from operators.nets import gate, weights
from operators.nets.runtimes import Precision, Runtime
from operators.nets.runtimes.enginefile import read_facts, weights_hash
from pipeline import settings
from pipeline.errors import InputError


def check(path: str, runtime: Runtime, architecture: weights.Architecture, name: str) -> None:
    """For a node's config. Raises ValueError where engine ("": none), runtime and weights (`name`) do not go together."""
    if not path:
        if runtime not in ("auto", "torch"):
            raise ValueError(f"runtime: {runtime} needs an engine: pipe export {name} --to ... -o F, then engine: F")
        return
    try:
        admitted(path, runtime, architecture, weights.load(name, architecture), name)
    except InputError as error:
        raise ValueError(f"engine: {error}") from None


def admitted(
    path: str, runtime: Runtime, architecture: weights.Architecture, loaded: weights.Weights, name: str
) -> tuple[Runtime, Precision]:
    """The runtime for an engine of these weights, and its precision.

    Raises InputError: no engine, of another net or other weights; ValueError: the gate refuses it, the runtime is missing.
    """
    facts = read_facts(path)
    if facts.architecture != architecture.name:
        raise InputError(f"{path}: needs an engine of {architecture.name}, got one of {facts.architecture}")
    own: Any = settings.plain(loaded.config)
    for key, value in own.items():
        if facts.config.get(key, value) != value:
            raise InputError(f"{path}: needs an engine of {name}, {key} {value}, got one of {key} {facts.config[key]}")
    if facts.weights != weights_hash(loaded.tensors):
        raise InputError(f"{path}: needs an engine made from {name}, got one of other weights; pipe export makes it anew")
    return cast(Runtime, gate.admit(path, facts, runtime)), cast(Precision, facts.precision)
