"""From weights of fuse.gate to an admitted engine in a node; wrong engines are refused with the numbers of their gate."""

import dataclasses
import importlib.util

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import numpy_helper  # noqa: E402

from operators.fuse import export  # noqa: E402
from operators.fuse.export import Bench, GateExporter, maps_of  # noqa: E402
from operators.fuse.gate import EngineNet, FuseGate  # noqa: E402
from operators.nets import gate, weights  # noqa: E402
from operators.nets.export_fusion import fusion_export  # noqa: E402
from operators.nets.export_int8 import quantize  # noqa: E402
from operators.nets.fusion_config import FUSION, FusionNetConfig  # noqa: E402
from operators.nets.fusion_net import FusionNet  # noqa: E402
from operators.nets.runtimes import open_onnx  # noqa: E402
from operators.nets.runtimes.enginefile import Facts, read_facts, save_onnx, weights_hash  # noqa: E402
from operators.nets.runtimes.onnxfile import read  # noqa: E402
from pipeline import exporting, settings  # noqa: E402
from pipeline.errors import GraphError, InputError, RunError  # noqa: E402
from pipeline.exporting import ExportOptions  # noqa: E402
from pipeline.testing import run_operator  # noqa: E402

SIZE = (128, 96)
TINY = FusionNetConfig(
    image_size=SIZE, stage_channels=(4, 8, 8, 16, 16), map_channels=16, queries=48, hidden=16, feedforward=16, key_pool=2,
    decoder_layers=1,
)  # fmt: skip
OPENVINO = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs openvino")


def net_of(config=TINY, seed=0):
    """Every cell is a query, its score is far from the threshold and its box from the others: none comes or goes by a rounding.

    The norms know the pictures, so that what a backbone says is as large as in a trained net.
    """
    torch.manual_seed(seed)
    net = FusionNet(config).train()
    rng = np.random.default_rng(1)
    with torch.no_grad():
        for _ in range(20):
            coarse = torch.from_numpy(rng.integers(0, 256, (4, 12, 16, 3), dtype=np.uint8))
            fine = coarse.repeat_interleave(8, 1).repeat_interleave(8, 2)
            net.maps([fine if name == "image" else fine[..., 0].contiguous() for name in config.modalities])
        net.eval()
        net.classify[-1].weight.normal_(0, 0.05)
        net.classify[-1].bias.copy_(torch.tensor([3.0, -3.0, -3.0, 0.0]))
        net.place[-1][-1].weight.normal_(0, 0.01)
    return net


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("gate_export")


@pytest.fixture(scope="module")
def model(folder):
    weights.save(folder / "tiny.safetensors", FUSION, TINY, net_of().state_dict())
    return str(folder / "tiny.safetensors")


def frames(num):
    """Pairs of smooth pictures of different brightness."""
    made = []
    for seed in range(num):
        rng = np.random.default_rng(seed)
        low, high = np.sort(rng.integers(0, 256, 2))
        coarse = rng.integers(low, high + 1, (12, 16, 4)).astype(np.uint8)
        fine = np.ascontiguousarray(coarse.repeat(8, 0).repeat(8, 1))
        made.append({"image": np.ascontiguousarray(fine[..., :3]), "thermal": np.ascontiguousarray(fine[..., 3])})
    return made


FRAMES = frames(gate.FRAMES)
FEW = FRAMES[:8]


def options(model, folder, to="onnx", precision="fp32", name="e.onnx"):
    return ExportOptions(model, to, precision, folder / name)


def exported(model, folder, to="onnx", precision="fp32", name="e.onnx"):
    exporter = GateExporter(options(model, folder, to, precision, name))
    if precision == "int8":
        exporter.runtimes = ["onnxruntime"]
    return str(folder / name), list(exporter.run(FRAMES))


