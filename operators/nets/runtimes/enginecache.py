"""TensorRT engines that were built on this machine before: a build takes minutes, the next export of the same net none.

An engine belongs to one ONNX model, one precision, one device and one version of TensorRT; its file is named by a hash of all of
them, so that a home folder may be shared between boards. The file: SHA-256 of the engine (32 bytes), the engine.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from operators.nets.runtimes import tensorrt
from operators.nets.runtimes.tensorrt import CudaMemory, Memory, Stamp

KEPT = 16
"""Engines in the folder; the one unused for longest goes first."""
_DIGEST = 32


class Cached(NamedTuple):
    """found: it was there, and was not built."""

    engine: bytes
    stamp: Stamp
    found: bool


def folder() -> Path:
    """XDG_CACHE_HOME or ~/.cache, then pipe/tensorrt."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "pipe" / "tensorrt"


def key(model: bytes, precision: str, stamp: Stamp) -> str:
    """Of a serialized ONNX model, as 32 hexadecimal digits."""
    digest = hashlib.sha256(hashlib.sha256(model).digest())
    digest.update("\0".join((precision, *stamp)).encode())
    return digest.hexdigest()[:32]


def engine(model: bytes, precision: str, node: str, *, at: Path | None = None, memory: Memory | None = None) -> Cached:
    """The engine of a serialized ONNX model for this machine's device; built where the folder `at` has none.

    Raises what `tensorrt.build` raises. A folder that cannot be written costs the next build, no error.
    """
    at = at or folder()
    memory = memory or CudaMemory(node)
    stamp = tensorrt.stamp(memory)
    path = at / f"{key(model, precision, stamp)}.engine"
    if (found := _read(path)) is not None:
        with contextlib.suppress(OSError):
            os.utime(path)
        return Cached(found, stamp, True)
    with contextlib.suppress(OSError):
        at.mkdir(parents=True, exist_ok=True)
    timing = at / f"{key(b'', 'timing', stamp)}.timing" if os.access(at, os.W_OK) else None
    built, stamp = tensorrt.build(model, node, memory=memory, timing_cache=timing)
    with contextlib.suppress(OSError):
        _write(path, built)
        _prune(at)
    return Cached(built, stamp, False)


def _read(path: Path) -> bytes | None:
    """None: not there, or not what was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, found = content[:_DIGEST], content[_DIGEST:]
    return found if hashlib.sha256(found).digest() == digest else None


def _write(path: Path, built: bytes) -> None:
    """The file appears whole or not at all."""
    part = path.with_suffix(f".{os.getpid()}")
    try:
        part.write_bytes(hashlib.sha256(built).digest() + built)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _prune(at: Path) -> None:
    engines = sorted(at.glob("*.engine"), key=lambda path: path.stat().st_mtime)
    for path in engines[:-KEPT]:
        path.unlink(missing_ok=True)
