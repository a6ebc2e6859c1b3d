"""A stand-in for TensorRT that computes with package onnx, and device memory in this process."""

from __future__ import annotations

import ctypes
import enum
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest


class Host:
    """`Memory` in this process: addresses are those of arrays."""

    def __init__(self, name="Orin", capability="8.7"):
        self.name, self.capability, self.allocated = name, capability, []

    def stamp(self):
        return self.name, self.capability

    def stream(self):
        return 1234

    def allocate(self, shape, dtype):
        buffer = np.empty(shape, dtype)
        self.allocated.append(shape)
        return buffer, buffer.ctypes.data

    def upload(self, array, buffer):
        buffer[...] = array

    def download(self, buffer):
        return buffer.copy()


class DataType(enum.Enum):
    FLOAT, HALF, INT8, UINT8, INT32, INT64, BOOL, BF16 = range(8)


class IOMode(enum.Enum):
    NONE, INPUT, OUTPUT = range(3)


class Severity(enum.Enum):
    INTERNAL_ERROR, ERROR, WARNING = range(3)


class ILogger:
    Severity = Severity

    def __init__(self):
        self.ready = True


class Context:
    def __init__(self, engine):
        self.engine, self.shapes, self.addresses, self.fails = engine, {}, {}, engine.trt.run_fails

    def set_input_shape(self, name, shape):
        self.shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def get_tensor_shape(self, name):
        given = self.engine.shapes[name]
        return tuple(self.shapes["x"][i] if n < 0 else n for i, n in enumerate(given))

    def execute_async_v3(self, stream):
        from onnx.reference import ReferenceEvaluator

        assert stream == 1234
        if self.fails:
            self.engine.trt.logger.log(Severity.ERROR, "an illegal memory access")
            return False
        x = np.ctypeslib.as_array((ctypes.c_float * int(np.prod(self.shapes["x"]))).from_address(self.addresses["x"]))
        (y,) = ReferenceEvaluator(onnx.load_model_from_string(self.engine.model)).run(None, {"x": x.reshape(self.shapes["x"])})
        ctypes.memmove(self.addresses["y"], np.ascontiguousarray(y).ctypes.data, y.nbytes)
        return True


class Engine:
    num_io_tensors = 2

    def __init__(self, trt, model):
        self.trt, self.model = trt, model
        graph = onnx.load_model_from_string(model).graph
        self.shapes = {
            v.name: tuple(d.dim_value or -1 for d in v.type.tensor_type.shape.dim) for v in (*graph.input, *graph.output)
        }

    def get_tensor_name(self, i):
        return ("x", "y")[i]

    def get_tensor_shape(self, name):
        return self.shapes[name]

    def get_tensor_dtype(self, name):
        return self.trt.dtype

    def get_tensor_mode(self, name):
        return IOMode.INPUT if name == "x" else IOMode.OUTPUT

    def create_execution_context(self):
        return None if self.trt.no_context else Context(self)


def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The stand-in, installed as module tensorrt; what it does wrong is set on it."""
    fake = SimpleNamespace(
        __version__="11.4.0", ILogger=ILogger, DataType=DataType, TensorIOMode=IOMode, dtype=DataType.FLOAT, log=[],
        run_fails=False, no_context=False, no_engine=False, cannot_build=False, bad_cache=False, logger=None,
        NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=1), MemoryPoolType=SimpleNamespace(WORKSPACE="workspace"),
    )  # fmt: skip

    class Config:
        def set_memory_pool_limit(self, pool, size):
            fake.log.append((pool, size))

        def add_optimization_profile(self, profile):
            fake.log.append(profile.shapes)
            return 0

        def create_timing_cache(self, data):
            return SimpleNamespace(data=data, serialize=lambda: b"measured " + data)

        def set_timing_cache(self, cache, ignore_mismatch):
            fake.log.append(("cache", cache.data))
            self.cache = cache
            return not (fake.bad_cache and cache.data)

        def get_timing_cache(self):
            return self.cache

    class Profile:
        def __init__(self):
            self.shapes = {}

        def set_shape(self, name, *shapes):
            self.shapes[name] = shapes

    class Builder:
        def __init__(self, logger):
            assert logger.ready
            fake.logger = logger

        def create_network(self, flags):
            fake.log.append(("flags", flags))
            return SimpleNamespace()

        def create_builder_config(self):
            return Config()

        def create_optimization_profile(self):
            return Profile()

        def build_serialized_network(self, network, config):
            if fake.cannot_build:
                fake.logger.log(Severity.WARNING, "slow")
                fake.logger.log(Severity.ERROR, "no kernel\nfor this layer")
                return None
            return bytearray(b"plan " + network.model)

    class OnnxParser:
        num_errors = 1

        def __init__(self, network, logger):
            self.network = network

        def parse(self, model):
            self.network.model = model
            return model != b"nonsense"

        def get_error(self, i):
            return SimpleNamespace(desc=lambda: "no such\noperator")

    class Runtime:
        def __init__(self, logger):
            fake.logger = logger

        def deserialize_cuda_engine(self, data):
            if fake.no_engine:
                fake.logger.log(Severity.INTERNAL_ERROR, "a checksum")
                return None
            assert data[:5] == b"plan "
            return Engine(fake, data[5:])

    fake.Builder, fake.OnnxParser, fake.Runtime = Builder, OnnxParser, Runtime
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    return fake
