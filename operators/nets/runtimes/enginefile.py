"""Engines: what `pipe export` makes of a trained net, with the facts that decide whether a node may use it.

An engine is an ONNX file, whose facts are its metadata "pipe"; or a TensorRT engine behind a head of our own:
    b"PIPE ENGINE 1\\n", length of the facts (8 bytes, little endian), the facts, the engine
Facts: JSON of `Facts`. `engine` is the SHA-256 of all other bytes, so facts of one engine do not serve another.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from operators.nets.runtimes import onnxfile
from pipeline import settings
from pipeline.errors import InputError
from pipeline.outside import open_file, parse_json

_MAGIC = b"PIPE ENGINE 1\n"
_KEY = "pipe"
_MOST_FACTS = 1 << 20


@dataclass(frozen=True)
class Facts:
    """architecture  as in weight files
    config        of the net, plain
    weights       `weights_hash` of the tensors the engine was made from
    precision     fp32, fp16, bf16, int8
    gates         runtime -> numbers of its admission gate (operators/nets/gate.py)
    engine        SHA-256 of the engine without these facts; "" before it is saved
    built         of TensorRT: its version, the device and its compute capability
    calibration   graph and number of frames that set the ranges of int8
    """

    architecture: str
    config: Mapping[str, Any]
    weights: str
    precision: str
    gates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    engine: str = ""
    built: Mapping[str, str] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)


def weights_hash(tensors: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of names, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].shape} {tensors[name].dtype} ".encode())
        digest.update(np.ascontiguousarray(tensors[name]).data)
    return digest.hexdigest()


def save_onnx(path: Path, model: bytes, facts: Facts) -> None:
    """Writes an ONNX model with its facts. The file appears whole or not at all."""
    bare = onnxfile.with_metadata(model, {})
    facts = dataclasses.replace(facts, engine=hashlib.sha256(bare).hexdigest())
    _write(path, onnxfile.with_metadata(bare, {_KEY: _json(facts)}))


def save_tensorrt(path: Path, engine: bytes, facts: Facts) -> None:
    facts = dataclasses.replace(facts, engine=hashlib.sha256(engine).hexdigest())
    text = _json(facts).encode()
    _write(path, _MAGIC + len(text).to_bytes(8, "little") + text + engine)


def is_tensorrt(path: str | Path) -> bool:
    return _start(Path(path)) == _MAGIC


def read_facts(path: str | Path) -> Facts:
    """Raises InputError: no engine of `pipe export`, or its bytes are not those that the facts are about."""
    path = Path(path)
    if is_tensorrt(path):
        text, engine = _parts(path)
        digest = hashlib.sha256(engine).hexdigest()
    else:
        found = onnxfile.read(path).metadata.get(_KEY)
        if found is None:
            raise InputError(f"{path}: needs an engine made by pipe export, got an ONNX file without its facts")
        text, digest = found, onnxfile.fingerprint(path)
    facts = _facts(path, text)
    if facts.engine != digest:
        raise InputError(
            f"{path}: needs the engine that its facts are about (SHA-256 {facts.engine[:12]}), got another one ({digest[:12]}); "
            "it was changed after pipe export"
        )
    return facts


def read_tensorrt(path: Path) -> tuple[Facts, bytes]:
    """The facts and the serialized engine. Raises InputError where it is no TensorRT engine of `pipe export`."""
    if not is_tensorrt(path):
        raise InputError(f"{path}: needs a TensorRT engine made by pipe export --to tensorrt, got another file")
    return read_facts(path), _parts(path)[1]


def _json(facts: Facts) -> str:
    return json.dumps(settings.plain(facts), sort_keys=True)


def _facts(path: Path, text: str) -> Facts:
    try:
        found = parse_json(text)
        names = {f.name: f for f in dataclasses.fields(Facts)}
        if not isinstance(found, dict) or set(found) - set(names):
            raise ValueError("a mapping of other keys")
        for name, value in found.items():
            wanted: type = str if names[name].type == "str" else dict
            if not isinstance(value, wanted):
                raise ValueError(f"{name} of another type")
        return Facts(**found)
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: needs the facts of pipe export, got: {error}") from None


def _start(path: Path) -> bytes:
    try:
        fd = open_file(path)
        try:
            return os.read(fd, len(_MAGIC))
        finally:
            os.close(fd)
    except OSError as error:
        raise InputError(f"{path}: needs an engine made by pipe export, got: {error.strerror}") from None


def _parts(path: Path) -> tuple[str, bytes]:
    data = path.read_bytes()
    begin = len(_MAGIC) + 8
    size = int.from_bytes(data[len(_MAGIC) : begin], "little")
    if len(data) < begin or size > _MOST_FACTS or begin + size >= len(data):
        raise InputError(f"{path}: needs a whole engine made by pipe export, got {len(data)} bytes of one")
    try:
        return data[begin : begin + size].decode(), data[begin + size :]
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: needs the facts of pipe export, got: {error.reason}") from None


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        raise InputError(f"{path}: needs a folder that can be written, got: {error.strerror}") from None
