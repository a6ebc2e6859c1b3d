"""segment.onnx: every form of an output, several heads in one map, and real nets on real pictures."""

import json

import cv2
import numpy as np
import pytest

pytest.importorskip("onnxruntime")
onnx_files = pytest.importorskip("onnx_files")

from operators.nets.picture_input import Placed  # noqa: E402
from operators.segment.onnx import Head, Segment, classes_of, joined, joined_names, of_picture  # noqa: E402
from operators.streams import VOID  # noqa: E402
from pipeline.errors import GraphError, RunError  # noqa: E402
from pipeline.testing import run_operator  # noqa: E402

NAMES = ("road", "car", "sky")
LOGITS = np.array([[[4, 1, 1, 0]], [[1, 4, 1, 0]], [[1, 1, 4, 0.1]]], np.float32)  # 3 classes, 1 x 4 pixels
CLASSES = [[0, 1, 2, 2]]
PICTURE = np.zeros((2, 8, 3), np.uint8)


def segmented(path, picture=PICTURE, **config):
    (out,) = run_operator(Segment, [{"image": picture}], {"model": path, "runtime": "onnxruntime"} | config)
    return out


@pytest.mark.parametrize(
    ("form", "output", "expected"),
    [
        ("chw", LOGITS[None], CLASSES),
        ("hwc", LOGITS.transpose(1, 2, 0)[None], CLASSES),
        ("one", np.array([[[0, 2, -1, 3]]], np.int64), [[0, 2, VOID, VOID]]),
        ("one", np.array([[[[0, 1, 2, 0]]]], np.int32), [[0, 1, 2, 0]]),
        ("one", np.array([[[-1, 0.5, 3, 0]]], np.float32), [[0, 1, 1, 0]]),
        ("one", np.array([-1, 0.5, 3, 0], np.float32).reshape(1, 1, 4, 1).transpose(0, 3, 1, 2), [[0, 1, 1, 0]]),
    ],
)
def test_forms(form, output, expected):
    assert classes_of(output, Head("o", NAMES, form), "logits", None).tolist() == expected


@pytest.mark.parametrize(
    ("scores", "threshold", "expected"),
    [
        ("logits", None, [[0, 1, 2, 2]]),
        ("logits", 0.9, [[0, 1, 2, VOID]]),  # e^4 / (e^4 + 2e) = 0.909, the last pixel 0.37
        ("logits", 0.92, [[VOID] * 4]),
        ("probabilities", 3.9, [[0, 1, 2, VOID]]),
    ],
)
def test_unsure_pixels_have_no_class(scores, threshold, expected):
    assert classes_of(LOGITS[None], Head("o", NAMES, "chw"), scores, threshold).tolist() == expected


def test_threshold_of_one_number_per_pixel():
    output = np.array([[[0.2, 0.4, 0.6, np.nan]]], np.float32)
    for scores, threshold, expected in (("probabilities", 0.3, [0, 1, 1, 0]), ("logits", 0.6, [0, 0, 1, 0])):
        assert classes_of(output, Head("o", NAMES[:2], "one"), scores, threshold).tolist() == [expected]


def test_nan_is_never_the_best():
    logits = LOGITS.copy()
    logits[0] = np.nan
    assert classes_of(logits[None], Head("o", NAMES, "chw"), "logits", None).tolist() == [[1, 1, 2, 2]]


def test_heads_in_one_map():
    a, b = np.array([[0, 1, 0, 1, VOID]], np.uint8), np.array([[0, 0, 1, 1, 0]], np.uint8)
    assert joined([a, b], [2, 2]).tolist() == [[0, 1, 2, 3, VOID]]
    assert joined_names([("not drivable", "drivable"), ("no line", "line")]) == [
        "not drivable + no line",
        "drivable",
        "line",
        "drivable + line",
    ]
    assert joined_names([NAMES]) == list(NAMES)


@pytest.mark.parametrize(
    ("net", "placed", "expected", "why"),
    [
        ((4, 1), Placed((0.5, 0.5), (0, 0), (4, 1)), [[0, 0, 1, 1, 2, 2, 2, 2]] * 2, "stretched"),
        ((8, 2), Placed((1, 1), (0, 0), (8, 2)), [[0, 0, 1, 1, 2, 2, 2, 2]] * 2, "a net with a map of half its input"),
        ((4, 1), Placed((0.25, 0.5), (1, 0), (2, 1)), [[1, 1, 1, 1, 2, 2, 2, 2]] * 2, "a border left and right"),
    ],
)
def test_back_to_the_picture(net, placed, expected, why):
    assert of_picture(np.array(CLASSES, np.uint8), placed, net, (8, 2)).tolist() == expected, why


