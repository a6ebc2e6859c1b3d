"""Plain data from YAML -> frozen dataclasses. Unknown keys are refused at every level, with the line and a suggestion."""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Literal, Union

from pipeline.errors import GraphError, PipeError, Where

__all__ = ["Where", "build", "describe", "field_types", "plain", "suggest"]

_BEYOND_INT64 = 2.0**63


def build(config_cls: type, mapping: Mapping[str, Any] | None, where: Where) -> Any:
    """An instance of the dataclass `config_cls`. Raises GraphError with one line for each thing wrong in `mapping`."""
    if mapping is None:
        mapping = {}
    if not isinstance(mapping, Mapping):
        raise where.error(f"needs a mapping, got {show(mapping)}")
    types_ = field_types(config_cls)
    defaults = {f.name: f.default for f in dataclasses.fields(config_cls)}
    problems: list[str] = []
    values: dict[str, Any] = {}
    for key, value in mapping.items():
        at = where.child(key)
        if key not in types_:
            problems.append(f"{at}: unknown key{suggest(str(key), types_)}")
            continue
        if value is None and defaults[key] is None:
            values[key] = None  # `limit: float = None` also accepts None
            continue
        try:
            values[key] = convert(types_[key], value, at)
        except GraphError as error:
            problems.append(str(error))
    for f in dataclasses.fields(config_cls):
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if f.init and required and f.name not in mapping:
            problems.append(f"{where.child(f.name)}: needs a value ({describe(types_[f.name])}), got none")
    if problems:
        raise GraphError("\n".join(problems))
    try:
        return config_cls(**values)
    except Exception as error:  # of a config's own checks, which divide and index what the user wrote
        # A PipeError may have a line for each thing that is wrong in a file of the user.
        lines = str(error).splitlines() if isinstance(error, PipeError) else [str(error)]
        raise GraphError("\n".join(_about(line, types_, where) for line in lines)) from None


def _about(line: str, keys: Iterable[str], where: Where) -> str:
    """`max_points must be positive` is about a key: the message names it and its line."""
    text = " ".join(line.split())
    named = re.match(r"(\w+):? (.*)", text)
    return f"{where.child(named[1])}: {named[2]}" if named and named[1] in keys else f"{where}: {text}"


