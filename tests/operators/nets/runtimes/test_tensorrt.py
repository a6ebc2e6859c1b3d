"""The TensorRT backend's way through build, stamp, load and run, on a stand-in for TensorRT that computes with package onnx.

What the real bindings have and how it is called: test_tensorrt_bindings.py.
"""

import sys

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from fake_tensorrt import DataType, Host  # noqa: E402
from onnx_nets import conv  # noqa: E402

from operators.nets.runtimes import enginefile  # noqa: E402
from operators.nets.runtimes.enginefile import Facts  # noqa: E402
from operators.nets.runtimes.tensorrt import TensorrtNet, build  # noqa: E402
from pipeline.errors import InputError, RunError  # noqa: E402


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
