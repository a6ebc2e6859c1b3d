"""Small ONNX files for tests. Needs package onnx."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def model(nodes, inputs, outputs, weights=None, opset=17, **kwargs):
    """inputs, outputs: name -> (element type, shape); weights: name -> array. -> ModelProto"""
    values = [[helper.make_tensor_value_info(name, *spec) for name, spec in specs.items()] for specs in (inputs, outputs)]
    tensors = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(nodes, "g", *values, initializer=tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **kwargs)


def conv(size=6, channels=(3, 4), free=False, depthwise=False, seed=0):
    """Convolution, ReLU, 1x1 convolution: x (1, 3, size, size) -> y (1, 2, size, size)."""
    rng = np.random.default_rng(seed)
    before, middle = channels
    groups = before if depthwise else 1
    weights = {
        "w1": rng.normal(0, 0.5, (middle, before // groups, 3, 3)).astype(np.float32),
        "b1": rng.normal(0, 0.1, middle).astype(np.float32),
        "w2": rng.normal(0, 0.5, (2, middle, 1, 1)).astype(np.float32),
        "b2": rng.normal(0, 0.1, 2).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["a"], "first", pads=[1] * 4, group=groups),
        helper.make_node("Relu", ["a"], ["r"], "relu"),
        helper.make_node("Conv", ["r", "w2", "b2"], ["y"], "head"),
    ]
    shape = ["height", "width"] if free else [size, size]
    return model(nodes, {"x": (TensorProto.FLOAT, [1, before, *shape])}, {"y": (TensorProto.FLOAT, [1, 2, *shape])}, weights)


def shared_weight(size=16):
    """y = conv(x) + conv(8 x), of one weight and one bias, as a head that several maps share."""
    rng = np.random.default_rng(3)
    weights = {"w": rng.normal(0, 0.3, (4, 3, 3, 3)), "b": rng.normal(0, 1, 4), "eight": np.array(8.0)}
    nodes = [
        helper.make_node("Mul", ["x", "eight"], ["x8"]),
        helper.make_node("Conv", ["x", "w", "b"], ["one"], "one", pads=[1] * 4),
        helper.make_node("Conv", ["x8", "w", "b"], ["eight_times"], "two", pads=[1] * 4),
        helper.make_node("Add", ["one", "eight_times"], ["y"]),
    ]
    ends = ({"x": (TensorProto.FLOAT, [1, 3, size, size])}, {"y": (TensorProto.FLOAT, [1, 4, size, size])})
    return model(nodes, *ends, {name: array.astype(np.float32) for name, array in weights.items()})


def save(proto, path):
    path.write_bytes(proto.SerializeToString())
    onnx.checker.check_model(proto)
    return path


def unlike_channels():
    """A depthwise net with weights of one channel 32 times as large as the others; its input should be as much smaller."""
    proto = conv(16, (8, 8), depthwise=True)
    weight = numpy_helper.to_array(proto.graph.initializer[0]).copy()
    weight[0] *= 32
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "w1"))
    return proto
