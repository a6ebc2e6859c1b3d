"""int8 by QuantizeLinear: near the float32 net, in every runtime; wrong scales and zero points are far from it."""

import importlib.util

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import numpy_helper  # noqa: E402
from onnx_nets import conv, save, shared_weight, unlike_channels  # noqa: E402

from operators.nets.export_int8 import best_range, calibrate, quantize  # noqa: E402
from operators.nets.runtimes import open_onnx  # noqa: E402

RUNTIMES = [name for name in ("onnxruntime", "openvino") if importlib.util.find_spec(name)]


def frames(num=4, channels=3, size=16):
    rng = np.random.default_rng(0)
    made = [{"x": rng.normal(0, 1, (1, channels, size, size)).astype(np.float32)} for _ in range(num)]
    for arrays in made if channels == 8 else ():
        arrays["x"][:, 0] /= 32
    return made


def error(tmp_path, model, runtime="onnxruntime", proto=None, channels=3):
    """Relative RMS error of the int8 model against the float32 one."""
    (tmp_path / "q.onnx").write_bytes(model)
    exact = open_onnx(save(proto or conv(16), tmp_path / "net.onnx"), runtime="onnxruntime", threads=1, node="n")
    net = open_onnx(tmp_path / "q.onnx", runtime=runtime, threads=1, node="n", precision="int8")
    pairs = [(exact.run(f)["y"], net.run(f)["y"]) for f in frames(channels=channels)]
    one, two = (np.stack(side) for side in zip(*pairs, strict=True))
    return float(np.sqrt(np.square(one - two).mean()) / one.std())


def ranges(model, channels=3):
    return calibrate(model, lambda: frames(channels=channels))


@pytest.fixture(scope="module")
def model():
    return conv(16).SerializeToString()


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("symmetric", [False, True])
def test_int8_is_near(tmp_path, model, runtime, symmetric):
    assert 0 < error(tmp_path, quantize(model, ranges(model), symmetric=symmetric), runtime) < 0.03


def test_what_is_quantized(model):
    made = onnx.load_model_from_string(quantize(model, ranges(model)))
    onnx.checker.check_model(made, full_check=True)
    weights = {t.name: numpy_helper.to_array(t) for t in made.graph.initializer}
    assert weights["w1.int"].dtype == np.int8 and weights["w1.scale"].shape == (4,) and weights["b1.int"].dtype == np.int32
    assert "w1" not in weights and weights["x.zero"].dtype == np.uint8 and weights["r.zero"] == 0, (
        "a ReLU gives no negative value"
    )
    assert [n.op_type for n in made.graph.node if n.op_type == "Conv"] == ["Conv"] * 2
    assert sum(n.op_type == "QuantizeLinear" for n in made.graph.node) == 2, "x and the ReLU's output; the head stays float32"


def test_tensorrt_gets_no_zero_points_and_float_bias(model):
    made = onnx.load_model_from_string(quantize(model, ranges(model), symmetric=True))
    weights = {t.name: numpy_helper.to_array(t) for t in made.graph.initializer}
    assert weights["x.zero"].dtype == np.int8 and not any(weights[n].any() for n in weights if n.endswith(".zero"))
    assert weights["b1"].dtype == np.float32


def test_convolutions_to_keep(model):
    made = onnx.load_model_from_string(quantize(model, calibrate(model, frames, keep=["first"]), keep=["first"]))
    assert "w1" in {t.name for t in made.graph.initializer} and "w2.int" in {t.name for t in made.graph.initializer}


def test_outliers_are_cut_where_that_costs_least():
    counts = np.zeros(2048, np.int64)
    counts[1024:1300] = 1000  # nearly all in the first quarter above zero
    counts[-1] = 1
    low, high = best_range(-8.0, 8.0, counts)
    assert low == -high and 2.1 < high < 4
    assert best_range(0.0, 5.0, np.ones(2048, np.int64))[1] > 4.8, "an even spread keeps its ends"
    assert best_range(0.0, 0.0, None) == (0.0, 0.0) and best_range(-1.0, 2.0, np.zeros(9, np.int64)) == (-1.0, 2.0)


def test_no_frames_and_a_tensor_of_zeros(tmp_path, model):
    assert calibrate(model, list) == {"x": (0.0, 0.0), "r": (0.0, 0.0)}
    zeros = calibrate(model, lambda: [{"x": np.zeros((1, 3, 16, 16), np.float32)}])
    assert zeros["x"] == (0.0, 0.0)
    assert np.isfinite(error(tmp_path, quantize(model, zeros)))


def test_a_weight_of_several_convolutions_is_stored_once_and_its_bias_for_each_scale(tmp_path):
    proto = shared_weight()
    made = quantize(proto.SerializeToString(), ranges(proto.SerializeToString()))
    names = [tensor.name for tensor in onnx.load_model_from_string(made).graph.initializer]
    assert names.count("w.int") == 1 and {"b.int", "b.2.int"} <= set(names) and "w" not in names
    assert error(tmp_path, made, proto=proto) < 0.03


# ---- engines that are wrong


def changed(model, name, change):
    made = onnx.load_model_from_string(model)
    (tensor,) = (t for t in made.graph.initializer if t.name == name)
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), name))
    return made.SerializeToString()


def test_a_wrong_scale_and_a_swapped_zero_point_are_far_off(tmp_path, model):
    good = quantize(model, ranges(model))
    assert error(tmp_path, changed(good, "r.scale", lambda a: a / np.float32(4))) > 0.3
    assert error(tmp_path, changed(good, "r.zero", lambda a: np.uint8(255 - a))) > 0.3


def test_one_scale_for_all_channels_of_depthwise_weights_is_worse(tmp_path):
    proto = unlike_channels()
    model = proto.SerializeToString()
    found = ranges(model, 8)
    good, bad = (error(tmp_path, quantize(model, found, per_channel=p), "onnxruntime", proto, 8) for p in (True, False))
    assert good < 0.08 and bad > 0.15
