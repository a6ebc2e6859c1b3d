"""A float32 ONNX model -> the same in int8, by QuantizeLinear and DequantizeLinear around each convolution.

Source: https://onnx.ai/onnx/operators, QuantizeLinear; ranges of least squared error: Nagel et al. 2021 (A White Paper on Neural
Network Quantization), sec. 3.1
Activations: one scale per tensor, uint8 with a zero point, or int8 without one (TensorRT). Weights: int8 without zero point, one
scale per output channel. Bias: int32 with the product of both scales; TensorRT keeps float32. The output of a convolution is
quantized behind its ReLU; without a ReLU it is a head, and stays float32.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

BINS, VALUES = 2048, 1 << 16
"""Of the histogram of a tensor; values of a frame that go into it."""

Range = tuple[float, float]
Frames = Callable[[], Iterable[Mapping[str, np.ndarray]]]
"""Starts the inputs of the model anew: they are read twice."""


@dataclass
class _Tensor:
    low: float = 0.0
    high: float = 0.0
    counts: np.ndarray | None = None


def calibrate(model: bytes, frames: Frames, threads: int = 1, keep: Collection[str] = ()) -> dict[str, Range]:
    """Range of each tensor that `quantize` will quantize, from the inputs of some frames."""
    import onnx

    from operators.nets.runtimes.onnxruntime import library, session_options

    graph_model = onnx.load_model_from_string(model)
    found = {name: _Tensor() for name in _activations(graph_model.graph, keep)}
    inputs = {value.name for value in graph_model.graph.input}
    for name in found:
        if name not in inputs:
            graph_model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    with_outputs = graph_model.SerializeToString()
    session = library().InferenceSession(with_outputs, session_options(threads), ["CPUExecutionProvider"])
    names = [name for name in found if name not in inputs]

    def tensors() -> Iterable[tuple[_Tensor, np.ndarray]]:
        for arrays in frames():
            values = dict(zip(names, session.run(names, dict(arrays)), strict=True)) | dict(arrays)
            yield from ((found[name], values[name]) for name in found)

    for tensor, values in tensors():
        if values.size:
            tensor.low, tensor.high = min(tensor.low, float(values.min())), max(tensor.high, float(values.max()))
    for tensor, values in tensors():
        if tensor.counts is None:
            tensor.counts = np.zeros(BINS, np.int64)
        if tensor.high > tensor.low:
            some = values.reshape(-1)[:: max(1, values.size // VALUES)]
            some = some[some != 0]  # a zero is exact in any range
            tensor.counts += np.histogram(some, BINS, (tensor.low, tensor.high))[0]
    return {name: best_range(tensor.low, tensor.high, tensor.counts) for name, tensor in found.items()}


def best_range(low: float, high: float, counts: np.ndarray | None) -> Range:
    """The part of [low, high] (low <= 0 <= high) whose 256 levels have the least squared error; counts: a histogram of it."""
    if counts is None or not counts.any():
        return low, high
    edges = np.linspace(low, high, len(counts) + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    best, least = (low, high), np.inf
    for share in np.linspace(1.0, 0.3, 36):
        a, b = low * share, high * share
        scale = (b - a) / 255
        nearest = np.clip(np.round(centres / scale), round(a / scale), round(b / scale)) * scale
        error = float((counts * np.square(centres - nearest)).sum())
        if error < least:
            best, least = (a, b), error
    return best


def quantize(
    model: bytes,
    ranges: Mapping[str, Range],
    *,
    keep: Collection[str] = (),
    per_channel: bool = True,
    symmetric: bool = False,
    weight_levels: int = 63,
) -> bytes:
    """keep: names of convolutions that stay float32; symmetric: int8 activations and float32 bias, for TensorRT.

    weight_levels  largest integer of a weight. With 63 the sum of two products fits into 16 bits, where CPUs without VNNI add
                   them; onnxruntime lets larger ones saturate
    """
    import onnx

    loaded = onnx.load_model_from_string(model)
    graph = loaded.graph
    add = _Adder(onnx, symmetric, weight_levels)
    wanted, inputs = set(_activations(graph, keep)), {value.name for value in graph.input}
    weights = _weights(graph)
    nodes: list[Any] = []
    around: dict[str, tuple[str, float]] = {}  # tensor -> its dequantized copy, its scale
    of_weight: dict[str, tuple[str, np.ndarray]] = {}  # weight, which several convolutions may share -> the same of it
    used: set[str] = set()

    def quantized(name: str) -> tuple[str, float]:
        if name not in around:
            scale, made = add.activation(name, ranges[name])
            nodes.extend(made)
            around[name] = (made[-1].output[0], scale)
        return around[name]

    for node in list(graph.node):
        if _quantizable(node, weights, keep):
            source, scale = quantized(node.input[0])
            own = node.input[1]
            if own not in of_weight:
                weight_name, weight_scales, made = add.weight(own, onnx.numpy_helper.to_array(weights[own]), per_channel)
                of_weight[own] = weight_name, weight_scales
                nodes.extend(made)
            weight_name, weight_scales = of_weight[own]
            used.add(own)
            node.input[0], node.input[1] = source, weight_name
            if len(node.input) > 2 and not symmetric:
                bias = onnx.numpy_helper.to_array(weights[node.input[2]])
                name, made = add.bias(node.input[2], bias, scale * weight_scales)
                nodes.extend(made)
                used.add(node.input[2])
                node.input[2] = name
            nodes.append(node)
        else:
            for i, name in enumerate(node.input):
                if name in around and name not in inputs:
                    node.input[i] = around[name][0]
            nodes.append(node)
        for name in node.output:
            if name in wanted:
                quantized(name)
    del graph.node[:]
    graph.node.extend(nodes)
    still = {name for node in graph.node for name in node.input}
    left = [tensor for tensor in graph.initializer if tensor.name not in used or tensor.name in still]
    del graph.initializer[:]
    graph.initializer.extend([*left, *add.tensors])
    onnx.checker.check_model(loaded)
    data: bytes = loaded.SerializeToString()
    return data


class _Adder:
    """Makes the nodes and tensors that are added."""

    def __init__(self, onnx: Any, symmetric: bool, weight_levels: int) -> None:
        self._onnx, self._symmetric, self._levels = onnx, symmetric, weight_levels
        self.tensors: list[Any] = []
        self._biases: Counter[str] = Counter()

    def activation(self, name: str, found: Range) -> tuple[float, list[Any]]:
        low, high = min(found[0], 0.0), max(found[1], 0.0)
        if self._symmetric:
            scale, zero = max(-low, high, 1e-12) / 127, np.int8(0)
            point: Any = zero
        else:
            scale = max(high - low, 1e-12) / 255
            point = np.uint8(np.clip(round(-low / scale), 0, 255))
        scale = float(np.float32(scale))
        both = [self._tensor(f"{name}.scale", np.float32(scale)), self._tensor(f"{name}.zero", np.asarray(point))]
        make = self._onnx.helper.make_node
        return scale, [
            make("QuantizeLinear", [name, *both], [f"{name}.int"], name=f"{name}.quantize"),
            make("DequantizeLinear", [f"{name}.int", *both], [f"{name}.real"], name=f"{name}.dequantize"),
        ]

    def weight(self, name: str, weight: np.ndarray, per_channel: bool) -> tuple[str, np.ndarray, list[Any]]:
        """-> its dequantized name, scales of all output channels, nodes"""
        largest = np.abs(weight).reshape(len(weight), -1).max(1)
        scales = np.maximum(largest if per_channel else np.full_like(largest, largest.max()), 1e-12).astype(
            np.float32
        ) / np.float32(self._levels)
        integers = np.clip(np.round(weight / scales[:, None, None, None]), -self._levels, self._levels).astype(np.int8)
        names = [
            self._tensor(f"{name}.int", integers),
            self._tensor(f"{name}.scale", scales if per_channel else scales[0]),
            self._tensor(f"{name}.zero", np.zeros(len(weight), np.int8) if per_channel else np.int8(0)),
        ]
        axis = {"axis": 0} if per_channel else {}
        node = self._onnx.helper.make_node("DequantizeLinear", names, [f"{name}.real"], name=f"{name}.dequantize", **axis)
        return f"{name}.real", scales, [node]

    def bias(self, name: str, bias: np.ndarray, scales: np.ndarray) -> tuple[str, list[Any]]:
        self._biases[name] += 1  # convolutions that share it have inputs of different scales
        if self._biases[name] > 1:
            name = f"{name}.{self._biases[name]}"
        scales = scales.astype(np.float32)
        integers = np.clip(np.round(bias.astype(np.float64) / scales), -(2**31), 2**31 - 1).astype(np.int32)
        names = [
            self._tensor(f"{name}.int", integers),
            self._tensor(f"{name}.scale", scales),
            self._tensor(f"{name}.zero", np.zeros(len(bias), np.int32)),
        ]
        node = self._onnx.helper.make_node("DequantizeLinear", names, [f"{name}.real"], name=f"{name}.dequantize", axis=0)
        return f"{name}.real", [node]

    def _tensor(self, name: str, values: Any) -> str:
        self.tensors.append(self._onnx.numpy_helper.from_array(np.asarray(values), name))
        return name


def _weights(graph: Any) -> dict[str, Any]:
    """Name -> tensor; equal ones are stored once, and have their other names by Identity."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Identity" and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found


def _quantizable(node: Any, weights: Collection[str], keep: Collection[str]) -> bool:
    return node.op_type == "Conv" and node.input[1] in weights and node.name not in keep


def _activations(graph: Any, keep: Collection[str]) -> list[str]:
    """Tensors to be quantized: inputs of convolutions, and their outputs behind a ReLU; in the order of the graph."""
    weights = _weights(graph)
    found: dict[str, None] = {}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in graph.node:
        if _quantizable(node, weights, keep):
            found[node.input[0]] = None
            after = readers.get(node.output[0], [])
            if len(after) == 1 and after[0].op_type in ("Relu", "Clip"):
                found[after[0].output[0]] = None
    return list(found)