@pytest.fixture(scope="module")
def engines(model, folder):
    """Precision -> path, lines of the export; each is made once."""
    made = {}

    def of(precision):
        if precision not in made:
            to = "onnx" if precision in ("fp32", "int8") else "openvino"
            made[precision] = exported(model, folder, to, precision, f"{precision}.onnx")
        return made[precision]

    return of


@pytest.fixture(scope="module")
def bench(model):
    return Bench(weights.load(model, FUSION), model)


def run(model, *sets, **config):
    return run_operator(FuseGate, list(sets), {"weights": model, "score_threshold": 0.3, **config})


# ---- the model


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"scheme": "selective", "modalities": ("image", "depth")},
        {"decoder": "dense", "scheme": "mask_average"},
        pytest.param({"scheme": "scalar_average"}, marks=pytest.mark.slow),
        pytest.param({"scheme": "mask_concat"}, marks=pytest.mark.slow),
        pytest.param({"modalities": ("thermal",)}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_an_engine_is_the_net_for_every_set_of_modalities(tmp_path, changed):
    config = dataclasses.replace(TINY, **changed)
    weights.save(tmp_path / "net.safetensors", FUSION, config, net_of(config).state_dict())
    bench = Bench(weights.load(tmp_path / "net.safetensors", FUSION), "net")
    (tmp_path / "net.onnx").write_bytes(fusion_export(bench.net))
    made = EngineNet(open_onnx(tmp_path / "net.onnx", runtime="onnxruntime", threads=1, node="n"), config)
    pictures = {"image": FRAMES[0]["image"], "thermal": FRAMES[0]["thermal"], "depth": FRAMES[1]["thermal"]}
    names = config.modalities
    for present in (names, *((name,) for name in names)):
        given = {name: pictures[name] for name in present}
        exact, found = bench.exact(given), made.run(given)
        ours, theirs = maps_of(exact, found)
        assert set(ours) >= {"logits", "boxes", "shares", *(f"map_{name}" for name in present)}
        for name in ours:
            np.testing.assert_allclose(theirs[name], ours[name], atol=2e-5, err_msg=f"{present} {name}")


def test_what_an_absent_modality_holds_reaches_nothing(engines):
    made = open_onnx(engines("fp32")[0], runtime="onnxruntime", threads=1, node="n")
    given = {"image": FRAMES[0]["image"], "present": np.array([True, False])}
    one, other = (made.run({**given, "thermal": frame["thermal"]}) for frame in FRAMES[:2])
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def test_backbones_are_branches(engines):
    """No convolution of a backbone stands outside of a branch: an absent modality computes none."""
    graph = onnx.load(engines("fp32")[0]).graph
    assert [node.name for node in graph.node if node.op_type == "If"] == ["image/if_present", "thermal/if_present"]
    assert not any(node.name.startswith(("image//", "thermal//")) for node in graph.node)
    for node in graph.node:
        if node.op_type == "If":
            then, other = (next(a.g for a in node.attribute if a.name == name) for name in ("then_branch", "else_branch"))
            assert sum(n.op_type == "Conv" for n in then.node) >= 10 and [n.op_type for n in other.node] == ["ConstantOfShape"]


# ---- a node with an engine


@pytest.mark.parametrize(
    ("runtime", "precision"),
    [
        ("onnxruntime", "fp32"),
        ("onnxruntime", "int8"),
        pytest.param("openvino", "fp32", marks=OPENVINO),
        pytest.param("openvino", "bf16", marks=[OPENVINO, pytest.mark.slow]),
        pytest.param("openvino", "fp16", marks=[OPENVINO, pytest.mark.slow]),
    ],
)
def test_boxes_of_an_engine_are_those_of_torch(model, engines, runtime, precision):
    path, lines = engines(precision)
    assert lines[-1].endswith(f"MB, {precision}") and any(line.startswith(f"{runtime}: passed: 64 frames, ") for line in lines)
    sets = [FRAMES[0], {"image": FRAMES[0]["image"]}, {"thermal": FRAMES[0]["thermal"]}, {}]
    found, exact = run(model, *sets, engine=path, runtime=runtime), run(model, *sets)
    for ours, theirs in zip(found, exact, strict=True):
        close = 1e-5 if precision == "fp32" else 0.03
        assert len(ours["boxes2d"].scores) == len(theirs["boxes2d"].scores)
        np.testing.assert_allclose(np.sort(ours["boxes2d"].scores), np.sort(theirs["boxes2d"].scores), atol=close)
        np.testing.assert_allclose(ours["weights"], theirs["weights"], atol=close)
        if precision == "fp32":
            np.testing.assert_allclose(
                np.sort(ours["boxes2d"].boxes2d, axis=0), np.sort(theirs["boxes2d"].boxes2d, axis=0), atol=1e-2
            )
    assert len(found[0]["boxes2d"].scores) == 48 and found[1]["weights"].tolist() == [1, 0] and "gate" not in found[3]


def test_facts_of_an_engine(model, engines):
    path, _ = engines("int8")
    facts = read_facts(path)
    assert facts.architecture == "fusion" and facts.weights == weights_hash(weights.load(model, FUSION).tensors)
    assert facts.config == settings.plain(TINY) and facts.calibration == {"graph": "demo", "frames": 64, "also_in_gate": True}
    assert set(facts.gates["onnxruntime"]["maps"]) == {
        "logits", "boxes", "shares", "cell_logits", "map_image", "map_thermal",
    }  # fmt: skip
    assert facts.gates["onnxruntime"]["frames"] == 64 and facts.gates["onnxruntime"]["matched"] == 3 * 64 * 48
    assert read(path).quantized and gate.refusal(facts.gates["onnxruntime"]) == ""


# ---- engines that are wrong


def changed(made, modality, ending, change):
    """The ONNX model with one tensor of a backbone changed."""
    (then,) = (a.g for n in made.graph.node if n.name == f"{modality}/if_present" for a in n.attribute if a.name == "then_branch")
    tensor = next(t for t in then.initializer if t.name.endswith(ending) and t.name.startswith(f"{modality}//"))
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), tensor.name))
    return made


