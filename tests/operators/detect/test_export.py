"""From weights to an admitted engine in a node; wrong engines are refused with the numbers of their gate."""

import dataclasses
import importlib.util

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import numpy_helper  # noqa: E402
from onnx_nets import unlike_channels  # noqa: E402

from operators.detect import export  # noqa: E402
from operators.detect.export import Bench, DetectorExporter  # noqa: E402
from operators.detect.pointpillars import Detector  # noqa: E402
from operators.nets import gate, weights  # noqa: E402
from operators.nets.export_int8 import calibrate, quantize  # noqa: E402
from operators.nets.export_pointpillars import dense_export  # noqa: E402
from operators.nets.pointpillars import PointPillars  # noqa: E402
from operators.nets.pointpillars_config import CYCLIST, PEDESTRIAN, POINTPILLARS, PointPillarsConfig  # noqa: E402
from operators.nets.runtimes import open_onnx  # noqa: E402
from operators.nets.runtimes.enginefile import Facts, read_facts, save_onnx, weights_hash  # noqa: E402
from operators.streams import Pillars  # noqa: E402
from pipeline import settings  # noqa: E402
from pipeline.errors import GraphError, InputError, RunError  # noqa: E402
from pipeline.exporting import ExportOptions  # noqa: E402
from pipeline.testing import run_operator  # noqa: E402

TINY = PointPillarsConfig(
    cell_m=(1.0, 0.5), range_m=(0.0, -4.0, -3.0, 16.0, 4.0, 1.0), max_points=4, pillar_channels=8, block_layers=(1, 1),
    block_channels=(8, 8), up_channels=(8, 8), anchors=(PEDESTRIAN, CYCLIST),
)  # fmt: skip
OPENVINO = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs openvino")


def net(seed=0):
    """Its scores lie far from the threshold and its boxes apart, so that none comes or goes by a rounding."""
    torch.manual_seed(seed)
    made = PointPillars(TINY).eval()
    with torch.no_grad():
        made.class_head.bias.fill_(-8)
        made.class_head.bias[0] = 3
        made.class_head.weight.normal_(0, 0.05)
        made.box_head.weight.normal_(0, 0.01)
    return made


@pytest.fixture
def model(tmp_path):
    weights.save(tmp_path / "tiny.safetensors", POINTPILLARS, TINY, net().state_dict())
    return str(tmp_path / "tiny.safetensors")


