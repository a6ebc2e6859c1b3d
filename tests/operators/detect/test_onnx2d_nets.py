"""Real nets on real pictures: the detections that are stored beside them."""

import json

import cv2
import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from operators.detect.onnx2d import Onnx2d
from pipeline.testing import run_operator

pytestmark = pytest.mark.data
NANODET = {
    "input": {
        "resize": "letterbox",
        "round": "down",
        "border": [0],
        "filter": "area",
        "colour": "bgr",
        "divide": 1,
        "mean": [103.53, 116.28, 123.675],
        "std": [57.375, 57.12, 58.395],
    },
    "decoder": "distribution",
    "distribution": {"shift_px": -0.5},
    "score_threshold": 0.35,
    "nms": "all",
    "nms_iou": 0.6,
}
NETS = {
    "fastestdet/FastestDet.onnx": {
        "input": {"filter": "area", "colour": "bgr"},
        "decoder": "grid",
        "score_threshold": 0.65,
        "nms": "all",
        "nms_iou": 0.45,
        "clip": False,
    },
    "nanodet_m/nanodet_m.onnx": NANODET,
    "nanodet_m/nanodet_m_int8.onnx": NANODET,
    "picodet_s_320/picodet_s_320_coco.onnx": {
        "input": {"filter": "cubic", "divide": 1, "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]},
        "decoder": "distribution",
        "distribution": {"strides": [8, 16, 32, 64]},
        "score_threshold": 0.4,
        "nms_iou": 0.5,
    },
}


@pytest.mark.parametrize(
    ("net", "runtime"),
    [(net, "onnxruntime") for net in NETS]
    # openvino computes the int8 net otherwise: its detections are not those stored
    + [pytest.param(net, "openvino", marks=pytest.mark.slow) for net in NETS if "int8" not in net],
)
def test_detections_are_those_stored(shared_data, net, runtime):
    pytest.importorskip(runtime)
    models = shared_data / "models"
    config = {"model": str(models / net), "names": str(models / "coco.names"), "runtime": runtime} | NETS[net]
    checks = stored(models / net)
    score_within, px_within = (0.05, 4.0) if "int8" in net else (0.01, 1.5)
    least = config["score_threshold"]
    pictures = [cv2.imread(str(place(shared_data, check["image"])))[..., ::-1] for check in checks]
    for check, boxes in zip(checks, run_operator(Onnx2d, [{"image": p} for p in pictures], config), strict=True):
        ours = list(zip(boxes.labels.tolist(), boxes.scores.tolist(), boxes.boxes2d, strict=True))
        for expected in check["detections"]:
            near = [
                row
                for row in ours
                if row[0] == expected["class_index"]
                and abs(row[1] - expected["score"]) <= score_within
                and np.abs(row[2] - expected["box"]).max() <= px_within
            ]
            assert near or expected["score"] <= least + score_within, (check["image"], expected, ours)
            ours = [row for row in ours if not near or row[2] is not near[0][2]]
        assert all(score <= least + score_within for _, score, _ in ours), (check["image"], ours)


def place(shared_data, name):
    return shared_data / name.removeprefix("shared/data/") if name.startswith("shared/") else shared_data / "models" / name


def stored(path):
    facts = json.loads((path.parent / "expected.json").read_text())
    if facts["file"]["file"] == path.name:
        return facts["checks"]
    return next(v["checks"] for v in facts["variants"] if v["file"]["file"] == path.name)