def test_the_node_gives_a_map_of_the_picture_or_of_the_net(tmp_path):
    path = onnx_files.known(tmp_path / "n.onnx", {"o": LOGITS[None]}, image=("float32", (1, 3, 1, 4)))
    assert segmented(path, names=list(NAMES)).tolist() == [[0, 0, 1, 1, 2, 2, 2, 2]] * 2
    assert segmented(path, names=3, size="net").tolist() == CLASSES


def test_shapes_that_the_file_leaves_free(tmp_path):
    path = onnx_files.known(tmp_path / "n.onnx", {"o": LOGITS[None]}, free=("o",), image=("float32", (1, 3, "height", "width")))
    assert segmented(path, names=3, size="net", input={"size": [4, 1]}).tolist() == CLASSES
    with pytest.raises(RunError, match=r"^segment: output: needs \(1, 5, h, w\), .* for 5 names, got o \(1, 3, 1, 4\)"):
        segmented(path, names=5, input={"size": [4, 1]})


@pytest.mark.parametrize(
    ("outputs", "config", "message"),
    [
        ({"o": LOGITS[None]}, {"names": 5}, r"output: needs \(1, 5, h, w\), .* got o \(1, 3, 1, 4\)"),
        ({"o": LOGITS[None]}, {"names": 1}, "names: needs 2..255 names, got 1"),
        ({"o": LOGITS[None]}, {}, "names: needs the names of the net's classes"),
        ({"o": LOGITS[None]}, {"names": 3, "output": "p"}, "output: needs one of o, got p"),
        ({"o": LOGITS[None], "p": LOGITS[None]}, {"names": 3}, "output: needs one of o, p, or heads"),
        ({"o": LOGITS[None]}, {"heads": {"p": ["a", "b"]}}, r"heads: needs names of outputs \(o\), got p"),
        ({"o": LOGITS[None]}, {"heads": {"o": ["a"]}}, "heads: o: needs two names or more"),
        ({"o": LOGITS[None]}, {"heads": {"o": ["a", "b", "c"]}, "names": 3}, "heads: needs no names and output beside it"),
        ({"o": LOGITS[None]}, {"names": 3, "threshold": 2}, "threshold: needs 0..1, got 2"),
    ],
)
def test_refused(tmp_path, outputs, config, message):
    path = onnx_files.known(tmp_path / "n.onnx", outputs, image=("float32", (1, 3, 1, 4)))
    with pytest.raises(GraphError, match=message):
        segmented(path, **config)


# ---- real nets

ESPNET = {  # (pixel - mean) / std / 255, resized between them
    "colour": "bgr",
    "mean": [72.3923111 / 255, 82.90893555 / 255, 73.15840149 / 255],
    "std": [45.3192215, 46.15289307, 44.91483307],
    "resize_in": "float32",
}


@pytest.mark.data
@pytest.mark.quick(1)
@pytest.mark.parametrize("number", range(3))
def test_espnet(shared_data, number):
    facts, check, path = stored(shared_data, "espnet_cityscapes", number)
    config = {"names": facts["classes"], "input": ESPNET | {"size": check["network_size_wh"]}}
    found = segmented(str(path), picture_at(shared_data, check["image"]), size="net", **config)
    assert (found == expected_map(path, check)).mean() >= 0.99


@pytest.mark.data
@pytest.mark.quick(1)
@pytest.mark.parametrize("number", range(4))
def test_twinlitenet_has_two_heads(shared_data, number):
    facts, check, path = stored(shared_data, "twinlitenet", number)
    found = segmented(str(path), picture_at(shared_data, check["image"]), size="net", heads=facts["classes"])
    assert (found == expected_map(path, check)).mean() >= 0.995  # bit 0 drivable, bit 1 lane line
    for bit, key in ((1, "drivable_percent"), (2, "lane_percent")):
        assert abs(100 * (found & bit > 0).mean() - check[key]) <= 0.3


def stored(shared_data, net, number):
    folder = shared_data / "models" / net
    facts = json.loads((folder / "expected.json").read_text())
    return facts, facts["checks"][number], folder / facts["file"]["file"]


def expected_map(path, check):
    return cv2.imread(str(path.parent / check["label_map"]["file"]), cv2.IMREAD_GRAYSCALE)


def picture_at(shared_data, name):
    path = shared_data / name.removeprefix("shared/data/") if name.startswith("shared/") else shared_data / "models" / name
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])
