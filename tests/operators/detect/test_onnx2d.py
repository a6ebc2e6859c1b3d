"""detect.onnx2d as a node: tiny ONNX nets with known outputs, suppression, classes, refusals."""

import subprocess
import sys

import naive_decoders2d as naive
import numpy as np
import pytest

pytest.importorskip("onnxruntime")
onnx_files = pytest.importorskip("onnx_files")

from operators.detect.decoders2d.found import Found  # noqa: E402
from operators.detect.onnx2d import Onnx2d, Onnx2dConfig, chosen, labelled  # noqa: E402
from operators.streams import CLASSES  # noqa: E402
from pipeline.errors import FrameError, GraphError, RunError  # noqa: E402
from pipeline.testing import run_operator  # noqa: E402

PICTURE = np.zeros((128, 256, 3), np.uint8)  # twice and four times the net's 64 x 64
NAMES = ["person", "car", "dog"]
ROWS = np.array(  # of YOLOv8: centre and size [px of 64 x 64], a score per class
    [
        [16, 16, 8, 8, 0.9, 0.1, 0.1],
        [17, 16, 8, 8, 0.8, 0.1, 0.1],  # the same person again
        [16, 16, 8, 8, 0.1, 0.7, 0.1],  # and taken for a car
        [40, 40, 16, 8, 0.1, 0.6, 0.1],
        [50, 10, 4, 4, 0.1, 0.1, 0.5],
        [0, 32, 8, 8, 0.4, 0.1, 0.1],  # half outside, on the left
        [99, 99, 4, 4, 0.9, 0.1, 0.1],  # outside
        *[[0, 0, 0, 0, 0.0, 0.0, 0.0]] * 13,
    ],
    np.float32,
)


@pytest.fixture
def net(tmp_path):
    return onnx_files.known(tmp_path / "net.onnx", {"output0": ROWS.T[None]})


def found(net, picture=PICTURE, **config):
    (boxes,) = run_operator(Onnx2d, [{"image": picture}], {"model": net, "names": NAMES, "runtime": "onnxruntime"} | config)
    return boxes


def test_boxes_in_pixels_of_the_picture(net):
    boxes = found(net)
    np.testing.assert_allclose(boxes.scores, [0.9, 0.7, 0.6, 0.5, 0.4], rtol=1e-6)
    assert boxes.labels.tolist() == [0, 1, 1, 2, 0]
    expected = [[48, 24, 80, 40], [48, 24, 80, 40], [128, 72, 192, 88], [192, 16, 208, 24], [0, 56, 16, 72]]
    np.testing.assert_allclose(boxes.boxes2d, expected)


def test_a_threshold_set_between_two_frames(net):
    config = {"model": net, "names": NAMES, "runtime": "onnxruntime"}
    first, second = run_operator(Onnx2d, [{"image": PICTURE}] * 2, config, changes={1: {"score_threshold": 0.65}})
    np.testing.assert_allclose(first.scores, [0.9, 0.7, 0.6, 0.5, 0.4], rtol=1e-6)
    np.testing.assert_allclose(second.scores, [0.9, 0.7], rtol=1e-6)


def test_letterbox_takes_the_border_off(net):
    """128 x 256 -> 32 x 64, with 16 rows of border above."""
    boxes = found(net, input={"resize": "letterbox"})
    np.testing.assert_allclose(boxes.boxes2d[2], [128, 80, 192, 112])
    assert boxes.boxes2d[0].tolist() == [48, 0, 80, 16], "from row -16 of the border"


def test_a_grey_picture(net):
    config = {"model": net, "names": NAMES, "runtime": "onnxruntime"}
    (boxes,) = run_operator(Onnx2d, [{"grey": PICTURE[:, :, 0]}], config)
    np.testing.assert_array_equal(boxes.boxes2d, found(net).boxes2d)


@pytest.mark.parametrize(
    ("config", "scores", "why"),
    [
        ({"nms": "all"}, [0.9, 0.6, 0.5, 0.4], "the car of the person's place goes"),
        ({"nms": "none"}, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], "all stay"),
        ({"nms_iou": 0.9}, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], "an overlap of 7/9 is not too large"),
        ({"score_threshold": 0.6}, [0.9, 0.7], "above, not equal"),
        ({"max_boxes": 2}, [0.9, 0.7], "the best"),
        ({"max_boxes": 1, "max_candidates": 2}, [0.9], "candidates are the best ones, too"),
        ({"classes": ["dog"]}, [0.5], "one class"),
        ({"classes": ["car"], "nms": "all"}, [0.6], "what is left out suppresses, if all do"),
        ({"score_threshold": 0.95}, [], "nothing"),
    ],
)
def test_settings(net, config, scores, why):
    np.testing.assert_allclose(found(net, **config).scores, scores, rtol=1e-6, err_msg=why)


