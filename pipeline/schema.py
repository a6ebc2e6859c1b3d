"""Typed ports: the arrays that a frame carries, and their check.

An operator receives the array of a schema with one array, and a NamedTuple (`Schema.value`) of several ones.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.errors import FrameError, GraphError


@dataclass(frozen=True, slots=True)
class Array:
    """One named array. A dimension is a number, or a name ("N"): any size, but the same one everywhere in the frame."""

    dtype: str
    shape: tuple[int | str, ...]
    unit: str = ""
    about: str = ""

    def describe(self) -> str:
        """`(N, 4) float32`"""
        dims = ", ".join(str(d) for d in self.shape) + ("," if len(self.shape) == 1 else "")
        return f"({dims}) {self.dtype}"


@dataclass(frozen=True)
class Schema:
    """The contract of a port.

    arrays   name -> Array; empty means "anything" (engine test nodes only)
    frame    coordinate frame of the numbers: "velodyne", "camera", "world", "image"; "" = none
    kind     of scores: "probability", "logit", "" = either
    limits   largest size of each named dimension; a port's slot is sized from them unless the graph says `pool:`
    value    NamedTuple class with one field per array, for schemas of several arrays
    """

    name: str
    arrays: Mapping[str, Array]
    frame: str = ""
    kind: str = ""
    limits: Mapping[str, int] = field(default_factory=dict)
    value: type[tuple[Any, ...]] | None = None
    _single: str | None = field(init=False, repr=False, compare=False, default=None)
    _plain: bool = field(init=False, repr=False, compare=False, default=False)
    """The schema has one array, and its dimensions have different names: any size is valid."""
    _expected: tuple[tuple[str, Array, np.dtype[Any]], ...] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "_single", next(iter(self.arrays)) if len(self.arrays) == 1 else None)
        object.__setattr__(self, "_expected", tuple((n, a, np.dtype(a.dtype)) for n, a in self.arrays.items()))
        dims = [dim for a in self.arrays.values() for dim in a.shape]
        plain = len(self.arrays) == 1 and all(isinstance(dim, str) for dim in dims) and len(set(dims)) == len(dims)
        object.__setattr__(self, "_plain", plain)
        if len(self.arrays) > 1:
            fields = getattr(self.value, "_fields", None)
            if fields != tuple(self.arrays):
                raise TypeError(f"schema {self.name}: value must be a NamedTuple with fields {tuple(self.arrays)}, got {fields}")

    def plain(self) -> dict[str, Any]:
        """The contract as plain data, for a file; `from_plain` is the inverse."""
        arrays = {n: {"dtype": a.dtype, "shape": list(a.shape), "unit": a.unit, "about": a.about} for n, a in self.arrays.items()}
        return {"name": self.name, "arrays": arrays, "frame": self.frame, "kind": self.kind, "limits": dict(self.limits)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Schema:
        arrays = {n: Array(a["dtype"], tuple(a["shape"]), a["unit"], a["about"]) for n, a in plain["arrays"].items()}
        value = namedtuple(plain["name"].title(), list(arrays)) if len(arrays) > 1 else None
        return cls(plain["name"], arrays, plain["frame"], plain["kind"], dict(plain["limits"]), value)

    @property
    def any(self) -> bool:
        return not self.arrays

    def max_bytes(self) -> int | None:
        """Bytes of the largest frame; None if a named dimension has no limit."""
        total = 0
        for array in self.arrays.values():
            size = np.dtype(array.dtype).itemsize
            for dim in array.shape:
                if isinstance(dim, str):
                    if dim not in self.limits:
                        return None
                    dim = self.limits[dim]
                size *= dim
            total += -(-size // 64) * 64
        return total or None

    def unpack(self, value: Any, who: str) -> dict[str, np.ndarray]:
        """An operator's value as name -> array. Raises FrameError naming `who` if its form is not this schema's."""
        single = self._single
        if single is not None:
            if not isinstance(value, np.ndarray):
                raise FrameError(f"{who}: needs {self.arrays[single].describe()}, got {type(value).__name__}")
            return {single: value}
        if self.any:
            if isinstance(value, np.ndarray):
                return {"data": value}
            if isinstance(value, Mapping):
                return dict(value)
            raise FrameError(f"{who}: needs an array or a dict of arrays, got {type(value).__name__}")
        if isinstance(value, Mapping):
            missing = [n for n in self.arrays if n not in value]
            if missing:
                raise FrameError(f"{who}: needs arrays {', '.join(self.arrays)}, got {', '.join(map(str, value))}")
            return {n: value[n] for n in self.arrays}
        if isinstance(value, tuple) and len(value) == len(self.arrays):
            return dict(zip(self.arrays, value, strict=True))
        raise FrameError(f"{who}: needs {self.name} ({', '.join(self.arrays)}), got {type(value).__name__}")

    def accept(self, value: Any, who: str) -> dict[str, np.ndarray]:
        """An operator's value as name -> array, dtype and shape checked. Raises FrameError naming `who`."""
        single = self._single
        if single is not None and isinstance(value, np.ndarray):
            _, spec, dtype = self._expected[0]
            shape = value.shape
            if value.dtype == dtype and len(shape) == len(spec.shape) and self._plain:
                return {single: value}
        arrays = self.unpack(value, who)
        self.check(arrays, who)
        return arrays

    def pack(self, arrays: Mapping[str, np.ndarray]) -> Any:
        """The inverse of `unpack`: what an operator receives."""
        single = self._single
        if single is not None:
            return arrays[single]
        if self.any:
            return arrays["data"] if len(arrays) == 1 and "data" in arrays else dict(arrays)
        assert self.value is not None
        return self.value(*(arrays[n] for n in self.arrays))

    def check(self, arrays: Mapping[str, np.ndarray], who: str, came_from: str = "") -> None:
        """Dtype and shape of every array; raises FrameError: who, needed, got, hint."""
        sizes: dict[str, tuple[int, str]] = {}
        for name, spec, dtype in self._expected:
            array = arrays[name]
            if not isinstance(array, np.ndarray):
                raise FrameError(f"{who}.{name}: needs {spec.describe()}, got {type(array).__name__}{_origin(came_from)}")
            shape = array.shape
            right = array.dtype == dtype and len(shape) == len(spec.shape)
            if right:
                for dim, size in zip(spec.shape, shape):  # noqa: B905 - same length, and strict costs on every frame
                    if isinstance(dim, int):
                        right = right and dim == size
                        continue
                    first = sizes.setdefault(dim, (size, name))
                    if first[0] != size:
                        raise FrameError(
                            f"{who}.{name}: needs {spec.describe()} with {dim} = {first[0]} as in {first[1]}, "
                            f"got {dim} = {size}{_origin(came_from)}"
                        )
            if not right:
                raise FrameError(
                    f"{who}.{name}: needs {spec.describe()}, got {shape} {array.dtype}"
                    f"{_origin(came_from)}{_hint(spec, shape, array.dtype)}"
                )

    def mismatch(self, consumer: Schema) -> str | None:
        """The reason why frames of this schema cannot enter a port of `consumer`; None if they can."""
        if self.any or consumer.any:
            return None
        for name, need in consumer.arrays.items():
            have = self.arrays.get(name)
            if have is None:
                return f"needs {consumer.name} ({', '.join(consumer.arrays)}), got {self.name} ({', '.join(self.arrays)})"
            if have.dtype != need.dtype or len(have.shape) != len(need.shape):
                return f"{name}: needs {need.describe()}, got {have.describe()}"
            for h, n in zip(have.shape, need.shape, strict=True):
                if isinstance(h, int) and isinstance(n, int) and h != n:
                    return f"{name}: needs {need.describe()}, got {have.describe()}"
            if need.unit and have.unit and need.unit != have.unit:
                return f"{name}: needs unit {need.unit}, got {have.unit}"
        if consumer.frame and self.frame and consumer.frame != self.frame:
            return f"needs {consumer.name} in the {consumer.frame} frame, got the {self.frame} frame"
        if consumer.kind and self.kind and consumer.kind != self.kind:
            return f"needs scores of kind {consumer.kind}, got {self.kind}"
        return None


