"""The admission gate's arithmetic, and which runtime may run an engine."""

import math

import numpy as np
import pytest

from operators.nets import gate, runtimes
from operators.nets.gate import AGREEMENT, FRAMES, Gate, admit, agreeing, refusal, summary
from operators.nets.runtimes.enginefile import Facts
from operators.streams import Boxes2D, Boxes3D

CAR = [10.0, 2.0, -1.0, 4.0, 1.6, 1.5, 0.3]


def boxes(*rows, scores=None, labels=None):
    rows = np.array(rows, np.float32).reshape(-1, 7)
    scores = np.full(len(rows), 0.9) if scores is None else scores
    return Boxes3D(rows, np.array(scores, np.float32), np.array([0] * len(rows) if labels is None else labels, np.int32))


def moved(metres, box=CAR):
    return [box[0] + metres, *box[1:]]


FAR = moved(30)


@pytest.mark.parametrize(
    ("ours", "theirs", "pairs"),
    [
        (boxes(), boxes(), 0),
        (boxes(CAR), boxes(), 0),
        (boxes(), boxes(CAR), 0),
        (boxes(CAR), boxes(CAR), 1),
        (boxes(CAR), boxes(moved(0.05)), 1),
        (boxes(CAR), boxes(moved(0.3)), 0),  # IoU below 0.95
        (boxes(CAR), boxes(CAR, labels=[1]), 0),
        (boxes(CAR), boxes(CAR, scores=[0.29]), 0),
        (boxes(CAR, scores=[0.29]), boxes(CAR), 0),
        (boxes(CAR, FAR), boxes(FAR, CAR), 2),
        (boxes(CAR, moved(0.01)), boxes(CAR), 1),  # each box once
        (boxes(CAR), boxes(CAR, moved(0.01)), 1),
    ],
)
def test_boxes_that_agree(ours, theirs, pairs):
    assert agreeing(ours, theirs) == pairs


def test_boxes_of_a_picture_that_agree():
    ours = Boxes2D(np.array([[0, 0, 40, 40], [50, 0, 90, 40]], np.float32), np.full(2, 0.9, np.float32), np.zeros(2, np.int32))
    moved = ours._replace(boxes2d=ours.boxes2d + np.float32([[0.5, 0, 0.5, 0], [5, 0, 5, 0]]))
    assert agreeing(ours, ours) == 2 and agreeing(ours, moved) == 1
    assert agreeing(ours, ours._replace(labels=np.array([0, 1], np.int32))) == 1


def test_the_same_frame_with_other_inputs_is_one_frame():
    found = Gate("fp32")
    found.boxes(boxes(CAR), boxes(CAR))
    found.boxes(boxes(CAR), boxes(), again=True)
    assert (found.frames, found.matched, found.missing) == (1, 1, 1)


def compared(frames=FRAMES, precision="fp32", error=0.0, theirs=None):
    found = Gate(precision)
    exact = np.linspace(-1, 1, 100, dtype=np.float32).reshape(20, 5)
    for _ in range(frames):
        found.maps({"class_logits": exact}, {"class_logits": exact + np.float32(error) * exact.std(0).mean()})
        found.boxes(boxes(CAR, FAR), boxes(CAR, FAR) if theirs is None else theirs)
    return found.numbers()


def test_equal_outputs_pass():
    numbers = compared()
    assert numbers["frames"] == 64 and numbers["matched"] == 128 and numbers["missing"] == numbers["added"] == 0
    assert refusal(numbers) == ""
    assert summary(numbers) == (
        "64 frames, agreement 1.0000 (128 matched, 0 missing, 0 added), error of maps: class_logits 0 (at most 0.001)"
    )


def test_missing_and_added_boxes_are_refused_with_their_numbers():
    assert refusal(compared(theirs=boxes(CAR))) == (
        f"agreement with fp32 0.500 (needs {AGREEMENT}): 64 boxes matched, 64 missing, 0 added"
    )
    assert "64 boxes matched, 64 missing, 64 added" in refusal(compared(theirs=boxes(CAR, moved(60))))


@pytest.mark.parametrize(("same", "reason"), [(98, ""), (97, f"classes of cells as fp32 0.970 (needs {AGREEMENT})")])
def test_cells_of_another_class_are_refused(same, reason):
    found, ours = Gate("fp32"), np.zeros((10, 10), int)
    for _ in range(FRAMES):
        found.classes(ours, (np.arange(100) >= same).reshape(10, 10).astype(int))
        found.maps({"a": np.eye(3)}, {"a": np.eye(3)})
        found.boxes(boxes(CAR), boxes(CAR))
    assert refusal(found.numbers()) == reason
    assert f"0 added), classes 0.{same}00, error of maps" in summary(found.numbers())


