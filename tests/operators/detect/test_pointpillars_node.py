"""detect.pointpillars as a node: its refusals, and boxes equal to those of the net."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from operators.detect.anchors import anchor_grid  # noqa: E402
from operators.detect.decode import decode  # noqa: E402
from operators.detect.pointpillars import Detector, DetectorConfig  # noqa: E402
from operators.nets import device, weights  # noqa: E402
from operators.nets.pointpillars import PointPillars  # noqa: E402
from operators.nets.pointpillars_config import CAR, CYCLIST, POINTPILLARS, AnchorConfig, PointPillarsConfig  # noqa: E402
from operators.streams import CLASSES, Pillars  # noqa: E402
from pipeline.errors import FrameError, GraphError, RunError  # noqa: E402
from pipeline.testing import run_operator  # noqa: E402

RANGE = (0.0, -4.0, -3.0, 16.0, 4.0, 1.0)
TINY = PointPillarsConfig(
    cell_m=(1.0, 0.5),
    range_m=RANGE,
    max_points=4,
    pillar_channels=8,
    block_layers=(1, 1),
    block_channels=(8, 8),
    up_channels=(8, 8),
    anchors=(CAR, CYCLIST),
)
GRAPH = """\
version: 1
nodes:
  scans:    {driver: synthetic.traffic, config: {frames: 3}}
  voxelize:
    op: lidar.voxelize
    inputs: {points: scans.points}
    config: {cell_m: [1.0, 0.5], range_m: [0.0, -4.0, -3.0, 16.0, 4.0, 1.0], max_points: 8}
  detect:
    op: detect.pointpillars
    inputs: {pillars: voxelize.pillars}
    config: {weights: WEIGHTS, score_threshold: 0.3}
  sink:     {op: test.null, inputs: {in: detect.boxes3d}}
