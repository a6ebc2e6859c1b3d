"""One ONNX file in every runtime that is installed; refusals where one is missing or cannot run it so."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx_nets import conv, model, save  # noqa: E402

from operators.nets import runtimes  # noqa: E402
from operators.nets.runtimes import available, open_onnx  # noqa: E402
from pipeline.errors import InputError, RunError  # noqa: E402

INSTALLED = [name for name in ("onnxruntime", "openvino") if importlib.util.find_spec(name)]
both = pytest.mark.parametrize("runtime", INSTALLED)


@pytest.fixture
def path(tmp_path):
    return save(conv(), tmp_path / "net.onnx")


def expected(path, x):
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(onnx.load(path)).run(None, {"x": x})[0]


def picture(size=6, seed=0):
    return np.random.default_rng(seed).normal(0, 1, (1, 3, size, size)).astype(np.float32)


@both
def test_it_computes_the_net(path, runtime):
    net = open_onnx(path, runtime=runtime, threads=1, node="detect")
    assert net.runtime == runtime and [s.name for s in net.inputs] == ["x"] and net.outputs[0].shape == (1, 2, 6, 6)
    x = picture()
    x.flags.writeable = False
    found = net.run({"x": x})
    assert set(found) == {"y"} and found["y"].dtype == np.float32 and found["y"].flags.writeable
    np.testing.assert_allclose(found["y"], expected(path, x), atol=1e-5)
    net.close()


@both
def test_free_sizes_may_change_from_frame_to_frame(tmp_path, runtime):
    path = save(conv(free=True), tmp_path / "net.onnx")
    net = open_onnx(path, runtime=runtime, threads=1, node="detect")
    for size in (4, 9, 4):
        np.testing.assert_allclose(net.run({"x": picture(size)})["y"], expected(path, picture(size)), atol=1e-5)


@both
@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_input_gives_the_same_bits(tmp_path, runtime, threads):
    path = save(conv(64, (3, 32)), tmp_path / "net.onnx")
    nets = [open_onnx(path, runtime=runtime, threads=threads, node="detect") for _ in range(2)]
    found = {net.run({"x": picture(64, seed)})["y"].tobytes() for seed in (0, 1, 0, 0) for net in nets}
    assert len(found) == 2, "one answer for each of the two inputs"


@both
def test_outputs_belong_to_the_caller(path, runtime):
    net = open_onnx(path, runtime=runtime, threads=1, node="detect")
    first = net.run({"x": picture()})["y"]
    kept = first.copy()
    net.run({"x": picture(seed=1)})
    np.testing.assert_array_equal(first, kept)


@both
def test_arrays_that_do_not_fit(path, runtime):
    net = open_onnx(path, runtime=runtime, threads=1, node="detect")
    with pytest.raises(ValueError, match=r"^needs x \(1, 3, 6, 6\) float32, got \(1, 3, 7, 6\) float32$"):
        net.run({"x": np.zeros((1, 3, 7, 6), np.float32)})


@both
def test_a_net_that_the_runtime_cannot_load(tmp_path, runtime):
    node = onnx.helper.make_node("Nothing", ["x"], ["y"], domain="com.example")
    made = model([node], {"x": (1, [2])}, {"y": (1, [2])})
    made.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    (tmp_path / "net.onnx").write_bytes(made.SerializeToString())
    with pytest.raises(InputError, match=rf"net.onnx: {runtime} \S+ cannot load it: .*Nothing") as caught:
        open_onnx(tmp_path / "net.onnx", runtime=runtime, threads=1, node="detect")
    assert "\n" not in str(caught.value)


@both
def test_a_file_that_is_none(tmp_path, runtime):
    (tmp_path / "net.onnx").write_text("hello")
    with pytest.raises(InputError, match=r"net.onnx: needs a valid ONNX file, got 5 bytes where "):
        open_onnx(tmp_path / "net.onnx", runtime=runtime, threads=1, node="detect")


@pytest.mark.skipif("openvino" not in INSTALLED, reason="needs openvino")
def test_openvino_in_bf16_is_near_and_in_fp32_exact(path):
    exact = expected(path, picture())
    for precision, bound in (("fp32", 1e-5), ("bf16", 0.05)):
        net = open_onnx(path, runtime="openvino", threads=1, node="detect", precision=precision)
        np.testing.assert_allclose(net.run({"x": picture()})["y"], exact, atol=bound)


@pytest.mark.skipif(not INSTALLED, reason="needs a runtime")
def test_auto_takes_the_first_that_is_there(path, monkeypatch):
    assert open_onnx(path, threads=1, node="detect").runtime == INSTALLED[0]
    without(monkeypatch, INSTALLED[0])
    if len(INSTALLED) == 2:
        assert open_onnx(path, threads=1, node="detect").runtime == INSTALLED[1]


@pytest.mark.skipif("onnxruntime" not in INSTALLED, reason="needs onnxruntime")
@pytest.mark.parametrize(
    ("precision", "error", "message"),
    [
        (
            "bf16",
            RunError,
            r"^detect: precision: onnxruntime computes in the types of the file, so it needs fp32 or int8, got bf16;",
        ),
        ("int8", InputError, r"net.onnx: needs a quantized net for precision int8, got one without QuantizeLinear; pipe export"),
    ],
)
def test_a_precision_that_the_runtime_or_the_file_does_not_have(path, precision, error, message):
    with pytest.raises(error, match=message):
        open_onnx(path, runtime="onnxruntime", threads=1, node="detect", precision=precision)


def without(monkeypatch, *names):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *args: None if name in names else found(name, *args))


@pytest.mark.parametrize(
    ("runtime", "message"),
    [
        ("torch", "^detect: runtime: torch cannot load ONNX files; needs one of auto, onnxruntime, openvino, tensorrt$"),
        ("onnxruntime", r"^detect: runtime: needs onnxruntime, which is not installed; pip install 'perception-pipe\[onnx\]'$"),
        ("openvino", r"^detect: runtime: needs openvino, which is not installed; pip install 'perception-pipe\[openvino\]'$"),
        ("tensorrt", r"^detect: runtime: needs tensorrt, which is not installed; pip install 'perception-pipe\[tensorrt\]'$"),
        ("auto", r"^detect: runtime: auto needs onnxruntime or openvino, got neither; pip install 'perception-pipe\[onnx\]'$"),
    ],
)
def test_a_runtime_that_is_missing(path, monkeypatch, runtime, message):
    without(monkeypatch, "onnxruntime", "openvino", "tensorrt")
    with pytest.raises(RunError, match=message):
        open_onnx(path, runtime=runtime, threads=1, node="detect")
    assert available()["onnxruntime"].startswith("needs onnxruntime, which is not installed")


def test_what_is_available(monkeypatch):
    found = available()
    assert list(found) == ["torch", "onnxruntime", "openvino", "tensorrt"]
    for name in INSTALLED:
        assert found[name][0].isdigit()


@both
def test_nothing_is_written_to_the_home_folder(tmp_path, path, runtime):
    code = f"""if True:
        from operators.nets.runtimes import open_onnx
        import numpy as np
        net = open_onnx({str(path)!r}, runtime={runtime!r}, threads=1, node="n")
        net.run({{"x": np.zeros((1, 3, 6, 6), np.float32)}})"""
    home = tmp_path / "home"
    home.mkdir()
    env = {k: v for k, v in os.environ.items() if not k.startswith(("ORT_", "XDG_"))} | {"HOME": str(home), "TMPDIR": str(home)}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
    assert [p for p in home.rglob("*") if p.is_file()] == []


def test_looking_imports_no_runtime(path):
    code = f"""if True:
        import sys
        from operators.nets.runtimes import available, check, read_specs
        available(), read_specs({str(path)!r})
        print([m for m in ("torch", "onnx", "onnxruntime", "openvino", "tensorrt") if m in sys.modules])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_runtime_names_its_extra():
    assert set(runtimes.EXTRAS) == {"torch", "onnxruntime", "openvino", "tensorrt"}


@both
def test_nets_that_end_in_the_order_they_began_leave_signals_alone(path, runtime):
    """A library's signal stack must not be freed memory: the next signal would kill the process."""
    code = f"""import signal
from pathlib import Path
from operators.nets.runtimes import open_onnx
nets = [open_onnx(Path({str(path)!r}), runtime={runtime!r}, threads=1, node="n") for _ in range(2)]
while nets:
    nets.pop(0).close()
signal.signal(signal.SIGALRM, lambda *_: print("came"))
signal.raise_signal(signal.SIGALRM)"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "came\n")
