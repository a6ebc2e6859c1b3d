"""ONNX files in onnxruntime, on a CPU, or on CUDA with the package onnxruntime-gpu.

Source: https://onnxruntime.ai/docs/performance/tune-performance/threading.html
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from operators.nets.device import Device
from operators.nets.runtimes.onnxfile import fit, read
from pipeline.errors import InputError, RunError

_SILENT = 4


class OnnxruntimeNet:
    """`OnnxNet`."""

    runtime = "onnxruntime"

    def __init__(self, path: Path, threads: int, node: str, device: Device = "cpu") -> None:
        onnxruntime, found = library(), read(path)
        self.inputs, self.outputs = found.inputs, found.outputs
        there = onnxruntime.get_available_providers()
        cuda = device != "cpu" and "CUDAExecutionProvider" in there
        if device == "cuda" and not cuda:
            raise RunError(f"{node}: device: needs CUDA in onnxruntime, got {', '.join(there)}; pip install onnxruntime-gpu")
        providers = [*(["CUDAExecutionProvider"] if cuda else []), "CPUExecutionProvider"]
        try:
            self._session = onnxruntime.InferenceSession(os.fspath(path), session_options(threads), providers)
        except Exception as error:  # of its own ten kinds
            raise InputError(
                f"{path}: onnxruntime {onnxruntime.__version__} cannot load it: {' '.join(str(error).split())[:300]}"
            ) from None
        self._names = [spec.name for spec in self.outputs]

    def run(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        fit(self.inputs, arrays)
        return dict(zip(self._names, self._session.run(self._names, dict(arrays)), strict=True))

    def close(self) -> None:
        del self._session


def library() -> Any:
    """Module onnxruntime, without the files and reports of its telemetry (from version 1.29, at import)."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def session_options(threads: int) -> Any:
    options = library().SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = _SILENT
    # Spinning threads take the core that the next stage needs: +33 % where torch and onnxruntime alternate.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
