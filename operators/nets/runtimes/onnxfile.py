"""ONNX files before a runtime loads them: inputs, outputs, operators, metadata. Needs no package.

Source: onnx/onnx.proto of ONNX IR 3..13; encoding https://protobuf.dev/programming-guides/encoding. Weights are not read.
Our exports keep their facts in `metadata_props`; `fingerprint` covers everything else, so new facts do not change it.
All functions raise InputError, one line that names the file.
"""

from __future__ import annotations

import hashlib
import importlib.util
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.errors import InputError
from pipeline.outside import open_file

MOST_BYTES = 2**31 - 1
"""Protocol Buffers allow no larger message; larger nets keep their weights in files beside."""
_DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool", 10: "float16",
    11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16",
}  # fmt: skip
"""TensorProto.DataType -> NumPy's name; bfloat16 and string have none in NumPy."""
_QUANTIZED = frozenset({"QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"})
_MODEL_GRAPH, _MODEL_OPSET, _MODEL_METADATA = 7, 8, 14
_MOST_FIELDS = 1_000_000
"""Of one message: nodes and weights of a graph. Larger lists would take minutes to read."""
_MOST_DEPTH = 16
"""Of branches within branches."""


class TensorSpec(NamedTuple):
    """One input or output. dtype: NumPy's name of it; shape: None where a dimension is free."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.name} ({', '.join('free' if n is None else str(n) for n in self.shape)}) {self.dtype}"


@dataclass(frozen=True)
class OnnxFile:
    """What a file says about itself. operators: names of all operators; half: float16 weights; metadata: its `metadata_props`."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: frozenset[str]
    metadata: Mapping[str, str]
    half: bool

    @property
    def quantized(self) -> bool:
        return bool(self.operators & _QUANTIZED)


