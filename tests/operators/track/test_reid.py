"""track.reid: crops of boxes -> embeddings, row by row; and OSNet on real people."""

import json

import cv2
import numpy as np
import pytest

pytest.importorskip("onnxruntime")
onnx_files = pytest.importorskip("onnx_files")

from operators.streams import Boxes2D  # noqa: E402
from operators.track.reid import Reid, crops, unit  # noqa: E402
from pipeline.errors import GraphError  # noqa: E402
from pipeline.testing import run_operator  # noqa: E402

RED, GREEN = np.s_[0:20, 0:10], np.s_[0:20, 30:40]


def picture():
    out = np.zeros((40, 60, 3), np.uint8)
    out[RED] = (255, 0, 0)
    out[GREEN] = (0, 128, 0)
    return out


def boxes(*rows, scores=None):
    boxes2d = np.array(rows, np.float32).reshape(-1, 4)
    scores = np.linspace(0.9, 0.1, len(rows)) if scores is None else scores
    return Boxes2D(boxes2d, np.array(scores, np.float32), np.zeros(len(rows), np.int32))


@pytest.fixture
def net(tmp_path):
    return onnx_files.channel_means(tmp_path / "net.onnx")


def looks(net, found, **config):
    (out,) = run_operator(Reid, [{"image": picture(), "boxes2d": found}], {"model": net, "runtime": "onnxruntime"} | config)
    return out


@pytest.mark.parametrize("max_batch", [1, 2, 16])
def test_a_row_per_box_of_unit_length(net, max_batch):
    found = boxes((0, 0, 10, 20), (30, 0, 40, 20), (0.2, 0.3, 9.5, 19.5))
    np.testing.assert_allclose(looks(net, found, max_batch=max_batch), [[1, 0, 0], [0, 1, 0], [1, 0, 0]], atol=1e-6)


def test_no_boxes(net):
    assert looks(net, boxes()).shape == (0, 3)


def test_boxes_outside_and_poor_ones_are_unknown(net):
    found = boxes((0, 0, 10, 20), (70, 0, 80, 20), (30, 0, 40, 20), (-5, -5, 5, 5), scores=[0.9, 0.8, 0.2, 0.5])
    np.testing.assert_allclose(looks(net, found, min_score=0.4), [[1, 0, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(looks(net, found, max_boxes=2), [[1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]], atol=1e-6)


def test_a_file_of_a_fixed_batch(tmp_path):
    net = onnx_files.channel_means(tmp_path / "net.onnx", ("float32", (2, 3, 8, 4)))
    found = boxes((0, 0, 10, 20), (30, 0, 40, 20), (0, 0, 9, 9))
    np.testing.assert_allclose(looks(net, found), [[1, 0, 0], [0, 1, 0], [1, 0, 0]], atol=1e-6)


@pytest.mark.parametrize(
    ("box", "shape", "why"),
    [
        ((1, 2, 4, 8), (6, 3), "whole pixels"),
        ((1.2, 2.9, 3.1, 7.5), (6, 3), "rounded outwards"),
        ((-9, -9, 2, 3), (3, 2), "cut at the picture"),
        ((58, 39, 99, 99), (1, 2), "cut at the other side"),
        ((60, 0, 70, 9), None, "outside"),
        ((5, 5, 5, 9), None, "no width"),
        ((np.nan, 0, 9, 9), None, "unknown"),
    ],
)
def test_crops(box, shape, why):
    (crop,) = crops(picture(), np.array([box], np.float32))
    assert (None if crop is None else crop.shape[:2]) == shape, why


def test_rows_of_zeros_stay():
    np.testing.assert_allclose(unit(np.array([[3, 4], [0, 0]], np.float32)), [[0.6, 0.8], [0, 0]])


@pytest.mark.parametrize(
    ("outputs", "config", "message"),
    [
        ({"a": (2, 9), "b": (2, 9)}, {}, "output: needs one of a, b, got none"),
        ({"a": (2, 600)}, {}, r"output: needs \(batch, E\) with E of 1..512, got a \(2, 600\)"),
        ({"a": (2, 8, 4, 4)}, {}, r"output: needs \(batch, E\)"),
        ({"a": (2, 8)}, {"output": "b"}, "output: needs one of a, got b"),
        ({"a": (2, 8)}, {"max_batch": 0}, "max_batch: needs 1 or more, got 0"),
    ],
)
def test_refused(tmp_path, outputs, config, message):
    arrays = {n: np.zeros(s, np.float32) for n, s in outputs.items()}
    net = onnx_files.known(tmp_path / "n.onnx", arrays)
    with pytest.raises(GraphError, match=message):
        looks(net, boxes(), **config)


@pytest.mark.data
def test_osnet_knows_people_again(shared_data):
    folder = shared_data / "models" / "osnet_x0_25_msmt17"
    check = json.loads((folder / "expected.json").read_text())["checks"][0]
    image = cv2.imread(str(shared_data / "models" / check["image"]))[..., ::-1]
    dimmed = np.rint(image * 0.8).astype(np.uint8)
    mirrored = np.ascontiguousarray(dimmed[:, ::-1])  # whose crops are the mirrored crops
    width = image.shape[1]
    query = [(width - x2, y1, width - x1, y2) for x1, y1, x2, y2 in check["query_boxes_xyxy"]]
    sets = [
        {"image": np.ascontiguousarray(image), "boxes2d": boxes(*check["boxes_xyxy"])},
        {"image": mirrored, "boxes2d": boxes(*query)},
    ]
    config = {
        "model": str(folder / "osnet_x0_25_msmt17.onnx"),
        "input": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
        "runtime": "onnxruntime",
    }
    gallery, found = run_operator(Reid, sets, config)
    expected = np.array(check["cosine_gallery_rows_query_columns"])
    np.testing.assert_allclose(gallery @ found.T, expected, atol=0.01)
    assert ((gallery @ found.T).argmax(0) == np.arange(len(query))).all()