def _origin(came_from: str) -> str:
    return f" from {came_from}" if came_from else ""


def _hint(spec: Array, shape: tuple[int, ...], dtype: Any) -> str:
    if dtype != np.dtype(spec.dtype) and len(shape) == len(spec.shape):
        return f"; convert with .astype(np.{spec.dtype})?"
    if len(shape) == len(spec.shape) > 1 and isinstance(spec.shape[-1], int) and shape[-1] != spec.shape[-1]:
        return "; a column dropped or added on the way?"
    return ""


ANY = Schema("anything", {})


@dataclass(frozen=True, slots=True)
class Port:
    """A schema as one operator uses it.

    static    latched: sent before the first frame, delivered again to a restarted reader; never part of sync
    optional  may stay unconnected: `process` gets None (`sync: optional` makes a connected input optional)
    """

    schema: Schema
    static: bool = False
    optional: bool = False


def static(schema: Schema, *, optional: bool = False) -> Port:
    return Port(schema, static=True, optional=optional)


def optional(schema: Schema) -> Port:
    return Port(schema, optional=True)


def ports(declared: Mapping[str, Schema | Port], who: str) -> dict[str, Port]:
    """A class's `inputs` or `outputs` with plain schemas wrapped."""
    out: dict[str, Port] = {}
    for name, port in declared.items():
        if isinstance(port, Schema):
            port = Port(port)
        if not isinstance(port, Port):
            raise GraphError(f"{who}: port {name} must be a Schema, static(...) or optional(...), got {type(port).__name__}")
        out[name] = port
    return out