def test_too_few_frames_are_refused():
    assert refusal(compared(frames=63)) == "63 frames (needs 64)"


@pytest.mark.parametrize(("precision", "passes", "fails"), [("fp32", 0.0005, 0.002), ("int8", 0.05, 0.2)])
def test_maps_that_are_off(precision, passes, fails):
    assert refusal(compared(precision=precision, error=passes)) == ""
    assert refusal(compared(precision=precision, error=fails)).startswith(f"maps off by class_logits {fails:g} (at most ")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_map_that_is_not_finite_never_passes(bad):
    assert "maps off by class_logits 1e+09" in refusal(compared(error=bad))


def test_a_constant_map():
    found = Gate("fp32")
    for _ in range(FRAMES):
        found.maps({"a": np.ones((3, 1)), "b": np.ones((3, 1))}, {"a": np.ones((3, 1)), "b": np.full((3, 1), 1.1)})
        found.boxes(boxes(), boxes())
    assert refusal(found.numbers()) == "maps off by b 1e+09 (at most 0.001)"


def test_offsets_of_channels_hide_no_error():
    found, exact = Gate("int8"), np.arange(6.0).reshape(3, 2) * [1, 1] + [0, 1000]
    for _ in range(FRAMES):
        found.maps({"a": exact}, {"a": exact + np.array([[1], [-1], [1]])})
        found.boxes(boxes(), boxes())
    assert refusal(found.numbers()).startswith("maps off by a 0.6")


def test_no_box_at_all_leaves_the_maps_to_decide():
    found = Gate("fp32")
    for _ in range(FRAMES):
        found.maps({"a": np.arange(3.0)[:, None]}, {"a": np.arange(3.0)[:, None]})
        found.boxes(boxes(), boxes())
    assert refusal(found.numbers()) == "" and "agreement of no box" in summary(found.numbers())
    assert refusal(Gate("fp32").numbers()) == "0 frames (needs 64), maps off by an unknown error (at most 0.001)"


@pytest.mark.parametrize(
    "numbers", [{}, {"frames": 64}, {"frames": "many"}, compared() | {"precision": "fp9"}, compared() | {"maps": 3}]
)
def test_numbers_that_nobody_can_read_are_refused(numbers):
    assert refusal(numbers) == "needs the numbers of an admission gate, got none that can be read"


def test_numbers_that_are_nan_are_refused():
    assert "maps off by" in refusal(compared() | {"maps": {"a": math.nan}})


# ---- which runtime may run an engine


def facts(**gates):
    return Facts("pointpillars", {}, "", "int8", gates)


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(gate, "missing", lambda name: "")
    (tmp_path / "e.onnx").write_bytes(b"\x08\x08 some ONNX file")
    return str(tmp_path / "e.onnx")


def test_auto_takes_the_first_runtime_that_passed(path):
    assert admit(path, facts(onnxruntime=compared(), openvino=compared()), "auto") == "onnxruntime"
    assert admit(path, facts(onnxruntime=compared(theirs=boxes()), openvino=compared()), "auto") == "openvino"
    assert admit(path, facts(openvino=compared()), "openvino") == "openvino"


def test_an_engine_without_a_passed_gate_is_refused_with_its_numbers(path):
    bad = compared(theirs=boxes(CAR))
    with pytest.raises(
        ValueError, match=r"e.onnx: not admitted: onnxruntime: agreement with fp32 0.500 \(needs 0.98\): 64 boxes"
    ):
        admit(path, facts(onnxruntime=bad), "onnxruntime")
    with pytest.raises(
        ValueError, match=r"not admitted: onnxruntime: agreement .*; openvino: needs an admission gate passed in openvino"
    ):
        admit(path, facts(onnxruntime=bad), "auto")
    with pytest.raises(
        ValueError, match=r"openvino: needs an admission gate passed in openvino, got none; passed in: no runtime$"
    ):
        admit(path, facts(), "openvino")


def test_a_runtime_that_cannot_run_the_file(path):
    with pytest.raises(
        ValueError, match=r"runtime: .*e.onnx is an engine for onnxruntime or openvino, got tensorrt; pipe export"
    ):
        admit(path, facts(onnxruntime=compared()), "tensorrt")


def test_a_runtime_that_is_missing(path, monkeypatch):
    monkeypatch.setattr(gate, "missing", runtimes.missing)
    monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"openvino: needs openvino, which is not installed; pip install 'perception-pipe\[openvino\]'"
    ):
        admit(path, facts(openvino=compared()), "openvino")
