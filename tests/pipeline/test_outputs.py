"""Outputs of nodes by port: none, one, several, and every refusal."""

import re

import numpy as np
import pytest

from pipeline.errors import FrameError
from pipeline.outputs import arrays_of, by_port, heap
from pipeline.schema import Array, Schema, ports

COUNT = Schema("COUNT", {"n": Array("int64", (1,))})
ONE, TWO = ports({"a": COUNT}, "node"), ports({"a": COUNT, "b": COUNT}, "node")
SEVEN = np.array([7])


@pytest.mark.parametrize(
    ("result", "outputs", "values"),
    [
        (None, {}, {}),
        (None, ONE, {}),
        (None, TWO, {}),
        (SEVEN, ONE, {"a": SEVEN}),
        ({"a": SEVEN}, ONE, {"a": {"a": SEVEN}}),  # the value of a port may be a mapping itself
        ({"b": SEVEN, "a": None}, TWO, {"b": SEVEN, "a": None}),
        ({}, TWO, {}),
    ],
)
def test_by_port(result, outputs, values):
    assert by_port(result, outputs, "node") == values


@pytest.mark.parametrize(
    ("result", "outputs", "message"),
    [
        (SEVEN, {}, "node: is a sink, its process() must return None, got ndarray"),
        (SEVEN, TWO, "node: process() must return {port: value} for a, b, got ndarray"),
        ([("a", SEVEN)], TWO, "node: process() must return {port: value} for a, b, got list"),
    ],
)
def test_by_port_refuses(result, outputs, message):
    with pytest.raises(FrameError, match=f"^{re.escape(message)}$"):
        by_port(result, outputs, "node")


def test_arrays_of_a_port():
    assert arrays_of(SEVEN, ONE, "a", "node") == {"n": SEVEN}


@pytest.mark.parametrize(
    ("value", "declared", "port", "side", "message"),
    [
        (SEVEN, {}, "a", "output", "node: needs output ports (none), got a"),
        (SEVEN, TWO, "c", "input", "node: needs input ports a, b, got c"),
        ([7], ONE, "a", "output", "node.a: needs (1,) int64, got list"),
        (np.array([7, 8]), ONE, "a", "output", "node.a.n: needs (1,) int64, got (2,) int64"),
        (np.array([7.0]), ONE, "a", "input", "node.a.n: needs (1,) int64, got (1,) float64; convert with .astype(np.int64)?"),
    ],
)
def test_arrays_of_refuses(value, declared, port, side, message):
    with pytest.raises(FrameError, match=f"^{re.escape(message)}$"):
        arrays_of(value, declared, port, "node", side)


def test_heap():
    alloc = heap(TWO, "node")
    assert (alloc("b", "n", (0, 4), np.float32).shape, alloc("a", "n", (2,), np.int64).dtype) == ((0, 4), np.int64)
    with pytest.raises(FrameError, match=r"^node: alloc: needs an output port \(a, b\), got c$"):
        alloc("c", "n", (1,), np.int64)