def read_specs(path: str | Path) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs, in the order of the file; weights that older files list as inputs are left out."""
    found = read(path)
    return found.inputs, found.outputs


def read(path: str | Path) -> OnnxFile:
    with _Mapped(path) as data:
        try:
            model = _model(data, Path(path))
        except (ValueError, UnicodeDecodeError) as error:
            hint = "; a Git LFS pointer: git lfs pull" if data[:8] == b"version " else ""
            raise InputError(f"{path}: needs a valid ONNX file, got {len(data)} bytes where {error}{hint}") from None
    return model


def fingerprint(path: str | Path) -> str:
    """SHA-256 of the file without its metadata."""
    digest = hashlib.sha256()
    with _Mapped(path) as data, memoryview(data) as view:
        try:
            for number, _, start, _, end in _fields(data, 0, len(data)):
                if number != _MODEL_METADATA:
                    with view[start:end] as field:
                        digest.update(field)
        except ValueError as error:
            raise InputError(f"{path}: needs a valid ONNX file, got {len(data)} bytes where {error}") from None
    return digest.hexdigest()


def with_metadata(model: bytes, facts: Mapping[str, str]) -> bytes:
    """The serialized model with these entries of `metadata_props`, in the place of all that it had."""
    kept = [model[start:end] for number, _, start, _, end in _fields(model, 0, len(model)) if number != _MODEL_METADATA]
    for key, value in facts.items():
        entry = _bytes(1, key.encode()) + _bytes(2, value.encode())
        kept.append(_bytes(_MODEL_METADATA, entry))
    return b"".join(kept)


def fit(specs: Sequence[TensorSpec], arrays: Mapping[str, np.ndarray]) -> None:
    """Raises ValueError where the arrays are not those inputs."""
    if set(arrays) != {spec.name for spec in specs}:
        raise ValueError(f"needs inputs {', '.join(spec.name for spec in specs)}, got {', '.join(arrays) or 'none'}")
    for spec in specs:
        array = arrays[spec.name]
        same = len(array.shape) == len(spec.shape) and all(n in (None, m) for n, m in zip(spec.shape, array.shape, strict=True))
        if not same or array.dtype.name != spec.dtype:
            raise ValueError(f"needs {spec}, got {array.shape} {array.dtype}")


# ---- the model


def _model(data: Any, path: Path) -> OnnxFile:
    graphs, opsets, metadata = [], 0, {}
    for number, kind, _, start, end in _fields(data, 0, len(data)):
        if number == _MODEL_GRAPH and kind == 2:
            graphs.append((start, end))
        elif number == _MODEL_OPSET and kind == 2:
            opsets += 1
        elif number == _MODEL_METADATA and kind == 2:
            key, value = _pair(data, start, end)
            metadata[key] = value
    if len(graphs) != 1 or not opsets:
        raise ValueError(f"{len(graphs)} graphs and {opsets} sets of operators are found instead of one and one or more")
    inputs: dict[str, _Type] = {}
    outputs: dict[str, _Type] = {}
    weights: set[str] = set()
    operators: set[str] = set()
    half = False
    for number, kind, _, start, end in _fields(data, *graphs[0]):
        if kind != 2:
            continue
        if number == 1:
            half |= _node(data, start, end, operators, _MOST_DEPTH)
        elif number == 5:
            name, dtype = _weight(data, start, end, path)
            weights.add(name)
            half |= dtype == 10
        elif number == 15:
            weights.add(_weight(data, *_last(data, start, end, 1), path)[0])  # sparse: its values have the name
        elif number in (11, 12):
            name, spec = _value(data, start, end)
            (inputs if number == 11 else outputs)[name] = spec
    if not operators or not outputs:
        raise ValueError(f"{len(operators)} operators and {len(outputs)} outputs are found instead of one or more of each")
    needed = {name: spec for name, spec in inputs.items() if name not in weights}
    if any(shape is None for _, shape in outputs.values()):
        outputs |= _inferred(path, outputs)
    specs = (
        tuple(_spec(path, "input", *item) for item in needed.items()),
        tuple(_spec(path, "output", *i) for i in outputs.items()),
    )
    return OnnxFile(*specs, frozenset(operators), metadata, half)


_Type = tuple[int, "tuple[int | None, ...] | None"]  # element type, shape


def _spec(path: Path, what: str, name: str, found: _Type) -> TensorSpec:
    element, shape = found
    if element not in _DTYPES:
        got = "no tensor" if element == 0 else f"element type {element} of ONNX"
        raise InputError(f"{path}: {what} {name}: needs a tensor of {', '.join(_DTYPES.values())}, got {got}")
    if shape is None:
        raise InputError(
            f"{path}: {what} {name}: needs a shape in the file, got none; write them with onnx.shape_inference.infer_shapes_path"
        )
    return TensorSpec(name, shape, _DTYPES[element])


def _inferred(path: Path, outputs: Mapping[str, _Type]) -> dict[str, _Type]:
    """Shapes that the file leaves out, where package onnx is there and can tell."""
    if importlib.util.find_spec("onnx") is None:
        return {}
    import onnx

    try:
        model = onnx.shape_inference.infer_shapes(onnx.load(path, load_external_data=False))
    except Exception:  # of its own many kinds; the caller then says that the shape is missing
        return {}
    found: dict[str, _Type] = {}
    for value in model.graph.output:
        tensor = value.type.tensor_type
        if tensor.HasField("shape"):
            shape = tuple(d.dim_value if d.dim_value > 0 else None for d in tensor.shape.dim)
            found[value.name] = (int(tensor.elem_type) or outputs[value.name][0], shape)
    return found


def _value(data: Any, start: int, end: int) -> tuple[str, _Type]:
    """ValueInfoProto -> name, element type (0: no tensor), shape (None: not given)."""
    name, element, shape = "", 0, None
    for number, kind, _, first, last in _fields(data, start, end):
        if (number, kind) == (1, 2):
            name = _text(data, (first, last))
        elif (number, kind) == (2, 2):
            tensor = _last(data, first, last, 1)
            for n, k, _, a, b in _fields(data, *tensor):
                if (n, k) == (1, 0):
                    element = a
                elif (n, k) == (2, 2):
                    shape = tuple(_dimension(data, c, d) for m, j, _, c, d in _fields(data, a, b) if (m, j) == (1, 2))
    return name, (element, shape)


def _node(data: Any, start: int, end: int, operators: set[str], depth: int) -> bool:
    """Adds the operator of a node, and those of its branches (If). Does one of these have float16 weights?"""
    if not depth:
        raise ValueError(f"branches lie in each other more than {_MOST_DEPTH} deep")
    operators.add(_text(data, _last(data, start, end, 4)))
    half = False
    for number, kind, _, first, last in _fields(data, start, end):
        if (number, kind) != (5, 2):
            continue
        branch = _last(data, first, last, 6)
        for n, k, _, a, b in _fields(data, *branch):
            if (n, k) == (1, 2):
                half |= _node(data, a, b, operators, depth - 1)
            elif (n, k) == (5, 2):
                half |= any(m == 2 and j == 0 and value == 10 for m, j, _, value, _ in _fields(data, a, b))
    return half


def _dimension(data: Any, start: int, end: int) -> int | None:
    for number, kind, _, value, _ in _fields(data, start, end):
        if (number, kind) == (1, 0) and 0 < value < 1 << 31:
            return value
    return None


def _weight(data: Any, start: int, end: int, path: Path) -> tuple[str, int]:
    """TensorProto -> name, element type. Raises InputError where its file beside is missing or elsewhere."""
    name, dtype = "", 0
    for number, kind, _, first, last in _fields(data, start, end):
        if (number, kind) == (8, 2):
            name = _text(data, (first, last))
        elif (number, kind) == (2, 0):
            dtype = first
        elif (number, kind) == (13, 2):
            key, place = _pair(data, first, last)
            if key == "location":
                inside = place and ".." not in Path(place).parts and not Path(place).is_absolute()
                if not inside:
                    raise InputError(f"{path}: weights {name}: needs a file beside it, got {place!r}")
                if not (path.parent / place).is_file():
                    raise InputError(
                        f"{path}: weights {name}: needs {path.parent / place}, its file of weights, got nothing there"
                    )
    return name, dtype


def _pair(data: Any, start: int, end: int) -> tuple[str, str]:
    """StringStringEntryProto"""
    return _text(data, _last(data, start, end, 1)), _text(data, _last(data, start, end, 2))


def _last(data: Any, start: int, end: int, wanted: int) -> tuple[int, int]:
    """The value of a field of bytes; empty where it is absent."""
    found = (start, start)
    for number, kind, _, first, last in _fields(data, start, end):
        if (number, kind) == (wanted, 2):
            found = (first, last)
    return found


def _text(data: Any, span: tuple[int, int]) -> str:
    return bytes(data[span[0] : span[1]]).decode()


# ---- the encoding


def _fields(data: Any, start: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """(number, kind, where the field begins, value or where it begins, where it ends) of each field. Raises ValueError."""
    at, count = start, 0
    while at < end:
        begin, count = at, count + 1
        if count > _MOST_FIELDS:
            raise ValueError(f"more than {_MOST_FIELDS} fields follow byte {start}")
        tag, at = _varint(data, at, end)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(data, at, end)
        elif kind == 2:
            size, value = _varint(data, at, end)
            at = value + size
        elif kind in (1, 5):
            value, at = at, at + (8 if kind == 1 else 4)
        else:
            raise ValueError(f"byte {begin} begins no field")
        if number == 0 or at > end:
            raise ValueError(f"the field at byte {begin} is cut off" if number else f"byte {begin} begins no field")
        yield number, kind, begin, value, at


def _varint(data: Any, at: int, end: int) -> tuple[int, int]:
    value = 0
    for i in range(at, min(at + 10, end)):
        value |= (data[i] & 0x7F) << 7 * (i - at)
        if data[i] < 0x80:
            return value, i + 1
    raise ValueError(f"the number at byte {at} is cut off")


def _bytes(number: int, value: bytes) -> bytes:
    out = bytearray()
    for n in (number << 3 | 2, len(value)):
        while n >= 0x80:
            out.append(n & 0x7F | 0x80)
            n >>= 7
        out.append(n)
    return bytes(out) + value


class _Mapped:
    """The bytes of a file, mapped."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def __enter__(self) -> mmap.mmap:
        try:
            fd = open_file(self._path)
        except OSError as error:
            raise InputError(f"{self._path}: needs an ONNX file, got: {error.strerror}") from None
        try:
            size = os.fstat(fd).st_size
            if not 0 < size <= MOST_BYTES:
                raise InputError(f"{self._path}: needs an ONNX file of 1 byte to 2 GiB, got {size} bytes")
            self._data = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
        finally:
            os.close(fd)
        return self._data

    def __exit__(self, *_: object) -> None:
        self._data.close()
