"""ONNX files in OpenVINO, on a CPU.        Source: https://docs.openvino.ai, "CPU device": properties

Precision: on CPUs with bfloat16 OpenVINO would take that by itself; here fp32 is fp32. A net quantized by QuantizeLinear and
DequantizeLinear runs its convolutions in int8 whatever the precision of the rest is.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from operators.nets.runtimes.onnxfile import fit, read
from pipeline.errors import InputError

_HINTS = {"fp32": "f32", "int8": "f32", "fp16": "f16", "bf16": "bf16"}


class OpenvinoNet:
    """`OnnxNet`."""

    runtime = "openvino"

    def __init__(self, path: Path, threads: int, precision: str = "fp32") -> None:
        ov = library()
        found = read(path)
        self.inputs, self.outputs = found.inputs, found.outputs
        properties = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # other nodes share the cores
        }
        try:
            core = _core()
            self._compiled = core.compile_model(core.read_model(os.fspath(path)), "CPU", properties)
        except Exception as error:
            said = " ".join(str(error).split())[-300:]  # the cause comes last
            raise InputError(f"{path}: openvino {ov.__version__} cannot load it: {said}") from None
        self._request = self._compiled.create_infer_request()

    def run(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        fit(self.inputs, arrays)
        # by position: a file's names need not be those of OpenVINO's ports
        results = self._request.infer([np.ascontiguousarray(arrays[spec.name]) for spec in self.inputs], share_inputs=True)
        return {spec.name: np.array(results[i]) for i, spec in enumerate(self.outputs)}

    def close(self) -> None:
        del self._request, self._compiled


@functools.cache
def _core() -> Any:
    """One for the process, never deleted: the CPU plugin gives the thread a signal stack, and takes it back when its core goes.

    After two cores that go in the order they came, the stack is freed memory, and the next signal kills the process (2026.4.1).
    """
    return library().Core()


def library() -> Any:
    """Module openvino, without the files that its telemetry writes to the home folder at import."""
    os.environ.setdefault("NUMBA_THREADING_LAYER", "omp")  # its own TBB would else become Numba's, with other sums
    modules: dict[str, Any] = cast("dict[str, Any]", sys.modules)
    modules.setdefault("openvino_telemetry", None)  # an import of None fails, and OpenVINO goes without
    import openvino

    if modules["openvino_telemetry"] is None:
        del modules["openvino_telemetry"]
    return openvino
