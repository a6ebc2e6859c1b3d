"""TensorRT 10.3 to 11: engines are built from ONNX files here and run only on the kind of device they were built for.

Source: TensorRT's Python API, https://docs.nvidia.com/deeplearning/tensorrt. Version 11 has no FP16 and INT8 flags and no
calibrators, so both get the same: a strongly typed network, in the precision of the tensors of the ONNX file, int8 by
QuantizeLinear and DequantizeLinear. All attributes below exist in both (a test reads this file and looks them up).
Device memory and streams are torch's, so that a node whose tensors are on the device need not copy them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from operators.nets.runtimes import enginefile
from operators.nets.runtimes.enginefile import Facts
from operators.nets.runtimes.onnxfile import TensorSpec, fit
from operators.nets.upload import Upload
from pipeline.errors import InputError, RunError

WORKSPACE_BYTES = 1 << 30
INSTALL = "pip install 'perception-pipe[tensorrt]' on a machine with an NVIDIA GPU and its driver"


class Stamp(NamedTuple):
    """What an engine depends on."""

    tensorrt: str  # version
    device: str  # name of the GPU
    capability: str  # of its compute units: 8.7


class Memory(Protocol):
    """The device as the backend needs it: buffers by address, copies, one stream."""

    def stamp(self) -> tuple[str, str]:
        """Name and compute capability of the device."""
        ...

    def stream(self) -> int: ...

    def allocate(self, shape: tuple[int, ...], dtype: str) -> tuple[Any, int]:
        """A buffer and its address."""
        ...

    def upload(self, array: np.ndarray, buffer: Any) -> None: ...

    def download(self, buffer: Any) -> np.ndarray:
        """Waits for the stream."""
        ...


def library() -> Any:
    """Module tensorrt. Raises RunError where it is missing or cannot be loaded."""
    try:
        trt: Any = importlib.import_module("tensorrt")
    except ImportError as error:
        raise RunError(f"tensorrt: cannot be imported: {' '.join(str(error).split())}; {INSTALL}") from None
    return trt


def stamp(memory: Memory) -> Stamp:
    """What an engine built here now depends on."""
    trt = library()
    return Stamp(str(trt.__version__), *memory.stamp())


def build(
    model: bytes,
    node: str,
    *,
    memory: Memory | None = None,
    timing_cache: Path | None = None,
    optimization_level: int = 3,
    shapes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]] | None = None,
) -> tuple[bytes, Stamp]:
    """A serialized ONNX model -> the serialized engine for this machine's device, and its stamp.

    timing_cache  file of measured kernels, read if it is there and written afterwards: the next build takes seconds
    shapes        input with a free dimension -> its least, usual and largest shape
    Raises InputError for a model that TensorRT cannot parse or build.
    """
    trt = library()
    memory = memory or CudaMemory(node)
    said, logger = _logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model):
        reasons = []
        for i in range(parser.num_errors):
            problem = parser.get_error(i)
            reasons.append(str(problem.desc()))
        raise InputError(f"{node}: TensorRT {trt.__version__} cannot parse the ONNX file: {_line(reasons or said)}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    config.builder_optimization_level = optimization_level
    if shapes:
        profile = builder.create_optimization_profile()
        for name, (least, usual, largest) in shapes.items():
            profile.set_shape(name, least, usual, largest)
        config.add_optimization_profile(profile)
    old = timing_cache.read_bytes() if timing_cache is not None and timing_cache.is_file() else b""
    cache = config.create_timing_cache(old)
    if not config.set_timing_cache(cache, ignore_mismatch=False):  # of another device or version: it starts anew
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, ignore_mismatch=False)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise InputError(f"{node}: TensorRT {trt.__version__} cannot build the engine: {_line(said)}")
    if timing_cache is not None:
        cache = config.get_timing_cache()
        timing_cache.write_bytes(bytes(cache.serialize()))
    return bytes(engine), stamp(memory)


class TensorrtNet:
    """`OnnxNet` of an engine file. Raises InputError for an engine of another device or version, with both."""

    runtime = "tensorrt"

    def __init__(self, path: Path, node: str, memory: Memory | None = None) -> None:
        facts, engine = enginefile.read_tensorrt(path)
        trt = library()
        self._memory = memory or CudaMemory(node)
        check_stamp(path, facts, stamp(self._memory))
        self._said, logger = _logger(trt)
        self._runtime = trt.Runtime(logger)
        self._engine = self._runtime.deserialize_cuda_engine(engine)
        if self._engine is None:
            raise InputError(f"{path}: TensorRT {trt.__version__} cannot load the engine: {_line(self._said)}")
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise RunError(f"{node}: TensorRT cannot make a context of {path}: {_line(self._said)}; is the device's memory full?")
        inputs: list[TensorSpec] = []
        outputs: list[TensorSpec] = []
        for i in range(self._engine.num_io_tensors):
            name = self._engine.get_tensor_name(i)
            shape = tuple(None if n < 0 else int(n) for n in self._engine.get_tensor_shape(name))
            spec = TensorSpec(name, shape, _dtype(trt, self._engine.get_tensor_dtype(name), path))
            (inputs if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT else outputs).append(spec)
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self._node = node
        self._buffers: dict[str, tuple[tuple[int, ...], Any]] = {}

    def run(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        fit(self.inputs, arrays)
        for spec in self.inputs:
            array = np.ascontiguousarray(arrays[spec.name])
            self._context.set_input_shape(spec.name, array.shape)
            self._memory.upload(array, self._buffer(spec, array.shape))
        found = {}
        for spec in self.outputs:
            shape = tuple(int(n) for n in self._context.get_tensor_shape(spec.name))
            if min(shape, default=0) < 0:
                raise RunError(f"{self._node}: TensorRT cannot tell the shape of output {spec} before it runs")
            found[spec.name] = self._buffer(spec, shape)
        if not self._context.execute_async_v3(self._memory.stream()):
            raise RunError(f"{self._node}: TensorRT failed to run the engine: {_line(self._said)}")
        return {name: self._memory.download(buffer) for name, buffer in found.items()}

    def _buffer(self, spec: TensorSpec, shape: tuple[int, ...]) -> Any:
        """Device memory of a tensor, kept from frame to frame while its shape stays."""
        had = self._buffers.get(spec.name)
        if had is None or had[0] != shape:
            buffer, address = self._memory.allocate(shape, spec.dtype)
            self._context.set_tensor_address(spec.name, address)
            had = self._buffers[spec.name] = (shape, buffer)
        return had[1]

    def close(self) -> None:
        self._buffers.clear()
        del self._context, self._engine, self._runtime


def check_stamp(path: Path, facts: Facts, here: Stamp) -> None:
    built = Stamp(*(facts.built.get(key, "unknown") for key in Stamp._fields))
    if built != here:
        one, two = (f"{s.device} (compute capability {s.capability}) with TensorRT {s.tensorrt}" for s in (built, here))
        raise InputError(f"{path}: needs {one}, which it was built for, got {two}; run pipe export --to tensorrt on this machine")


class CudaMemory:
    """`Memory` of torch's current CUDA device."""

    def __init__(self, node: str) -> None:
        import torch

        if not torch.cuda.is_available():
            raise RunError(f"{node}: runtime: tensorrt needs a CUDA device, got none that torch {torch.__version__} can use")
        self._torch, self._stream = torch, torch.cuda.Stream()
        self._upload = Upload(torch, torch.device("cuda"))

    def stamp(self) -> tuple[str, str]:
        major, minor = self._torch.cuda.get_device_capability()
        return self._torch.cuda.get_device_name(), f"{major}.{minor}"

    def stream(self) -> int:
        return int(self._stream.cuda_stream)

    def allocate(self, shape: tuple[int, ...], dtype: str) -> tuple[Any, int]:
        buffer = self._torch.empty(shape, dtype=getattr(self._torch, dtype), device="cuda")
        return buffer, int(buffer.data_ptr())

    def upload(self, array: np.ndarray, buffer: Any) -> None:
        with self._torch.cuda.stream(self._stream):
            buffer.copy_(self._upload.tensor(str(buffer.data_ptr()), array), non_blocking=True)

    def download(self, buffer: Any) -> np.ndarray:
        with self._torch.cuda.stream(self._stream):
            host: np.ndarray = buffer.cpu().numpy()
        return host


def _logger(trt: Any) -> tuple[list[str], Any]:
    """A logger that keeps errors, and where it keeps them."""
    said: list[str] = []
    errors = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)

    def start(self: Any) -> None:
        trt.ILogger.__init__(self)

    def log(self: Any, severity: Any, text: str) -> None:
        if severity in errors:
            said.append(text)

    return said, type("Logger", (trt.ILogger,), {"__init__": start, "log": log})()


def _dtype(trt: Any, dtype: Any, path: Path) -> str:
    names = {
        trt.DataType.FLOAT: "float32",
        trt.DataType.HALF: "float16",
        trt.DataType.INT8: "int8",
        trt.DataType.UINT8: "uint8",
        trt.DataType.INT32: "int32",
        trt.DataType.INT64: "int64",
        trt.DataType.BOOL: "bool",
    }
    if dtype not in names:
        raise InputError(f"{path}: needs inputs and outputs of {', '.join(names.values())}, got {dtype}")
    return names[dtype]


def _line(texts: list[str]) -> str:
    return " ".join("; ".join(texts[-3:]).split())[:400] or "it gives no reason"
