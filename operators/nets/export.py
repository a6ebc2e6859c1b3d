"""A torch net -> a serialized ONNX model.        Source: https://onnx.ai/onnx/operators, opset 17

Needs torch and the extra `onnx`.
"""

from __future__ import annotations

import importlib.util
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.errors import RunError

OPSET = 17
_BFLOAT16_OPSET = 22
"""From here on a convolution takes bfloat16. The operators that our nets use did not change in between."""


def to_onnx(
    net: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    free: Mapping[str, Mapping[int, str]] | None = None,
) -> bytes:
    """inputs: name -> an example, in the order of `forward`; outputs: names of what it returns.

    free  input or output -> dimension -> name, of dimensions that a frame may choose
    """
    import onnx

    net.eval()  # the exporter gives all parts the mode of the whole back when it is done
    with tempfile.TemporaryDirectory(prefix="pipe-export-") as folder, warnings.catch_warnings(), torch.inference_mode():
        file = Path(folder) / "net.onnx"
        warnings.simplefilter("ignore")  # of the tracer: shapes that the example fixes
        torch.onnx.export(
            net, tuple(inputs.values()), file, input_names=list(inputs), output_names=list(outputs), opset_version=OPSET,
            dynamic_axes={name: dict(axes) for name, axes in (free or {}).items()}, dynamo=False,
        )  # fmt: skip
        model = onnx.load(file)
    if any(tensor.data_type == onnx.TensorProto.BFLOAT16 for tensor in model.graph.initializer):
        (own,) = (opset for opset in model.opset_import if opset.domain in ("", "ai.onnx"))
        own.version = _BFLOAT16_OPSET
        model.ir_version = max(model.ir_version, 10)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def needs(*packages: str) -> None:
    """Raises RunError naming the extra, where a package of it is missing."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            extra = "torch" if package in ("torch", "safetensors") else "onnx"
            raise RunError(f"export: needs {package}, which is not installed; pip install 'perception-pipe[{extra}]'")