"""


def eager(config, seed=0):
    """A net that finds boxes everywhere: its class biases are near a probability of 0.5."""
    torch.manual_seed(seed)
    net = PointPillars(config).eval()
    with torch.no_grad():
        net.class_head.bias.normal_(0, 0.5)
        net.class_head.weight.normal_(0, 0.3)
        net.box_head.weight.normal_(0, 0.05)
    return net


@pytest.fixture
def path(tmp_path):
    weights.save(tmp_path / "tiny.safetensors", POINTPILLARS, TINY, eager(TINY).state_dict())
    return str(tmp_path / "tiny.safetensors")


def pillars(num, seed=0, depth=4):
    rng = np.random.default_rng(seed)
    at = rng.choice(16 * 16, num, replace=False)
    counts = rng.integers(1, depth + 1, num).astype(np.int32)
    points = rng.uniform((0, -4, -3, 0), (16, 4, 1, 1), (num, depth, 4)).astype(np.float32)
    points[np.arange(depth) >= counts[:, None]] = 0
    return Pillars(points, np.stack([at // 16, at % 16], 1).astype(np.int32), counts)


def test_no_pillars_are_an_ordinary_frame(path):
    (found,) = run_operator(Detector, [pillars(0)], {"weights": path, "score_threshold": 0.999})
    assert found.boxes3d.shape == (0, 7) and found.scores.shape == found.labels.shape == (0,)


def test_boxes_are_those_of_the_net(path):
    frames = [pillars(40), pillars(0), pillars(100, 1, depth=7)]
    loaded = weights.load(path, POINTPILLARS)
    net = PointPillars(TINY).eval()
    net.load_state_dict({n: torch.from_numpy(a) for n, a in loaded.tensors.items()}, strict=False)
    config = DetectorConfig(weights=path, score_threshold=0.3)
    labels = np.array([CLASSES.index("Car"), CLASSES.index("Cyclist")])
    for frame, found in zip(frames, run_operator(Detector, frames, config), strict=True):
        with torch.inference_mode():
            heads = net(*(torch.from_numpy(a) for a in (frame.pillars, frame.counts, frame.cells)))
        expected = decode(*(h[0].numpy() for h in heads), anchor_grid(TINY), labels, config)
        assert len(found.scores) > 5 and set(found.labels) == set(labels)
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_threshold_set_between_two_frames(path, precision):
    """`pipe set`: of the sparse net and of the dense one, which hold their rules inside."""
    config = {"weights": path, "precision": precision, "score_threshold": 0.3}
    (before,) = run_operator(Detector, [pillars(40)], config)
    limit = float(np.median(before.scores))
    (after,) = run_operator(Detector, [pillars(40)], config | {"score_threshold": limit})
    first, second = run_operator(Detector, [pillars(40)] * 2, config, changes={1: {"score_threshold": limit}})
    assert len(before.scores) > len(after.scores) > 0
    assert [part.tobytes() for part in first] == [part.tobytes() for part in before]
    assert [part.tobytes() for part in second] == [part.tobytes() for part in after]


def test_a_subset_of_the_classes(path):
    (everything,) = run_operator(Detector, [pillars(40)], {"weights": path, "score_threshold": 0.3})
    (found,) = run_operator(Detector, [pillars(40)], {"weights": path, "score_threshold": 0.3, "classes": ["Cyclist"]})
    mine = everything.labels == CLASSES.index("Cyclist")
    np.testing.assert_array_equal(found.scores, everything.scores[mine])


def test_auto_takes_the_available_device_and_bfloat16_is_near(path):
    frames, config = [pillars(40)], {"weights": path, "score_threshold": 0.3, "max_boxes": 3}
    (exact,) = run_operator(Detector, frames, config | {"device": "auto"})
    (near,) = run_operator(Detector, frames, config | {"precision": "bfloat16"})
    np.testing.assert_allclose(near.scores, exact.scores, atol=0.03)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"cell_m": [0.5, 0.5]}, r"^node.pillars: needs cell_m \[1.0, 0.5\], the grid .*tiny.safetensors was trained on, "),
        ({"cell_m": [1.0, 0.5], "range_m": [0.0, -4.0, -3.0, 32.0, 4.0, 1.0]}, "needs range_m .*; set range_m of the voxelizer"),
    ],
)
def test_another_grid_is_refused(path, facts, message):
    with pytest.raises(FrameError, match=message):
        run_operator(Detector, [pillars(4)], {"weights": path}, meta=[{"pillars": facts}], name="node")


def test_the_same_grid_or_an_unnamed_one_is_taken(path):
    facts = {"cell_m": [1, 0.5], "range_m": list(RANGE)}
    found = run_operator(Detector, [pillars(4)] * 2, {"weights": path}, meta=[{"pillars": facts}, {}])
    assert len(found) == 2


@pytest.mark.parametrize("cell", [(16, 0), (0, 16), (-1, 0)])
def test_a_cell_outside_the_grid_is_refused(path, cell):
    frame = pillars(4)
    frame.cells[2] = cell
    with pytest.raises(FrameError, match=r"cells: needs rows 0..15 and columns 0..15, the grid .* was trained on, got rows "):
        run_operator(Detector, [frame], {"weights": path})


def refused(message, **config):
    with pytest.raises(GraphError, match=message):
        run_operator(Detector, [], config)


def test_wrong_weights_are_refused_with_their_key(tmp_path, path):
    refused(r"config\.weights: pointpillars_mars: needs shipped weights \(", weights="pointpillars_mars")
    refused(
        r"config\.weights: .*none.safetensors: needs a .safetensors file, got nothing there",
        weights=f"{tmp_path}/none.safetensors",
    )
    (tmp_path / "text.safetensors").write_text("hello")
    refused(r"config\.weights: .*text.safetensors: needs a whole .safetensors file", weights=f"{tmp_path}/text.safetensors")


def test_a_one_class_model_does_not_serve_three_classes(tmp_path):
    cars = PointPillarsConfig(cell_m=(1.0, 0.5), range_m=RANGE, anchors=(CAR,))
    weights.save(tmp_path / "cars.safetensors", POINTPILLARS, cars, PointPillars(cars).state_dict())
    refused(
        r"config\.classes: needs classes that .*cars.safetensors knows \(Car\), got Pedestrian$",
        weights=f"{tmp_path}/cars.safetensors",
        classes=["Car", "Pedestrian", "Cyclist"],
    )


def test_a_model_of_unknown_classes_is_refused(tmp_path):
    moose = PointPillarsConfig(cell_m=(1.0, 0.5), range_m=RANGE, anchors=(AnchorConfig("Moose", (2, 1, 2), -1, 0.5, 0.4),))
    weights.save(tmp_path / "moose.safetensors", POINTPILLARS, moose, PointPillars(moose).state_dict())
    refused(r"config\.weights: needs classes of Car, .*, got Moose from ", weights=f"{tmp_path}/moose.safetensors")


@pytest.mark.skipif(torch.cuda.is_available(), reason="has CUDA")
def test_cuda_asked_for_and_absent(path, monkeypatch):
    refused(
        r"config\.device: needs a CUDA device, got (a torch that|no NVIDIA driver).*; device: auto takes",
        weights=path,
        device="cuda",
    )
    monkeypatch.setattr(device, "no_cuda", lambda: "")  # a driver without a device: only torch can tell
    with pytest.raises(RunError, match=r"^detector: device: needs a CUDA device, got none that torch "):
        run_operator(Detector, [], {"weights": path, "device": "cuda"})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_equals_the_cpu(path):
    frames, config = [pillars(0), pillars(40)], {"weights": path, "score_threshold": 0.3, "max_boxes": 5}
    on_cpu = run_operator(Detector, frames, config | {"device": "cpu"})
    for ours, theirs in zip(run_operator(Detector, frames, config | {"device": "cuda"}), on_cpu, strict=True):
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=0.01)


@pytest.mark.parametrize("missing", ["torch", "safetensors"])
def test_without_torch_the_message_names_the_package(path, monkeypatch, missing):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else found(name))
    refused(rf"config: needs {missing}, which is not installed; pip install 'perception-pipe\[torch\]'$", weights=path)


def test_checking_a_graph_loads_no_torch(path):
    code = (
        "import sys; from operators.detect.pointpillars import DetectorConfig; "
        f"DetectorConfig(weights={path!r}); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.slow
def test_placements_agree(pipe, path):
    graph = pipe.graph(GRAPH.replace("WEIGHTS", path))
    runs = [pipe.run(graph), pipe.run(graph, "--place", "inline")]
    assert [run.code for run in runs] == [0, 0], runs[0].stderr + runs[1].stderr
    one, two = (run.report for run in runs)
    assert one["digest"] == two["digest"] and set(one["digest"]) == {"sink"}
    assert one["sinks"]["sink"]["frames"] == two["sinks"]["sink"]["frames"] == 3


def test_a_graph_whose_grids_differ_stops_with_the_reason(pipe, path):
    run = pipe.run(pipe.graph(GRAPH.replace("WEIGHTS", path)), "--set", "voxelize.config.cell_m=[0.5, 0.5]")
    assert run.code == 1
    assert "detect.pillars: needs cell_m [1.0, 0.5], the grid " in run.stderr


def test_a_wrong_graph_is_refused_before_a_process_starts(pipe, path):
    run = pipe.run(pipe.graph(GRAPH.replace("WEIGHTS", f"{path}.gone")))
    assert run.code == 2 and not run.out.exists()
    assert "g1.yaml:11: detect.config.weights: " in run.stderr and "needs a .safetensors file, got nothing there" in run.stderr
