"""segment.range_image: inputs found by their shapes, planes in the net's order, and the published net on the labelled scan."""

import json
import re

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
onnx_nets = pytest.importorskip("onnx_nets")

from onnx import TensorProto, helper  # noqa: E402

from operators import semantickitti  # noqa: E402
from operators.lidar.range_image import RangeImages  # noqa: E402
from operators.lidar.unproject import Unproject  # noqa: E402
from operators.segment.range_image import SegmentRange, SegmentRangeConfig  # noqa: E402
from operators.streams import VOID, RangeImage  # noqa: E402
from pipeline.errors import FrameError  # noqa: E402
from pipeline.testing import run_operator  # noqa: E402

NAMES = ["far", "high"]
FLOAT = TensorProto.FLOAT


def net(path, inputs=None, outputs=None, mask=True, size=(2, 3), channels=5):
    """Logits: plane 0 less 10, and plane 3 + the mask - 1; of the default channels the range and z"""
    weights = {"w": np.zeros((2, channels, 1, 1), np.float32), "b": np.array([-10, 0], np.float32)}
    weights["w"][0, 0] = weights["w"][1, min(3, channels - 1)] = 1
    nodes = [helper.make_node("Conv", ["image", "w", "b"], ["logits"])]
    if mask:
        weights["one"] = np.ones((1, 1, 1, 1), np.float32)
        nodes = [
            helper.make_node("Sub", ["mask", "one"], ["m"]),
            helper.make_node("Add", ["image", "m"], ["masked"]),
            helper.make_node("Conv", ["masked", "w", "b"], ["logits"]),
        ]
    planes = {"image": (FLOAT, [1, channels, *size])} | ({"mask": (FLOAT, [1, 1, *size])} if mask else {})
    made = onnx_nets.model(nodes, inputs or planes, outputs or {"logits": (FLOAT, [1, 2, *size])}, weights)
    return str(onnx_nets.save(made, path))


def picture():
    """2 x 3 pixels: far, near and high, none; z is 0, 3, 0, ..."""
    image = np.zeros((5, 2, 3), np.float32)
    image[:, 0, 0], image[:, 0, 1], image[:, 1, 2] = (20, 0, 0, 20, 0.5), (3, 0, 3, 4, 0.5), (30, 0, 25, 39, 0.1)
    return RangeImage(image, np.zeros((0, 2), np.int32))


def classes(path, **config):
    (out,) = run_operator(SegmentRange, [picture()], {"model": path, "names": NAMES, **config})
    return out.tolist()


@pytest.mark.parametrize("mask", [True, False])
def test_inputs_are_found_by_their_shapes(tmp_path, mask):
    assert classes(net(tmp_path / "n.onnx", mask=mask)) == [[0, 1, VOID], [VOID, VOID, 0]]


def test_planes_come_in_the_order_of_the_config(tmp_path):
    path = net(tmp_path / "n.onnx", channels=2)
    assert classes(path, channels=("range", "z")) == [[0, 1, VOID], [VOID, VOID, 0]]
    assert classes(path, channels=("z", "range")) == [[1, 1, VOID], [VOID, VOID, 1]]


def test_planes_are_standardised_where_points_are(tmp_path):
    path = net(tmp_path / "n.onnx", mask=False, channels=2)
    given = {"channels": ("range", "z"), "mean": (10.0, 0.0), "std": (0.5, 1.0)}
    assert classes(path, **given) == [[0, 1, VOID], [VOID, VOID, 0]]  # 10, 0; -22, 3; 48, 25


def test_a_free_size_takes_any_picture(tmp_path):
    assert classes(net(tmp_path / "n.onnx", size=("h", "w"))) == [[0, 1, VOID], [VOID, VOID, 0]]


def test_an_empty_picture(tmp_path):
    empty = RangeImage(np.zeros((5, 2, 3), np.float32), np.zeros((0, 2), np.int32))
    (out,) = run_operator(SegmentRange, [empty], {"model": net(tmp_path / "n.onnx"), "names": NAMES})
    assert (out == VOID).all()


