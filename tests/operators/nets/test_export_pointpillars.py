"""The dense part of PointPillars as an ONNX model gives what the net gives."""

import dataclasses

import numpy as np
import pytest

import pillar_nets

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from operators.nets.export_pointpillars import DensePointPillars, dense_export  # noqa: E402
from operators.nets.pointpillars import PointPillars  # noqa: E402
from operators.nets.pointpillars_config import CAR, PointPillarsConfig  # noqa: E402
from operators.nets.pointpillars_inference import InferencePointPillars  # noqa: E402
from operators.nets.runtimes import open_onnx  # noqa: E402

TINY = PointPillarsConfig(
    cell_m=(1.0, 0.5), range_m=(0.0, -6.0, -3.0, 16.0, 6.0, 1.0), max_points=4, pillar_channels=8, block_layers=(1, 2, 1),
    block_channels=(8, 16, 24), up_channels=(8, 16, 4),
)  # fmt: skip


def ready(config, seed=0):
    torch.manual_seed(seed)
    return InferencePointPillars(pillar_nets.liven(PointPillars(config)))


def level_of(net, arrays):
    return net.first_level(*arrays)[0].permute(1, 2, 0)


CONFIGS = [
    {},
    {"first_stride": 1},
    {"block_layers": (0,), "block_channels": (8,), "up_channels": (4,), "anchors": (CAR,)},
]


@pytest.mark.parametrize("num", [0, 1, 60])
@pytest.mark.parametrize("changed", CONFIGS)
def test_the_dense_part_is_the_net(changed, num):
    config = dataclasses.replace(TINY, **changed)
    net = ready(config)
    with torch.inference_mode():
        arrays = pillar_nets.scene(config, num)
        logits, levels = net(*arrays)
        residuals, directions = net.boxes(levels, torch.arange(config.num_anchors))
        classes, boxes = DensePointPillars(net)(level_of(net, arrays))
    np.testing.assert_allclose(classes, logits, atol=1e-4)
    np.testing.assert_allclose(boxes, torch.cat([residuals, directions], 1), atol=1e-4)


@pytest.mark.parametrize("changed", CONFIGS)
def test_the_file_is_the_dense_part(tmp_path, changed):
    config = dataclasses.replace(TINY, **changed)
    net = ready(config)
    (tmp_path / "d.onnx").write_bytes(dense_export(net))
    engine = open_onnx(tmp_path / "d.onnx", runtime="onnxruntime", threads=1, node="n")
    rows, columns = config.head_grid
    assert [str(s) for s in engine.inputs] == [f"features ({rows}, {columns}, 8) float32"]
    assert [s.shape for s in engine.outputs] == [(config.num_anchors, len(config.anchors)), (config.num_anchors, 9)]
    with torch.inference_mode():
        level = level_of(net, pillar_nets.scene(config, 60))
        exact = DensePointPillars(net)(level)
    found = engine.run({"features": level.numpy()})
    for name, part in zip(("class_logits", "boxes"), exact, strict=True):
        np.testing.assert_allclose(found[name], part, atol=1e-4)


def test_a_free_size(tmp_path):
    net = ready(TINY)
    (tmp_path / "d.onnx").write_bytes(dense_export(net, free=True))
    engine = open_onnx(tmp_path / "d.onnx", runtime="onnxruntime", threads=1, node="n")
    assert engine.inputs[0].shape == (None, None, 8)
    for rows, columns in ((4, 4), (12, 8)):
        level = torch.rand(rows, columns, 8, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            exact = DensePointPillars(net)(level)
        found = engine.run({"features": level.numpy()})
        np.testing.assert_allclose(found["class_logits"], exact[0], atol=1e-4)
        np.testing.assert_allclose(found["boxes"], exact[1], atol=1e-4)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_is_near(precision):
    net = ready(TINY)
    model = onnx.load_model_from_string(dense_export(net, precision))
    onnx.checker.check_model(model, full_check=True)
    element = {"fp16": onnx.TensorProto.FLOAT16, "bf16": onnx.TensorProto.BFLOAT16}[precision]
    convs = [t for t in model.graph.initializer if t.name.endswith("weight")]
    assert convs and all(t.data_type == element for t in convs)
    assert {v.type.tensor_type.elem_type for v in (*model.graph.input, *model.graph.output)} == {onnx.TensorProto.FLOAT}


def test_the_net_is_not_changed():
    net = ready(TINY)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    dense_export(net, "fp16")
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