def frames(num):
    made = []
    for seed in range(num):
        rng = np.random.default_rng(seed)
        at = rng.choice(16 * 16, 40, replace=False)
        counts = rng.integers(1, 5, 40).astype(np.int32)
        points = rng.uniform((0, -4, -3, 0), (16, 4, 1, 1), (40, 4, 4)).astype(np.float32)
        points[np.arange(4) >= counts[:, None]] = 0
        made.append(Pillars(points, np.stack([at // 16, at % 16], 1).astype(np.int32), counts))
    return made


def options(model, tmp_path, to="onnx", precision="fp32", **more):
    return ExportOptions(model, to, precision, tmp_path / "e.onnx", **more)


def exported(model, tmp_path, to="onnx", precision="fp32", num=128):
    lines = list(DetectorExporter(options(model, tmp_path, to, precision)).run([{"pillars": f} for f in frames(num)]))
    return str(tmp_path / "e.onnx"), lines


# ---- a node with an engine


@pytest.mark.parametrize(
    ("runtime", "precision"),
    [
        ("onnxruntime", "fp32"),
        ("onnxruntime", "int8"),
        pytest.param("openvino", "fp32", marks=OPENVINO),
        pytest.param("openvino", "bf16", marks=OPENVINO),
    ],
)
def test_boxes_of_an_engine_are_those_of_torch(tmp_path, model, runtime, precision):
    path, lines = exported(model, tmp_path, "openvino" if runtime == "openvino" else "onnx", precision)
    assert lines[-1].endswith(f"MB, {precision}") and any(line.startswith(f"{runtime}: passed: 64 frames, ") for line in lines)
    shown = {"weights": model, "score_threshold": 0.3, "max_boxes": 10}
    given = [frames(1)[0], Pillars(np.zeros((0, 4, 4), np.float32), np.zeros((0, 2), np.int32), np.zeros(0, np.int32))]
    found = run_operator(Detector, given, {**shown, "engine": path, "runtime": runtime})
    for ours, theirs in zip(found, run_operator(Detector, given, shown), strict=True):
        assert len(theirs.scores) == 10
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-5 if precision == "fp32" else 0.02)
    if precision == "fp32":
        np.testing.assert_allclose(found[0].boxes3d, run_operator(Detector, given, shown)[0].boxes3d, atol=1e-4)


def test_facts_of_an_engine(tmp_path, model):
    path, _ = exported(model, tmp_path, precision="int8")
    facts = read_facts(path)
    loaded = weights.load(model, POINTPILLARS)
    assert facts.architecture == "pointpillars" and facts.weights == weights_hash(loaded.tensors) and facts.precision == "int8"
    assert facts.config == settings.plain(TINY) and facts.calibration == {"graph": "demo", "frames": 64, "also_in_gate": False}
    assert facts.gates["onnxruntime"]["frames"] == 64 and gate.refusal(facts.gates["onnxruntime"]) == ""


def test_few_frames_do_both_and_fewer_are_refused(tmp_path, model):
    path, _ = exported(model, tmp_path, precision="int8", num=64)
    assert read_facts(path).calibration == {"graph": "demo", "frames": 64, "also_in_gate": True}
    with pytest.raises(InputError, match=r"^export: needs 64 frames or more for the admission gate, got 63$"):
        exported(model, tmp_path, num=63)


# ---- engines that are wrong


def refused_engine(tmp_path, model, change=lambda made: made, **quantization):
    """An int8 engine, changed, with the numbers of its gate; the reason of its refusal."""
    loaded = weights.load(model, POINTPILLARS)
    bench = Bench(loaded, model)
    exact = dense_export(bench.net)
    ranges = calibrate(exact, lambda: ({"features": bench.level(f)} for f in frames(16)))
    made = change(onnx.load_model_from_string(quantize(exact, ranges, **quantization))).SerializeToString()
    facts = Facts("pointpillars", settings.plain(TINY), weights_hash(loaded.tensors), "int8")
    path = tmp_path / "wrong.onnx"
    save_onnx(path, made, facts)
    numbers = bench.gate(path, "onnxruntime", "int8", frames(64), 1)
    save_onnx(path, made, dataclasses.replace(facts, gates={"onnxruntime": numbers}))
    return str(path), numbers


def replaced(ending, change):
    def apply(made):
        tensor = next(t for t in made.graph.initializer if t.name.endswith(ending) and t.name[0] == "/")
        tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), tensor.name))
        return made

    return apply


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(replaced(".scale", lambda a: a / np.float32(4)), id="a wrong scale"),
        pytest.param(replaced(".zero", lambda a: np.asarray(200, a.dtype)), id="a swapped zero point"),
    ],
)
def test_a_wrong_engine_is_refused_with_its_numbers(tmp_path, model, change):
    path, numbers = refused_engine(tmp_path, model, change)
    reason = gate.refusal(numbers)
    assert reason, numbers
    with pytest.raises(GraphError, match=r"config\.engine: .*wrong.onnx: not admitted: onnxruntime: ") as caught:
        run_operator(Detector, [], {"weights": model, "engine": path, "runtime": "onnxruntime"})
    assert str(caught.value).endswith(reason)


def test_the_same_engine_without_the_fault_passes(tmp_path, model):
    path, numbers = refused_engine(tmp_path, model)
    assert gate.refusal(numbers) == ""
    assert len(run_operator(Detector, frames(1), {"weights": model, "engine": path})) == 1


def test_depthwise_weights_with_one_scale_are_refused(tmp_path):
    proto = unlike_channels()
    rng = np.random.default_rng(0)
    given = [{"x": rng.normal(0, 1, (1, 8, 16, 16)).astype(np.float32)} for _ in range(64)]
    for arrays in given:
        arrays["x"][:, 0] /= 32
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    exact = open_onnx(tmp_path / "net.onnx", runtime="onnxruntime", threads=1, node="n")
    reasons = []
    for per_channel in (True, False):
        made = quantize(proto.SerializeToString(), calibrate(proto.SerializeToString(), lambda: given), per_channel=per_channel)
        (tmp_path / "q.onnx").write_bytes(made)
        engine = open_onnx(tmp_path / "q.onnx", runtime="onnxruntime", threads=1, node="n")
        compared = gate.Gate("int8")
        for arrays in given:
            compared.maps(exact.run(arrays), engine.run(arrays))
            compared.frames += 1
        reasons.append(gate.refusal(compared.numbers()))
    assert reasons[0] == "" and reasons[1].startswith("maps off by y 0."), reasons