def test_the_facts_name_classes_and_things(tmp_path, make):
    op, said = make(SegmentRange, model=net(tmp_path / "n.onnx"), names=tuple(NAMES), things=("high",)), {}
    op._emit_meta = said.__setitem__
    op.process(range_image=picture())
    op.close()
    assert said == {"class_map": {"class_names": tuple(NAMES), "things": ("high",)}}


def test_a_picture_of_another_size_is_refused(tmp_path):
    image = RangeImage(np.zeros((5, 2, 4), np.float32), np.zeros((0, 2), np.int32))
    with pytest.raises(FrameError, match=r"needs a range image of 2 x 3, as .*n\.onnx has it, got 2 x 4; set beams and columns"):
        run_operator(SegmentRange, [image], {"model": net(tmp_path / "n.onnx"), "names": NAMES})


def test_a_wrong_config_names_its_key(tmp_path):
    path = net(tmp_path / "n.onnx")
    planes = {"image": (FLOAT, [1, 5, 2, 3]), "mask": (FLOAT, [1, 1, 2, 3]), "other": (FLOAT, [1, 1, 2, 3])}
    cases = (
        ({"model": ""}, "model: needs the path of a range-image net's .onnx file, got nothing"),
        ({"model": str(tmp_path / "no.onnx")}, "model: "),
        ({"names": None}, "names: needs the names of the net's classes"),
        ({"names": ("a", "b", "c", "d")}, "output: needs (1, 4, h, w)"),
        ({"things": ("low",)}, "things: needs names of far, high, got low"),
        ({"output": "x"}, "output: needs one of logits, got x"),
        ({"channels": ("x", "y")}, "channels: needs an input (1, 2, H, W) float32 of 2 channels"),
        (
            {"model": net(tmp_path / "3.onnx", inputs=planes)},
            "at most one mask (1, 1, H, W), got image (1, 5, 2, 3) float32, mask",
        ),
        ({"mean": (0.0,) * 5}, "std: needs as many numbers as mean, 5, got 0"),
        ({"mean": (0.0,), "std": (1.0,)}, "mean: needs a number per channel, 5, got 1"),
        ({"mean": (0.0,) * 5, "std": (0.0,) * 5}, "std: needs finite means and numbers above 0"),
        ({"runtime": "tensorrt"}, "runtime: needs auto, onnxruntime or openvino"),
    )
    for config, message in cases:
        with pytest.raises(ValueError, match=re.escape(message)):
            SegmentRangeConfig(**{"model": path, "names": tuple(NAMES), **config})


@pytest.mark.data
def test_3d_mininet_on_the_labelled_scan(shared_data):
    """expected.json of the net: 85.89 % of the points right, without the clean-up; at least 99.5 % of the pixels as there."""
    cv2 = pytest.importorskip("cv2")
    folder = shared_data / "models" / "mininet3d_tiny"
    expected = json.loads((folder / "expected.json").read_text())
    config = {
        "model": str(folder / expected["file"]["file"]), "names": expected["classes"], "things": semantickitti.THINGS,
        "runtime": "onnxruntime",
    }  # fmt: skip
    points = np.fromfile(shared_data / "semantickitti" / "000000.bin", np.float32).reshape(-1, 4)
    truth, _ = semantickitti.read_label(shared_data / "semantickitti" / "000000.label", len(points))
    (made,) = run_operator(RangeImages, [points])
    (class_map,) = run_operator(SegmentRange, [made], config)
    published = cv2.imread(str(folder / expected["checks"][0]["label_map"]["file"]), cv2.IMREAD_UNCHANGED)
    there = made.range_image[3] > 0
    assert (class_map[there] == published[there]).mean() >= 0.995 and (class_map[~there] == VOID).all()
    right = {}
    for neighbours in (0, 5):
        given = {"points": points, "range_image": made, "class_map": class_map}
        meta = [{"class_map": {"class_names": expected["classes"]}}]
        (found,) = run_operator(Unproject, [given], {"neighbours": neighbours}, meta=meta)
        right[neighbours] = float((found["point_classes"] == truth)[truth > 0].mean())
    assert right[0] == pytest.approx(expected["checks"][0]["against_truth"]["point_accuracy"], abs=0.002)
    assert right[5] > right[0]