def plain(value: Any) -> Any:
    """A config (or a part of one) as plain data for msgpack and JSON; `build` is the inverse."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, AbstractSet):
        return sorted((plain(item) for item in value), key=repr)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def field_types(config_cls: type) -> dict[str, Any]:
    """Key -> type of a config dataclass, in the order of its file."""
    if not dataclasses.is_dataclass(config_cls):
        raise GraphError(f"{config_cls.__module__}.{config_cls.__qualname__}: Config needs to be a dataclass, got {config_cls!r}")
    try:
        hints = typing.get_type_hints(config_cls)
    except NameError as error:
        raise GraphError(
            f"{config_cls.__module__}.{config_cls.__qualname__}: cannot resolve a type of its fields: {error}"
        ) from None
    return {f.name: hints[f.name] for f in dataclasses.fields(config_cls) if f.init}


def convert(hint: Any, value: Any, where: Where) -> Any:
    """`value` as the annotated type, or GraphError: needed, got."""
    if hint is Any or (hint is type(None) and value is not None):
        return value  # a parameter without annotation and with default None has no known type
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return _union(hint, args, value, where)
    if origin is Literal:
        for choice in args:
            if value == choice and isinstance(value, bool) == isinstance(choice, bool):
                return choice
            if isinstance(choice, str) and isinstance(value, int) and not isinstance(value, bool) and str(value) == choice:
                return choice
        near = nearest(str(value), map(str, args))
        hint_text = f"; did you mean {near}?" if near else ""
        raise where.error(f"needs {describe(hint)}, got {show(value)}{hint_text}")
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, hint):
            return value
        return build(hint, value if value is not None else {}, where)
    base = origin or hint
    if _is_sequence(base):
        return _sequence(hint, base, args, value, where)
    if isinstance(base, type) and issubclass(base, Mapping):
        return _mapping(hint, args, value, where)
    return _scalar(hint, value, where)


def _union(hint: Any, args: tuple[Any, ...], value: Any, where: Where) -> Any:
    if value is None and type(None) in args:
        return None
    arms = [a for a in args if a is not type(None)]
    for arm in sorted(arms, key=lambda a: type(value) is not a):  # 3 stays int under `float | int`
        try:
            return convert(arm, value, where)
        except GraphError:
            # an error inside a list or mapping, or in a choice, is more precise than "needs ... or none"
            inside = isinstance(value, list) or typing.get_origin(arm) is Literal
            if (isinstance(value, Mapping) and dataclasses.is_dataclass(arm)) or (inside and len(arms) == 1):
                raise
    raise where.error(f"needs {describe(hint)}, got {show(value)}")


def _is_sequence(base: Any) -> bool:
    return isinstance(base, type) and base is not str and issubclass(base, (Sequence, AbstractSet))


def _sequence(hint: Any, base: Any, args: tuple[Any, ...], value: Any, where: Where) -> Any:
    make = base if base in (tuple, list, set, frozenset) else tuple
    variadic = make is not tuple or not args or (len(args) == 2 and args[1] is Ellipsis)
    if variadic and isinstance(value, (str, int, float)):
        value = [value]  # `sequences: all` is a list of one
    if not isinstance(value, (list, tuple, set, frozenset)) or (not variadic and len(value) != len(args)):
        raise where.error(f"needs {describe(hint)}, got {show(value)}")
    kinds = [args[0] if args else Any] * len(value) if variadic else list(args)
    return make(convert(kind, item, where.child(i)) for i, (kind, item) in enumerate(zip(kinds, value, strict=True)))


def _mapping(hint: Any, args: tuple[Any, ...], value: Any, where: Where) -> dict[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise where.error(f"needs {describe(hint)}, got {show(value)}")
    key_type, value_type = args or (Any, Any)
    problems: list[str] = []
    out: dict[Any, Any] = {}
    for key, item in value.items():
        try:
            out[convert(key_type, key, where.child(key))] = convert(value_type, item, where.child(key))
        except GraphError as error:
            problems.append(str(error))
    if problems:
        raise GraphError("\n".join(problems))
    return out


def _scalar(hint: Any, value: Any, where: Where) -> Any:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is bool and isinstance(value, bool):
        return value
    if hint is str:
        if isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)  # `sequence: 10`; a leading zero never became a number (yamlfile)
        if isinstance(value, float):
            raise where.error(f"needs {describe(hint)}, got {show(value)}; put it in quotes")
    if hint is Path and isinstance(value, (str, Path)):
        return Path(value)
    if hint in (int, float) and (number or isinstance(value, str)):
        try:
            as_float = float(value)
            if hint is float and not math.isnan(as_float):
                return as_float
            # A number that no array and no message holds is refused here, where its line is known.
            if hint is int and abs(as_float) < _BEYOND_INT64 and (isinstance(value, str) or as_float.is_integer()):
                return int(value)
        except (ValueError, OverflowError):
            pass
    if isinstance(hint, type) and hint not in (bool, int, float, str, Path) and isinstance(value, hint):
        return value
    raise where.error(f"needs {describe(hint)}, got {show(value)}")


def describe(hint: Any) -> str:
    """A type as it looks in YAML: `tuple[float, float]` is `[float, float]`."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is type(None):
        return "none"
    if origin in (Union, types.UnionType):
        return " or ".join(describe(a) for a in args)
    if origin is Literal:
        return " | ".join(str(a) for a in args)
    base = origin or hint
    if dataclasses.is_dataclass(base):
        return "a mapping"
    if base is tuple and args and args[-1] is not Ellipsis:
        return f"[{', '.join(describe(a) for a in args)}]"
    if _is_sequence(base):
        return f"a list of {describe(args[0])}" if args else "a list"
    if isinstance(base, type) and issubclass(base, Mapping):
        return "a mapping"
    return "text" if hint is str else "anything" if hint is Any else str(getattr(hint, "__name__", hint))


def show(value: Any) -> str:
    """A value as messages quote it: none, true, 'abc', 3, [1, 2]; shortened."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    try:
        text = "a mapping" if isinstance(value, Mapping) else repr(list(value)) if isinstance(value, tuple) else repr(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        text = f"a {type(value).__name__} of too many digits"
    return text if len(text) <= 60 else text[:57] + "..."


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The most similar known name."""
    import difflib  # slow to import, and needed for errors only

    return next(iter(difflib.get_close_matches(name, list(known), n=1)), None)


def suggest(name: str, known: Iterable[str]) -> str:
    """`; did you mean max_points?`, or the known names."""
    known = list(known)
    near = nearest(name, known)
    if near:
        return f"; did you mean {near}?"
    return f"; known: {', '.join(sorted(known))}" if known else "; there are none here"
