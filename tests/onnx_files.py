"""Tiny ONNX files for tests: nets whose outputs are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

OPSET, IR = 17, 9


def save(path, nodes, inputs, outputs, constants=None, metadata=None):
    """inputs, outputs: name -> (dtype, shape), None or a name = a free dimension; constants: name -> array."""

    def infos(of):
        kinds = {n: helper.np_dtype_to_tensor_dtype(np.dtype(dtype)) for n, (dtype, _) in of.items()}
        return [helper.make_tensor_value_info(n, kinds[n], shape) for n, (_, shape) in of.items()]

    weights = [numpy_helper.from_array(np.ascontiguousarray(a), n) for n, a in (constants or {}).items()]
    graph = helper.make_graph(nodes, "tiny", infos(inputs), infos(outputs), weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    if metadata:
        helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    Path(path).write_bytes(model.SerializeToString())
    return str(path)


def known(path, outputs, image=("float32", (1, 3, 64, 64)), others=None, free=(), metadata=None):
    """A net that gives `outputs` (name -> array) for any picture. free: outputs whose shapes the file leaves open.

    others: further inputs, name -> (dtype, shape)."""
    nodes = [helper.make_node("Identity", [f"{name}_known"], [name]) for name in outputs]
    shapes = {n: (a.dtype, [None] * a.ndim if n in free else a.shape) for n, a in outputs.items()}
    inputs = {"image": image} | (others or {})
    return save(path, nodes, inputs, shapes, {f"{n}_known": a for n, a in outputs.items()}, metadata)


def echo(path, image=("float32", (1, 3, 8, 8)), name="echo"):
    """A net whose output is its input."""
    return save(path, [helper.make_node("Identity", ["image"], [name])], {"image": image}, {name: image})


def channel_means(path, image=("float32", ("batch", 3, 8, 4)), width=3):
    """An embedding net: the mean of each channel of a crop, (batch, 3)."""
    node = helper.make_node("ReduceMean", ["image"], ["look"], axes=[2, 3], keepdims=0)
    return save(path, [node], {"image": image}, {"look": ("float32", (image[1][0], width))})


__all__ = ["OPSET", "TensorProto", "channel_means", "echo", "known", "save"]
