"""The TensorRT backend's way through build, stamp, load and run, on a stand-in for TensorRT that computes with package onnx.

What the real bindings have and how it is called: test_tensorrt_bindings.py.
"""

import ctypes
import enum
import sys
from types import SimpleNamespace

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx_nets import conv  # noqa: E402

from operators.nets.runtimes import enginefile  # noqa: E402
from operators.nets.runtimes.enginefile import Facts  # noqa: E402
from operators.nets.runtimes.tensorrt import TensorrtNet, build  # noqa: E402
from pipeline.errors import InputError, RunError  # noqa: E402


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


@pytest.fixture
def trt(monkeypatch):
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


def saved(tmp_path, proto=None, memory=None, **kwargs):
    engine, stamp = build((proto or conv()).SerializeToString(), "export", memory=memory or Host(), **kwargs)
    enginefile.save_tensorrt(tmp_path / "e.engine", engine, Facts("pointpillars", {}, "w", "fp32", built=stamp._asdict()))
    return tmp_path / "e.engine"


def expected(proto, x):
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(proto).run(None, {"x": x})[0]


def test_build_save_load_run(tmp_path, trt):
    memory = Host()
    net = TensorrtNet(saved(tmp_path), "detect", memory)
    assert trt.log[:2] == [("flags", 1 << 1), ("workspace", 1 << 30)]
    assert str(net.inputs[0]) == "x (1, 3, 6, 6) float32" and str(net.outputs[0]) == "y (1, 2, 6, 6) float32"
    for seed in (0, 1):
        x = np.random.default_rng(seed).normal(0, 1, (1, 3, 6, 6)).astype(np.float32)
        np.testing.assert_allclose(net.run({"x": x})["y"], expected(conv(), x), atol=1e-5)
    assert memory.allocated == [(1, 3, 6, 6), (1, 2, 6, 6)], "device memory is taken once"
    net.close()


def test_free_sizes_have_a_profile_and_buffers_that_follow(tmp_path, trt):
    shapes = {"x": ((1, 3, 4, 4), (1, 3, 6, 6), (1, 3, 9, 9))}
    net = TensorrtNet(saved(tmp_path, conv(free=True), shapes=shapes), "detect", Host())
    assert shapes in trt.log
    for size in (4, 9, 9):
        x = np.ones((1, 3, size, size), np.float32)
        np.testing.assert_allclose(net.run({"x": x})["y"], expected(conv(free=True), x), atol=1e-5)


def test_an_engine_of_another_device_or_version_is_refused_with_both(tmp_path, trt):
    path = saved(tmp_path)
    with pytest.raises(
        InputError,
        match=r"e.engine: needs Orin \(compute capability 8.7\) with TensorRT 11.4.0, which it was built for, got H200 "
        r"\(compute capability 9.0\) with TensorRT 11.4.0; run pipe export --to tensorrt on this machine$",
    ):
        TensorrtNet(path, "detect", Host("H200", "9.0"))
    trt.__version__ = "10.16.1"
    with pytest.raises(InputError, match=r"needs Orin .* with TensorRT 11.4.0, which .*, got Orin .* with TensorRT 10.16.1;"):
        TensorrtNet(path, "detect", Host())


def test_the_timing_cache_is_kept_and_one_of_another_device_dropped(tmp_path, trt):
    cache = tmp_path / "timing"
    saved(tmp_path, timing_cache=cache)
    assert cache.read_bytes() == b"measured "
    saved(tmp_path, timing_cache=cache)
    assert ("cache", b"measured ") in trt.log and cache.read_bytes() == b"measured measured "
    trt.bad_cache = True
    saved(tmp_path, timing_cache=cache)
    assert trt.log[-1] == ("cache", b"") and cache.read_bytes() == b"measured "


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cannot_build": True}, r"^export: TensorRT 11.4.0 cannot build the engine: no kernel for this layer$"),
        ({"no_engine": True}, r"e.engine: TensorRT 11.4.0 cannot load the engine: a checksum$"),
        ({"dtype": DataType.BF16}, r"e.engine: needs inputs and outputs of float32, .*, got DataType.BF16$"),
        ({"dtype": DataType.HALF, "run_fails": True}, r"needs x \(1, 3, 6, 6\) float16, got "),
        ({"run_fails": True}, r"^detect: TensorRT failed to run the engine: an illegal memory access$"),
        (
            {"no_context": True},
            r"^detect: TensorRT cannot make a context of .*e.engine: it gives no reason; is the device's memory full",
        ),
    ],
)
def test_what_fails_ends_in_one_line(tmp_path, trt, wrong, message):
    vars(trt).update(wrong)
    with pytest.raises((InputError, RunError, ValueError), match=message) as caught:
        TensorrtNet(saved(tmp_path), "detect", Host()).run({"x": np.zeros((1, 3, 6, 6), np.float32)})
    assert "\n" not in str(caught.value)


def test_a_model_that_tensorrt_cannot_parse(trt):
    with pytest.raises(InputError, match=r"^export: TensorRT 11.4.0 cannot parse the ONNX file: no such operator$"):
        build(b"nonsense", "export", memory=Host())


def test_other_files_are_refused(tmp_path, trt):
    for name, content in (("text", b"hello"), ("net.onnx", conv().SerializeToString())):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(
            InputError, match=rf"{name}: needs a TensorRT engine made by pipe export --to tensorrt, got another file$"
        ):
            TensorrtNet(tmp_path / name, "detect", Host())


def test_a_changed_engine_is_refused(tmp_path, trt):
    path = saved(tmp_path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(
        InputError, match=r"e.engine: needs the engine that its facts are about .*; it was changed after pipe export$"
    ):
        TensorrtNet(path, "detect", Host())


def test_without_a_gpu_the_message_says_so(tmp_path, trt):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("has CUDA")
    with pytest.raises(RunError, match=r"^detect: runtime: tensorrt needs a CUDA device, got none that torch "):
        TensorrtNet(saved(tmp_path), "detect")


def test_without_tensorrt_the_message_says_how_to_install_it(tmp_path, trt, monkeypatch):
    path = saved(tmp_path)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(
        RunError, match=r"^tensorrt: cannot be imported: .*; pip install 'perception-pipe\[tensorrt\]' on a machine with"
    ):
        TensorrtNet(path, "detect", Host())