WRONG = [
    pytest.param("image", ".scale", lambda a: a / np.float32(4), id="a wrong scale"),
    pytest.param("thermal", ".scale", lambda a: a / np.float32(4), id="a wrong scale of the other backbone"),
    pytest.param("thermal", ".zero", lambda a: np.asarray(200, a.dtype), id="a swapped zero point"),
]


@pytest.fixture(scope="module")
def int8(model, folder):
    exporter = GateExporter(options(model, folder, precision="int8"))
    exporter.open()
    return exporter.model("int8", FEW)


def gated(tmp_path, model, bench, made):
    """Path of an int8 engine with the numbers of its gate; the reason of its refusal."""
    path = tmp_path / "int8.onnx"
    facts = Facts("fusion", settings.plain(TINY), weights_hash(weights.load(model, FUSION).tensors), "int8")
    save_onnx(path, made, facts)
    numbers = bench.gate(path, "onnxruntime", "int8", FEW, 1) | {"frames": gate.FRAMES}
    save_onnx(path, made, dataclasses.replace(facts, gates={"onnxruntime": numbers}))
    return str(path), gate.refusal(numbers)


@pytest.mark.parametrize(("modality", "ending", "change"), WRONG)
def test_a_wrong_engine_is_refused_with_its_numbers(tmp_path, model, bench, int8, modality, ending, change):
    made = changed(onnx.load_model_from_string(int8), modality, ending, change).SerializeToString()
    path, reason = gated(tmp_path, model, bench, made)
    assert f"map_{modality} " in reason
    with pytest.raises(GraphError, match=r"config\.engine: .*int8.onnx: not admitted: onnxruntime: ") as caught:
        run(model, engine=path, runtime="onnxruntime")
    assert str(caught.value).endswith(reason)


