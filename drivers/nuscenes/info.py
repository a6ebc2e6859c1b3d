"""The info file of MMDetection3D for nuScenes: a pickle, read as plain data.

Only lists, mappings, text, numbers, NumPy's numbers and arrays come out. A pickle names functions to call. Here the names that
NumPy writes stand for functions of this file, which read bytes; all other names are refused before anything is called.
"""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from operators import folders
from pipeline.errors import InputError

MAX_BYTES = 1 << 30
_KIND = re.compile(r"[biuf][1248]")


class _Dtype:
    """NumPy's dtype of a number; `__setstate__` gets the order of its bytes."""

    def __init__(self, kind: Any, *_: Any) -> None:
        if not (isinstance(kind, str) and _KIND.fullmatch(kind)):
            raise pickle.UnpicklingError(f"numbers of the type {str(kind)[:20]!r}")
        self.dtype = np.dtype(kind)

    def __setstate__(self, state: Any) -> None:
        self.dtype = self.dtype.newbyteorder(">" if state[1] == ">" else "<")


class _Array:
    """NumPy's array; `__setstate__` gets version, shape, dtype, order, bytes."""

    values: np.ndarray

    def __init__(self, *_: Any) -> None:
        self.values = np.zeros(0)

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        self.values = np.frombuffer(data, kind.dtype).reshape(shape, order="F" if fortran else "C")


def _scalar(kind: _Dtype, data: bytes) -> Any:
    return np.frombuffer(data, kind.dtype, 1)[0].item()


def _from_buffer(data: bytes, kind: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
    array = _Array()
    array.__setstate__((1, shape, kind, order == "F", data))
    return array


def _encode(text: str, encoding: str) -> bytes:
    """Bytes in a pickle of protocol 2 are text to be encoded."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes encoded as {encoding[:20]!r}")
    return text.encode("latin1")


class _Name:
    """Stands for a function: nothing in a pickle can change it."""

    __slots__ = ("_call",)
    _call: Callable[..., Any]

    def __init__(self, call: Callable[..., Any]) -> None:
        object.__setattr__(self, "_call", call)

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError("a change of a function")


_NAMES: dict[str, Callable[..., Any]] = {
    "numpy.dtype": _Dtype,
    "numpy.ndarray": _Array,
    "_codecs.encode": _encode,
    "__builtin__.bytes": lambda: b"",
}
for _core in ("numpy.core", "numpy._core"):
    _NAMES[f"{_core}.multiarray.scalar"] = _scalar
    _NAMES[f"{_core}.multiarray._reconstruct"] = _Array
    _NAMES[f"{_core}.numeric._frombuffer"] = _from_buffer


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        call = _NAMES.get(f"{module}.{name}")
        if call is None:
            raise pickle.UnpicklingError(f"a pickle with {module[:60]}.{name[:60]}")
        return _Name(call)


def read(path: Path) -> dict[str, Any]:
    """The file's mapping. Raises InputError."""
    if (size := folders.size(path)) > MAX_BYTES:
        raise InputError(f"{path}: needs an info file of at most {MAX_BYTES >> 20} MB, got {size >> 20} MB")
    with folders.reading(path) as file:
        data = file.read()
    try:
        plain = _Plain(io.BytesIO(data)).load()
    except pickle.UnpicklingError as error:
        text = " ".join(str(error).split())
        got = text if text.startswith(("a pickle", "numbers", "bytes", "a change")) else f"a damaged one ({text})"
        raise InputError(f"{path}: needs a pickle of plain data and NumPy arrays, got {got}; nothing of it is called") from None
    except Exception as error:  # a damaged pickle makes its reader raise anything
        raise InputError(f"{path}: needs a pickle of plain data, got a damaged one ({type(error).__name__}); cut off?") from None
    if not isinstance(plain, dict):
        raise InputError(f"{path}: needs a mapping with data_list, got {type(plain).__name__}")
    return plain


def value(path: Path, data: Any, *keys: Any) -> Any:
    """`data[key][key]..`. Raises InputError that names the first key that is not there."""
    for i, key in enumerate(keys):
        try:
            data = data[key]
        except (KeyError, IndexError, TypeError):
            raise InputError(
                f"{path}: needs {_joined(keys[: i + 1])}, got none; is it an info file of MMDetection3D 1.1?"
            ) from None
    return data.values if isinstance(data, _Array) else data


def numbers(path: Path, data: Any, shape: tuple[int, ...], *keys: Any) -> np.ndarray:
    """`value` as float64 of this shape, finite. Raises InputError."""
    given = value(path, data, *keys)
    try:
        array = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        array = np.zeros(0)
    if array.shape != shape or not np.isfinite(array).all():
        raise InputError(f"{path}: {_joined(keys)}: needs {' x '.join(map(str, shape))} finite numbers, got {str(given)[:60]}")
    return array


def _joined(keys: tuple[Any, ...]) -> str:
    return ".".join(map(str, keys))