def test_unclipped(net):
    boxes = found(net, clip=False)
    np.testing.assert_allclose(boxes.boxes2d[1], [388, 194, 404, 202], err_msg="a box outside the picture stays")
    assert (boxes.boxes2d[:, 0] == -16).any()


def test_suppression_is_that_of_the_naive_way(tmp_path):
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.uniform((10, 10, 8, 8), (50, 50, 30, 30), (300, 4)), rng.uniform(0, 1, (300, 3))], 1)
    path = onnx_files.known(tmp_path / "n.onnx", {"o": rows.T[None].astype(np.float32)})
    for mode in ("class", "all"):
        boxes = found(path, np.zeros((64, 64, 3), np.uint8), nms=mode, clip=False)
        expected = naive.nms(naive.decoded(rows.astype(np.float32), 0.25, False), 0.45, mode == "all")
        assert len(expected) > 10
        np.testing.assert_allclose(boxes.scores, [row[4] for row in expected], rtol=1e-5)
        np.testing.assert_allclose(boxes.boxes2d, [row[:4] for row in expected], rtol=1e-4)


@pytest.mark.parametrize(
    ("classes", "names", "table"),
    [
        (None, tuple(NAMES), [0, 1, 2]),
        ({"person": "Pedestrian", "car": "Car"}, CLASSES, [1, 0, -1]),
        ({"car": "vehicle", "dog": "vehicle"}, ("vehicle",), [-1, 0, 0]),
        (("dog", "person"), ("dog", "person"), [1, -1, 0]),
    ],
)
def test_labels(classes, names, table):
    got = labelled(tuple(NAMES), classes)
    assert got.names == names and got.table.tolist() == table


def test_labels_of_names_that_come_twice():
    got = labelled(("N/A", "car", "N/A", "car"), {"car": "Car"})
    assert got.table.tolist() == [-1, 0, -1, 0]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"cra": "Car"}, "classes: needs names of the net's 3 classes, got cra; did you mean car?"),
        (
            {"car": "Car", "person": "Pedestrain"},
            r"classes: needs our classes \(Car, .*\) or own names, not both, got Pedestrain",
        ),
        ({}, "classes: needs names of the net's 3 classes, got none"),
    ],
)
def test_labels_that_mean_nothing(classes, message):
    with pytest.raises(ValueError, match=message):
        labelled(tuple(NAMES), classes)


def test_boxes_that_are_no_boxes_are_left_out():
    boxes = np.array([[0, 0, np.inf, 9], [5, 5, 5, 9], [5, 5, 4, 9], [np.nan, 0, 9, 9], [1, 1, 9, 9]], np.float32)
    config = Onnx2dConfig.__new__(Onnx2dConfig)  # no file
    for key, value in {
        "nms": "class",
        "decoder": "grid",
        "nms_iou": 0.5,
        "max_candidates": 9,
        "max_boxes": 9,
        "clip": True,
    }.items():
        object.__setattr__(config, key, value)
    kept, left_out = chosen(config, Found(boxes, np.ones(5, np.float32), np.zeros(5, np.int64)), np.zeros(1, np.int32), (20, 20))
    assert kept.boxes2d.tolist() == [[1, 1, 9, 9]] and left_out == 0


def test_names_that_the_exporter_wrote_into_the_file(tmp_path):
    path = onnx_files.known(tmp_path / "n.onnx", {"o": ROWS.T[None]}, metadata={"names": "{0: 'person', 1: 'car', 2: 'dog'}"})
    (boxes,) = run_operator(Onnx2d, [{"image": PICTURE}], {"model": path, "classes": {"car": "Car"}, "runtime": "onnxruntime"})
    assert boxes.labels.tolist() == [0, 0]


def test_names_in_a_file(net, tmp_path):
    (tmp_path / "coco.names").write_text("person\ncar\ndog\n")
    assert len(found(net, names=str(tmp_path / "coco.names")).labels) == 5


def test_shapes_that_the_file_leaves_free(tmp_path):
    """They are known when the node opens."""
    path = onnx_files.known(tmp_path / "n.onnx", {"o": ROWS.T[None]}, free=("o",), image=("float32", (None, 3, None, None)))
    assert len(found(path, input={"size": [64, 64]}).labels) == 5
    with pytest.raises(RunError, match=r"^onnx2d: decoder: grid needs \(1, 8, H, W\) for 3 names, got o \(1, 7, 20\)"):
        found(path, input={"size": [64, 64]}, decoder="grid")


