"""From weights of segment.efficientps to an admitted engine in the node; wrong engines are refused with their numbers."""

import dataclasses
import importlib.util

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("safetensors")
pytest.importorskip("onnxruntime")

from onnx import numpy_helper  # noqa: E402

from operators.nets import gate, weights  # noqa: E402
from operators.nets.efficientps import EfficientPS  # noqa: E402
from operators.nets.efficientps_config import EFFICIENTPS, EfficientPSConfig  # noqa: E402
from operators.nets.export_efficientps import INPUT, OUTPUTS, dense_export  # noqa: E402
from operators.nets.runtimes import open_onnx  # noqa: E402
from operators.nets.runtimes.enginefile import Facts, read_facts, save_onnx, weights_hash  # noqa: E402
from operators.segment.efficientps import SegmentEfficientps  # noqa: E402
from operators.segment.export import Bench, PanopticExporter, of_scans  # noqa: E402
from pipeline import exporting, settings  # noqa: E402
from pipeline.__main__ import main  # noqa: E402
from pipeline.errors import GraphError, InputError, RunError  # noqa: E402
from pipeline.exporting import ExportOptions  # noqa: E402
from pipeline.testing import run_operator  # noqa: E402

SIZE = (64, 64)
TINY = EfficientPSConfig(
    ("road", "Car", "sky", "Cyclist"), ("Cyclist", "Car"), SIZE, width=0.25, depth=0.1, channels=16, semantic_channels=8,
    hidden=32, anchor_scale=4.0, embedding=4,
)  # fmt: skip
OPENVINO = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs openvino")


def frames(num):
    made = []
    for seed in range(num):
        coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3)).astype(np.uint8)
        made.append({"image": np.ascontiguousarray(coarse.repeat(8, 0).repeat(8, 1))})
    return made


FRAMES = frames(4)


