"""What computes a net: one module per library, each with an implementation of `Net`. A node's `open()` imports only its own.

The seam lies around the whole net of a node: sensor arrays in (pillars, pictures), finished boxes out. So a runtime may choose
which part runs on which device, and an engine is compared with another by the arrays that the node sends.

An ONNX file is opened by `open_onnx` and needs no node's own code. `read_specs` and `read` (onnxfile.py) look into one without a
runtime, for `pipe check`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from operators.nets.device import Device
from operators.nets.runtimes.onnxfile import TensorSpec, read, read_specs
from pipeline.errors import InputError, RunError

__all__ = ["Net", "OnnxNet", "Precision", "Runtime", "TensorSpec", "available", "check", "missing", "open_onnx", "read_specs"]

Runtime = Literal["auto", "torch", "onnxruntime", "openvino", "tensorrt"]
Precision = Literal["fp32", "fp16", "bf16", "int8"]

EXTRAS = {"torch": "torch", "onnxruntime": "onnx", "openvino": "openvino", "tensorrt": "tensorrt"}
"""Runtime, which is the name of its package -> the extra of this project that installs it."""
_OF_ONNX = ("onnxruntime", "openvino")
"""Runtimes that load an ONNX file as it is; `auto` takes the first one that is installed and loads the file."""


class Net(Protocol):
    """A loaded net."""

    def run(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Inputs by name -> outputs by name. The inputs may be read-only; the outputs belong to the caller."""
        ...


class OnnxNet(Net, Protocol):
    """A loaded ONNX file, or an engine made from one. The same inputs give the same bits in one runtime and thread count."""

    runtime: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def close(self) -> None: ...


def missing(runtime: str) -> str:
    """The reason why a runtime cannot be used: its package and the extra that installs it; "" where it is installed."""
    if importlib.util.find_spec(runtime) is not None:
        return ""
    return f"needs {runtime}, which is not installed; pip install 'perception-pipe[{EXTRAS[runtime]}]'"


def available() -> dict[str, str]:
    """Runtime -> its version, or the reason why there is none. Imports none of them."""
    found = {}
    for runtime in EXTRAS:
        reason = missing(runtime)
        try:
            found[runtime] = reason or importlib.metadata.version(runtime)
        except importlib.metadata.PackageNotFoundError:
            found[runtime] = "of unknown version"
    return found


def check(runtime: Runtime, precision: Precision = "fp32", device: Device = "cpu") -> None:
    """Raises ValueError, for a node's config, where an ONNX file cannot be run so. Imports no runtime."""
    if runtime == "torch":
        raise ValueError(f"runtime: torch cannot load ONNX files; needs one of auto, {', '.join(_OF_ONNX)}, tensorrt")
    if runtime == "auto":
        if all(missing(name) for name in _OF_ONNX):
            raise ValueError(f"runtime: auto needs {' or '.join(_OF_ONNX)}, got neither; pip install 'perception-pipe[onnx]'")
    elif reason := missing(runtime):
        raise ValueError(f"runtime: {reason}")
    if runtime == "onnxruntime" and precision in ("fp16", "bf16"):
        raise ValueError(
            f"precision: onnxruntime computes in the types of the file, so it needs fp32 or int8, got {precision}; "
            f"runtime: openvino takes {precision}"
        )
    if runtime == "openvino" and device == "cuda":
        raise ValueError("device: openvino runs on CPUs, got cuda; runtime: onnxruntime with onnxruntime-gpu, or tensorrt")


def open_onnx(
    path: str | Path,
    *,
    runtime: Runtime = "auto",
    threads: int = 1,
    node: str,
    precision: Precision = "fp32",
    device: Device = "cpu",
) -> OnnxNet:
    """Load an ONNX file, or with `tensorrt` an engine made by `pipe export`.

    threads    of this net; the same number gives the same bits
    node       its name in errors
    precision  of what the file computes in floating point. fp32: as the file says. fp16, bf16: openvino only. int8: as fp32, but
               a file that is not quantized is refused
    device     cuda: onnxruntime-gpu or tensorrt
    Raises InputError for the file, RunError where the runtime is missing or cannot be used so. auto: the first runtime that is
    installed and loads the file.
    """
    try:
        check(runtime, precision, device)
    except ValueError as error:
        raise RunError(f"{node}: {error}") from None
    if runtime == "tensorrt":
        from operators.nets.runtimes.tensorrt import TensorrtNet

        return TensorrtNet(Path(path), node)
    if precision == "int8" and not read(path).quantized:
        raise InputError(
            f"{path}: needs a quantized net for precision int8, got one without QuantizeLinear; pipe export makes one"
        )
    names = [name for name in _OF_ONNX if not missing(name)] if runtime == "auto" else [runtime]
    if runtime == "auto" and precision in ("fp16", "bf16"):
        names = [name for name in names if name == "openvino"]
    refused: list[str] = []
    for name in names:
        try:
            return _open(name, Path(path), threads, node, precision, device)
        except InputError as error:
            refused.append(str(error))
    if not refused:
        raise RunError(
            f"{node}: precision: {precision} needs openvino, which is not installed; pip install 'perception-pipe[openvino]'"
        )
    raise InputError(refused[0])


def _open(runtime: str, path: Path, threads: int, node: str, precision: Precision, device: Device) -> OnnxNet:
    if runtime == "openvino":
        from operators.nets.runtimes.openvino import OpenvinoNet

        return OpenvinoNet(path, threads, precision)
    from operators.nets.runtimes.onnxruntime import OnnxruntimeNet

    return OnnxruntimeNet(path, threads, node, device)