def test_a_second_input(tmp_path):
    """RT-DETR: boxes in pixels of the picture, whose size the net is told."""
    outputs = {
        "labels": np.array([[2, 0]], np.int64),
        "boxes": np.array([[[10, 20, 100, 90], [0, 0, 5, 5]]], np.float32),
        "scores": np.array([[0.8, 0.1]], np.float32),
    }
    path = onnx_files.known(tmp_path / "n.onnx", outputs, others={"orig_target_sizes": ("int64", (1, 2))})
    config = {"decoder": "end_to_end", "end_to_end": {"columns": ["box"], "unit": "picture"}}
    boxes = found(path, input={"others": {"orig_target_sizes": "picture_wh"}}, **config)
    assert boxes.boxes2d.tolist() == [[10, 20, 100, 90]] and boxes.labels.tolist() == [2]


def test_a_class_number_without_a_name_names_the_frame(tmp_path):
    path = onnx_files.known(tmp_path / "n.onnx", {"o": np.array([[[0, 0, 9, 9, 0.9, 7]]], np.float32)})
    with pytest.raises(FrameError, match=r"^onnx2d at .*: names: needs a name for class 7, which an output has, got 3 names"):
        found(path, decoder="end_to_end")


@pytest.mark.parametrize(
    ("write", "config", "message"),
    [
        (None, {}, r"model: needs the path of your net's .onnx file, got nothing"),
        (b"PK\x03\x04 not onnx", {}, r"model: \S+: needs a valid ONNX file"),
        ({}, {"names": ["a", "b"]}, r"decoder: anchor_free needs .* got output0 \(1, 7, 20\)"),
        ({}, {"names": None}, r"names: needs the names of the net's classes \(a list, a file with one per line, .*\), got none"),
        ({}, {"names": ["a", "", "b"]}, r"names: needs one or more names, got an empty one"),
        ({}, {"names": "absent.names"}, r"names: absent.names: "),
        ({}, {"decoder": "distribution"}, r"decoder: distribution needs \(1, N, 35\), or boxes \(1, N, 32\) and scores"),
        ({}, {"decoder": "yolo"}, r"decoder: needs grid \| anchors"),
        ({}, {"input": {"size": [32, 32]}}, r"input.size: .* needs \[64, 64\], got \[32, 32\]"),
        ({"image": ("float32", (1, 4, 64, 64))}, {}, r"input.layout: .*channels|input.colour"),
        (
            {"image": ("float32", (8, 3, 64, 64))},
            {},
            r"model: needs a batch of 1, or a free one, got input image \(8, 3, 64, 64\)",
        ),
        ({}, {"runtime": "torch"}, r"runtime: torch cannot load ONNX files"),
        (
            {},
            {"runtime": "tensorrt"},
            r"runtime: tensorrt runs engines of our nets; your own needs auto, onnxruntime or openvino",
        ),
        ({}, {"score_threshold": 2}, r"score_threshold: needs 0..1, got 2"),
        ({}, {"max_candidates": 5}, r"max_candidates: needs max_boxes \(300\) or more, got 5"),
        ({}, {"anchor_free": {"stride": [8]}}, r"anchor_free.stride: unknown key; did you mean strides"),
    ],
)
def test_refused_before_start(tmp_path, write, config, message):
    path = str(tmp_path / "net.onnx")
    if isinstance(write, bytes):
        (tmp_path / "net.onnx").write_bytes(write)
    elif write is not None:
        onnx_files.known(path, {"output0": ROWS.T[None]}, **write)
    else:
        path = ""
    with pytest.raises(GraphError, match=message) as refused:
        found(path, **config)
    assert "\n" not in str(refused.value)


def test_half_precision_inputs_are_fed(tmp_path):
    path = onnx_files.known(tmp_path / "n.onnx", {"o": ROWS.T[None].astype(np.float16)}, image=("float16", (1, 3, 64, 64)))
    np.testing.assert_allclose(found(path).scores, [0.9, 0.7, 0.6, 0.5, 0.4], atol=1e-3)


def test_check_loads_no_runtime(net):
    """Of a graph, and of the list of operators."""
    code = (
        "import sys; from operators.detect.onnx2d import Onnx2dConfig; "
        f"Onnx2dConfig(model={net!r}, names=3); "
        "bad = {'torch', 'onnxruntime', 'openvino', 'onnx'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