def test_the_same_engine_without_the_fault_passes(tmp_path, model, bench, int8):
    path, reason = gated(tmp_path, model, bench, int8)
    assert reason == "" and len(run(model, FRAMES[0], engine=path)) == 1


def test_export_writes_no_engine_that_its_gate_refuses(tmp_path, model, monkeypatch):
    monkeypatch.setattr(gate, "FRAMES", len(FEW))
    monkeypatch.setattr(export, "quantize", lambda made, ranges, **k: quantize(
        made, {name: (low / 4, high / 4) for name, (low, high) in ranges.items()}, **k))  # fmt: skip
    exporter = GateExporter(options(model, tmp_path, precision="int8"))
    exporter.runtimes = ["onnxruntime"]
    with pytest.raises(RunError, match=r"^export: the admission gate refuses int8, nothing is written: onnxruntime: maps off by"):
        list(exporter.run(FEW))
    assert not (tmp_path / "e.onnx").exists()


# ---- refusals


def refused(message, model, **config):
    with pytest.raises(GraphError, match=message):
        run(model, **config)


def test_engines_and_keys_that_do_not_go_together(tmp_path, model, engines):
    path, _ = engines("fp32")
    weights.save(tmp_path / "other.safetensors", FUSION, TINY, net_of(seed=1).state_dict())
    other = str(tmp_path / "other.safetensors")
    refused(r"config\.engine: .*fp32.onnx: needs an engine made from .*other.safetensors, got one of other weights; pipe",
            other, engine=path)  # fmt: skip
    refused(r"config\.runtime: openvino needs an engine: pipe export .*tiny.safetensors --to ... -o F, then engine: F$",
            model, runtime="openvino")  # fmt: skip
    refused(r"fp32.onnx is an engine for onnxruntime or openvino, got torch; pipe export", model, engine=path, runtime="torch")
    (tmp_path / "text.onnx").write_text("hello")
    refused(r"config\.engine: .*text.onnx: needs a valid ONNX file, got 5 bytes", model, engine=str(tmp_path / "text.onnx"))


def test_what_cannot_be_exported(tmp_path, model):
    with pytest.raises(InputError, match=r"^.*: needs pictures of one size, got image 128 x 96, thermal 64 x 96; a graph with"):
        Bench(weights.load(model, FUSION), model).pictures({**FRAMES[0], "thermal": FRAMES[0]["thermal"][:, :64]})
    with pytest.raises(RunError, match=r"^export --to tensorrt: precision: fuse.gate needs fp32, fp16 or int8, got bf16"):
        GateExporter(options(model, tmp_path, "tensorrt", "bf16"))
    for key, message in (
        ({"scheme": "selective", "evaluation_noise": True}, r"^export: needs a net without evaluation_noise"),
        ({"weight_net": "released"}, r"^export: weight_net released needs a map of multiples of 16 cells, got 6 x 8$"),
    ):
        config = dataclasses.replace(TINY, **key)
        weights.save(tmp_path / "bad.safetensors", FUSION, config, FusionNet(config).state_dict())
        with pytest.raises(RunError, match=message):
            GateExporter(options(str(tmp_path / "bad.safetensors"), tmp_path))
    with pytest.raises(InputError, match=r"^export: needs 64 frames or more for the admission gate, got 63$"):
        list(GateExporter(options(model, tmp_path)).run(FRAMES[:63]))


def test_the_exporter_follows_from_the_model(model, tmp_path):
    assert GateExporter.takes(model) and not GateExporter.takes("pointpillars_world") and not GateExporter.takes(str(tmp_path))
    exporter = GateExporter(options(model, tmp_path))
    graph, sets = exporter.default
    ports = {name: exporting.port_of(graph, sets, name, schema, exporter.op) for name, schema in exporter.schemas.items()}
    assert ports == {"image": "world.image", "thermal": "world.thermal"}
    assert (sets["world.config.camera.width"], sets["world.config.camera.height"]) == SIZE
