"""Dataclasses over a socket: plain data in msgpack, accepted only if every field has the declared type."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any

import msgpack

from pipeline.errors import RunError
from pipeline.settings import describe, plain, show

_MAX_NAME = 40


def pack(message: Any) -> bytes:
    """`[name of the class, {field: value}]`."""
    return msgpack.packb([type(message).__name__, plain(message)], unicode_errors="surrogatepass")  # a path of any bytes


def unpack(data: bytes, kinds: Mapping[str, type[Any]]) -> Any:
    """The message in `data`, of one of `kinds` (by name). Raises RunError: what was needed, what was received."""
    try:
        # No length in the data may exceed the data; extension types are refused.
        value = msgpack.unpackb(data, strict_map_key=False, max_ext_len=0, unicode_errors="surrogatepass")
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise RunError(f"control message: needs msgpack, got {len(data)} bytes that are none: {error}") from None
    if not (isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)):
        raise RunError(f"control message: needs [name, fields], got {show(value)}")
    kind = kinds.get(value[0])
    if kind is None:
        raise RunError(f"control message: needs one of {', '.join(kinds)}, got {value[0][:_MAX_NAME]!r}")
    return _read(kind, value[1], value[0])


def _read(hint: Any, value: Any, name: str) -> Any:
    """`value` as the type `hint`; errors call it `name`."""
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return _dataclass(hint, value, name)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):  # always `X | None`
        (inner,) = (arg for arg in args if arg is not type(None))
        return None if value is None else _read(inner, value, name)
    if origin is tuple and isinstance(value, list):
        return tuple(_read(args[0], item, f"{name}[{i}]") for i, item in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {_read(args[0], k, f"key of {name}"): _read(args[1], v, f"{name}[{show(k)}]") for k, v in value.items()}
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is hint:
        return value
    raise RunError(f"control message: {name}: needs {describe(hint)}, got {show(value)}")


def _dataclass(kind: Any, value: Any, name: str) -> Any:
    if not isinstance(value, dict):
        raise RunError(f"control message: {name}: needs its fields, got {show(value)}")
    hints, required = _fields(kind)
    for field in required:
        if field not in value:
            raise RunError(f"control message: {name}: lacks {field}")
    for field in value:
        if field not in hints:
            raise RunError(f"control message: {name}: has no field {show(field)}")
    return kind(**{field: _read(hints[field], item, f"{name}.{field}") for field, item in value.items()})


@functools.cache
def _fields(kind: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Name -> type of every field, and the names of fields without a default."""
    hints = typing.get_type_hints(kind)
    fields = dataclasses.fields(kind)
    required = tuple(f.name for f in fields if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING)
    return {f.name: hints[f.name] for f in fields}, required