@pytest.fixture(autouse=True, scope="module")
def few():
    """As many frames pass the gate in this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, "FRAMES", len(FRAMES))
        yield


def net_of(seed=0):
    """The norms know the pictures, as in a trained net; every region is a Car, far from the threshold of the gate."""
    torch.manual_seed(seed)
    net = EfficientPS(TINY).train()
    with torch.no_grad():
        batch = torch.from_numpy(np.stack([frame["image"] for frame in frames(4)]))
        for _ in range(6):
            dense = net.dense(batch)
            net.classified(dense.maps, torch.tensor([[0.0, 0, 30, 30], [8, 8, 60, 60]]))
            net.described(dense.maps, torch.tensor([[0.0, 0, 30, 30], [8, 8, 60, 60]]), torch.tensor([0, 1]))
        net.boxes.classes.bias.copy_(torch.tensor([-9.0, 3.0, -9.0]))
        net.boxes.offsets.weight.mul_(0.1)
    return net.eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("panoptic_export")


@pytest.fixture(scope="module")
def model(folder):
    weights.save(folder / "tiny.safetensors", EFFICIENTPS, TINY, net_of().state_dict())
    return str(folder / "tiny.safetensors")


@pytest.fixture(scope="module")
def bench(model):
    return Bench(weights.load(model, EFFICIENTPS), model)


def options(model, folder, to="onnx", precision="fp32", name="e.onnx"):
    return ExportOptions(model, to, precision, folder / name)


@pytest.fixture(scope="module")
def engines(model, folder):
    """Precision -> path, lines of the export; each is made once."""
    made = {}

    def of(precision):
        if precision not in made:
            to, name = "onnx" if precision in ("fp32", "int8") else "openvino", f"{precision}.onnx"
            exporter = PanopticExporter(options(model, folder, to, precision, name))
            if precision == "int8":
                exporter.runtimes = ["onnxruntime"]
            made[precision] = str(folder / name), list(exporter.run(FRAMES))
        return made[precision]

    return of


def run(model, *images, **config):
    return run_operator(
        SegmentEfficientps, [{"image": image} for image in images], {"weights": model, "min_score": 0.3, **config}
    )


# ---- the model


def test_the_engine_gives_what_the_net_computes_everywhere(tmp_path, bench):
    (tmp_path / "net.onnx").write_bytes(dense_export(bench.net))
    engine = open_onnx(tmp_path / "net.onnx", runtime="onnxruntime", threads=1, node="n")
    picture = FRAMES[0]["image"]
    found = engine.run({INPUT: picture})
    with torch.inference_mode():
        dense = bench.net.dense(torch.from_numpy(picture.copy())[None])
    assert tuple(found) == OUTPUTS and found["semantic"].shape == (4, 16, 16) and found["p32"].shape == (1, 16, 2, 2)
    exact = (dense.semantic[0], dense.objects[0], dense.offsets[0], *dense.maps)
    for name, tensor in zip(OUTPUTS, exact, strict=True):
        np.testing.assert_allclose(found[name], tensor.numpy(), atol=1e-4, rtol=1e-4, err_msg=name)
    assert {node.op_type for node in onnx.load(tmp_path / "net.onnx").graph.node} <= {
        "Add", "Cast", "Concat", "Constant", "Conv", "Div", "Gather", "LeakyRelu", "Reshape", "Resize", "Slice", "Squeeze", "Sub",
        "Transpose", "Unsqueeze", "Identity", "Shape",
    }  # fmt: skip


# ---- a node with an engine


@pytest.mark.parametrize(
    ("runtime", "precision"),
    [
        ("onnxruntime", "fp32"),
        pytest.param("openvino", "fp32", marks=OPENVINO),
        pytest.param("openvino", "fp16", marks=[OPENVINO, pytest.mark.slow]),
    ],
)
def test_a_node_with_an_engine_sends_what_torch_sends(model, engines, runtime, precision):
    path, lines = engines(precision)
    assert lines[-1].endswith(f"MB, {precision}") and any(line.startswith(f"{runtime}: passed: 4 frames, ") for line in lines)
    images = [FRAMES[0]["image"], np.ascontiguousarray(FRAMES[1]["image"][:40, :48])]  # one is of another size
    for config in ({"semantic": "quarter"}, {"mirror": True}) if runtime == "onnxruntime" else ({},):
        sets = images[: 1 if "semantic" in config else 2]
        found, exact = run(model, *sets, engine=path, runtime=runtime, **config), run(model, *sets, **config)
        close = 1e-3 if precision == "fp32" else 0.3
        for ours, theirs in zip(found, exact, strict=True):
            assert len(ours["instances"].scores) == len(theirs["instances"].scores) > 3
            np.testing.assert_allclose(ours["semantic"], theirs["semantic"], atol=close)
            np.testing.assert_allclose(ours["instances"].scores, theirs["instances"].scores, atol=close)
            if precision == "fp32":
                np.testing.assert_allclose(ours["instances"].boxes2d, theirs["instances"].boxes2d, atol=0.02)
                np.testing.assert_allclose(ours["instances"].mask_logits, theirs["instances"].mask_logits, atol=0.02)
                np.testing.assert_allclose(ours["embeddings"], theirs["embeddings"], atol=0.02)


def test_facts_of_an_engine(model, engines):
    path, lines = engines("fp32")
    facts = read_facts(path)
    numbers = facts.gates["onnxruntime"]
    assert facts.architecture == "efficientps" and facts.config == settings.plain(TINY)
    assert set(numbers["maps"]) == set(OUTPUTS) and numbers["frames"] == 4 and numbers["cells"] == 4 * 16 * 16
    assert numbers["matched"] > 15 and numbers["same"] > 0.999 * numbers["cells"] and gate.refusal(numbers) == ""
    assert "), classes 1.0000, error of maps: " in next(line for line in lines if line.startswith("onnxruntime: passed"))


# ---- engines that are wrong


@pytest.fixture(scope="module")
def int8(model, folder):
    exporter = PanopticExporter(options(model, folder, precision="int8"))
    exporter.open()
    return exporter.model("int8", FRAMES)


def gated(tmp_path, model, bench, made):
    """Path of an int8 engine with the numbers of its gate; the numbers."""
    path = tmp_path / "int8.onnx"
    facts = Facts("efficientps", settings.plain(TINY), weights_hash(weights.load(model, EFFICIENTPS).tensors), "int8")
    save_onnx(path, made, facts)
    numbers = bench.gate(path, "onnxruntime", "int8", FRAMES[:2], 1) | {"frames": gate.FRAMES}
    save_onnx(path, made, dataclasses.replace(facts, gates={"onnxruntime": numbers}))
    return str(path), numbers


def test_a_wrong_engine_is_refused_with_its_numbers(tmp_path, model, bench, int8):
    """A scale of int8 that is wrong by 4, of a head that all four maps share."""
    _, good = gated(tmp_path, model, bench, int8)
    made = onnx.load_model_from_string(int8)
    scale = next(t for t in made.graph.initializer if t.name == "rpn.objects.weight.scale")
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) / np.float32(4), scale.name))
    path, bad = gated(tmp_path, model, bench, made.SerializeToString())
    assert bad["maps"]["objects"] > 0.7 > 3 * good["maps"]["objects"] and bad["maps"]["semantic"] == good["maps"]["semantic"]
    with pytest.raises(
        GraphError, match=r"config\.engine: .*int8.onnx: not admitted: onnxruntime: .*maps off by .*objects "
    ) as caught:
        run(model, engine=path, runtime="onnxruntime")
    assert str(caught.value).endswith(gate.refusal(bad))


def test_export_writes_no_engine_that_its_gate_refuses(tmp_path, model, monkeypatch):
    """An engine of other weights stands for one that computes something else."""
    exporter = PanopticExporter(options(model, tmp_path))
    exporter.runtimes = ["onnxruntime"]
    monkeypatch.setattr(exporter, "model", lambda precision, frames: dense_export(net_of(1)))
    refused = (
        r"^export: the admission gate refuses fp32, nothing is written: onnxruntime: agreement with fp32 0\.\d+ .*, "
        r"classes of cells as fp32 0\.\d+ \(needs 0.98\), maps off by objects"
    )
    with pytest.raises(RunError, match=refused):
        list(exporter.run(FRAMES))
    assert not (tmp_path / "e.onnx").exists()


# ---- refusals


def refused(message, model, **config):
    with pytest.raises(GraphError, match=message):
        run(model, **config)


def test_engines_and_keys_that_do_not_go_together(tmp_path, model, engines):
    path, _ = engines("fp32")
    weights.save(tmp_path / "other.safetensors", EFFICIENTPS, TINY, net_of(1).state_dict())
    refused(r"config\.engine: .*fp32.onnx: needs an engine made from .*other.safetensors, got one of other weights; pipe",
            str(tmp_path / "other.safetensors"), engine=path)  # fmt: skip
    refused(r"config\.runtime: openvino needs an engine: pipe export .*tiny.safetensors --to ... -o F, then engine: F$",
            model, runtime="openvino")  # fmt: skip
    refused(
        r"fp32.onnx is an engine for onnxruntime or openvino, got tensorrt; pipe export", model, engine=path, runtime="tensorrt"
    )
    refused(r"config\.scales: needs \[1.0\] for an engine, which has one picture size, got \[0.5, 1.0\]",
            model, engine=path, scales=[0.5, 1.0])  # fmt: skip


def test_what_cannot_be_exported(tmp_path, model):
    with pytest.raises(RunError, match=r"^export --to tensorrt: precision: segment.efficientps needs fp32, fp16 or int8, got"):
        PanopticExporter(options(model, tmp_path, "tensorrt", "bf16"))
    with pytest.raises(InputError, match=r"^export: needs 4 frames or more for the admission gate, got 3$"):
        list(PanopticExporter(options(model, tmp_path)).run(FRAMES[:3]))


def test_the_exporter_and_its_frames_follow_from_the_model(model, tmp_path):
    assert (
        PanopticExporter.takes(model)
        and not PanopticExporter.takes("pointpillars_world")
        and not PanopticExporter.takes("fusion_world")
    )
    exporter = PanopticExporter(options(model, tmp_path))
    graph, sets = exporter.default
    assert graph == "panoptic_demo" and (sets["world.config.camera.width"], sets["world.config.camera.height"]) == SIZE
    assert exporting.port_of(graph, sets, "image", exporter.schemas["image"], exporter.op) == "world.image"
    facts = {"training": '{"data": {"driver": "range_pictures"}}'}
    assert of_scans(facts) and not of_scans({}) and not of_scans({"training": "x"})
    weights.save(tmp_path / "scans.safetensors", EFFICIENTPS, TINY, net_of().state_dict(), facts)
    exporter = PanopticExporter(options(str(tmp_path / "scans.safetensors"), tmp_path))
    assert exporting.port_of(*exporter.default, "image", exporter.schemas["image"], exporter.op) == "picture.image"


@pytest.mark.slow
def test_pipe_export_from_generated_pictures_to_the_shipped_graph(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(PanopticExporter, "frames", 2 * gate.FRAMES)
    monkeypatch.chdir(tmp_path)
    assert main(["export", model, "--to", "onnx", "-o", "e.onnx", "--threads", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "frames: 8 of panoptic_demo, world.image" and lines[-1].endswith(" MB, fp32")
    given = {"weights": model, "engine": "e.onnx", "runtime": "onnxruntime"}
    sets = [f"segment.config.{key}={value}" for key, value in given.items()]
    sets += [f"world.config.camera.{key}={value}" for key, value in zip(("width", "height"), SIZE, strict=True)]
    assert main(["check", "panoptic_demo", *(arg for value in sets for arg in ("--set", value))]) == 0