def test_export_writes_no_engine_that_its_gate_refuses(tmp_path, model, monkeypatch):
    monkeypatch.setattr(export, "quantize", lambda *a, **k: replaced(".scale", lambda s: s / np.float32(4))(
        onnx.load_model_from_string(quantize(*a, **k))).SerializeToString())  # fmt: skip
    with pytest.raises(RunError, match=r"^export: the admission gate refuses int8, nothing is written: onnxruntime: .*"):
        exported(model, tmp_path, precision="int8")
    assert not (tmp_path / "e.onnx").exists()


# ---- refusals


def refused(message, **config):
    with pytest.raises(GraphError, match=message):
        run_operator(Detector, [], config)


def test_an_engine_of_other_weights_or_another_net(tmp_path, model):
    path, _ = exported(model, tmp_path)
    weights.save(tmp_path / "other.safetensors", POINTPILLARS, TINY, net(1).state_dict())
    refused(
        r"config\.engine: .*e.onnx: needs an engine made from .*other.safetensors, got one of other weights; pipe export makes",
        weights=str(tmp_path / "other.safetensors"), engine=path,
    )  # fmt: skip
    refused(
        r"engine: .*e.onnx: needs an engine of pointpillars_world, cell_m \[0.16, 0.16\], got one of cell_m \[1.0, 0.5\]",
        engine=path,
    )
    save_onnx(
        tmp_path / "t.onnx", (tmp_path / "e.onnx").read_bytes(), dataclasses.replace(read_facts(path), architecture="tanet")
    )
    refused(r"needs an engine of pointpillars, got one of tanet", weights=model, engine=str(tmp_path / "t.onnx"))


def test_keys_that_do_not_go_together(tmp_path, model):
    path, _ = exported(model, tmp_path)
    refused(r"config\.runtime: openvino needs an engine: pipe export .*tiny.safetensors --to ... -o F, then engine: F$",
            weights=model, runtime="openvino")  # fmt: skip
    refused(r"config\.precision: of torch, needs float32 with an engine, which has its own, got bfloat16$",
            weights=model, engine=path, precision="bfloat16")  # fmt: skip
    refused(
        r"runtime: .*e.onnx is an engine for onnxruntime or openvino, got torch; pipe export",
        weights=model,
        engine=path,
        runtime="torch",
    )


def test_files_that_are_no_engine(tmp_path, model):
    (tmp_path / "text.onnx").write_text("hello")
    refused(
        r"config\.engine: .*text.onnx: needs a valid ONNX file, got 5 bytes where ",
        weights=model,
        engine=str(tmp_path / "text.onnx"),
    )
    refused(r"config\.engine: .*none.onnx: needs an engine made by pipe export, got: No such file", weights=model,
            engine=str(tmp_path / "none.onnx"))  # fmt: skip


def test_what_cannot_be_exported(tmp_path, model, monkeypatch):
    with pytest.raises(RunError, match=r"^export --to tensorrt: runtime: needs tensorrt, which is not installed; pip install"):
        DetectorExporter(options(model, tmp_path, to="tensorrt"))
    with pytest.raises(InputError, match=r"^mars: needs shipped weights \("):
        DetectorExporter(options("mars", tmp_path))
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "openvino" else found(name, *a))
    with pytest.raises(
        RunError, match=r"^export --to onnx: precision: onnxruntime computes in the types of the file, so it needs fp32 or"
    ):
        DetectorExporter(options(model, tmp_path, precision="bf16"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "onnx" else found(name, *a))
    with pytest.raises(RunError, match=r"^export: needs onnx, which is not installed; pip install 'perception-pipe\[onnx\]'$"):
        DetectorExporter(options(model, tmp_path))
