"""detect.tanet as a node: boxes equal to those of the net, with and without the refine stage, and its refusals."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from operators.detect.anchors import anchor_grid  # noqa: E402
from operators.detect.decode import decode  # noqa: E402
from operators.detect.tanet import TANetDetector, TANetDetectorConfig  # noqa: E402
from operators.nets import weights  # noqa: E402
from operators.nets.pointpillars_config import CAR, CYCLIST, AnchorConfig  # noqa: E402
from operators.nets.runtimes.torch import fill  # noqa: E402
from operators.nets.tanet import TANet  # noqa: E402
from operators.nets.tanet_config import TANET, TANetConfig  # noqa: E402
from operators.streams import CLASSES, Pillars  # noqa: E402
from pillar_nets import liven, scene  # noqa: E402
from pipeline.errors import FrameError, GraphError  # noqa: E402
from pipeline.testing import run_operator  # noqa: E402

TINY = TANetConfig(
    cell_m=(1.0, 0.5), range_m=(0.0, -4.0, -3.0, 16.0, 4.0, 1.0), max_points=4, pillar_channels=8, block_layers=(1, 0, 1),
    block_channels=(8, 8, 12), up_channels=(8, 8, 8), reduced_channels=4, anchors=(CAR, CYCLIST),
)  # fmt: skip
LABELS = np.array([CLASSES.index("Car"), CLASSES.index("Cyclist")])


def saved(tmp_path, config=TINY, name="tiny"):
    torch.manual_seed(0)
    weights.save(tmp_path / f"{name}.safetensors", TANET, config, liven(TANet(config)).state_dict())
    return str(tmp_path / f"{name}.safetensors")


@pytest.fixture
def path(tmp_path):
    return saved(tmp_path)


def frame(num, seed=0, depth=4):
    pillars, counts, cells = (part.numpy() for part in scene(dataclasses.replace(TINY, max_points=depth), num, seed))
    return Pillars(pillars, cells, counts)


def expected(path, frame, refine):
    loaded = weights.load(path, TANET)
    net = TANet(loaded.config)
    fill(net, loaded, path)
    with torch.inference_mode():
        heads = net.eval()(*(torch.from_numpy(part) for part in (frame.pillars, frame.counts, frame.cells)), refine=refine)
    last = heads.refine or heads.coarse
    coarse = heads.coarse.box_residuals[0].numpy() if heads.refine else None
    config = TANetDetectorConfig(weights=path, score_threshold=0.4)
    return decode(*(head[0].numpy() for head in last), anchor_grid(loaded.config), LABELS, config, coarse)


def test_no_pillars_are_an_ordinary_frame(path):
    (found,) = run_operator(TANetDetector, [frame(0)], {"weights": path, "score_threshold": 0.9999})
    assert found.boxes3d.shape == (0, 7) and found.scores.shape == found.labels.shape == (0,)


@pytest.mark.parametrize("refine", [True, False])
def test_boxes_are_those_of_the_net(path, refine):
    frames = [frame(40), frame(0), frame(100, 1, depth=7), frame(30, 2, depth=1)]
    config = {"weights": path, "score_threshold": 0.4, "refine": refine}
    for given, found in zip(frames, run_operator(TANetDetector, frames, config), strict=True):
        wanted = expected(path, given, refine)
        assert len(found.scores) > 5
        for ours, theirs in zip(found, wanted, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_the_refine_stage_goes_off_and_on_between_two_frames(path):
    """The same frame again and again: boxes of one stage, then of the other, bit by bit."""
    found = run_operator(TANetDetector, [frame(40)] * 4, {"weights": path, "score_threshold": 0.4}, levels=[0, 1, 1, 0])
    fine, coarse, again, back = ([part.tobytes() for part in boxes] for boxes in found)
    assert coarse == again and fine == back and fine != coarse
    (alone,) = run_operator(TANetDetector, [frame(40)], {"weights": path, "score_threshold": 0.4, "refine": False})
    assert [part.tobytes() for part in alone] == coarse


def test_a_threshold_set_between_two_frames(path):
    config = {"weights": path, "score_threshold": 0.4}
    (after,) = run_operator(TANetDetector, [frame(40)], config | {"score_threshold": 0.55})
    first, second = run_operator(TANetDetector, [frame(40)] * 2, config, changes={1: {"score_threshold": 0.55}})
    assert len(first.scores) > len(second.scores)
    assert [part.tobytes() for part in second] == [part.tobytes() for part in after]


def test_levels_are_those_of_the_weights(path, tmp_path):
    student = saved(tmp_path, dataclasses.replace(TINY, cnn="full-mobile1", pillar_net="gcn"), "student")
    configs = [{"weights": path}, {"weights": path, "refine": False}, {"weights": student}]
    assert [len(TANetDetector.levels_of(TANetDetectorConfig(**config))) for config in configs] == [1, 0, 0]


def test_a_student_without_a_refine_stage(tmp_path):
    path = saved(tmp_path, dataclasses.replace(TINY, cnn="full-mobile1", pillar_net="gcn"), "student")
    (found,) = run_operator(TANetDetector, [frame(40)], {"weights": path, "score_threshold": 0.4})
    for ours, theirs in zip(found, expected(path, frame(40), True), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_a_subset_of_the_classes_and_bfloat16(path):
    config = {"weights": path, "score_threshold": 0.4}
    (everything,) = run_operator(TANetDetector, [frame(40)], config)
    (found,) = run_operator(TANetDetector, [frame(40)], config | {"classes": ["Cyclist"]})
    np.testing.assert_array_equal(found.scores, everything.scores[everything.labels == CLASSES.index("Cyclist")])
    (near,) = run_operator(TANetDetector, [frame(40)], config | {"precision": "bfloat16", "max_boxes": 3})
    np.testing.assert_allclose(near.scores, everything.scores[:3], atol=0.05)


def test_another_grid_is_refused(path):
    with pytest.raises(
        FrameError, match=r"^node.pillars: needs cell_m \[1.0, 0.5\], the grid .*tiny.safetensors was trained on, "
    ):
        run_operator(TANetDetector, [frame(4)], {"weights": path}, meta=[{"pillars": {"cell_m": [0.5, 0.5]}}], name="node")


def refused(message, **config):
    with pytest.raises(GraphError, match=message):
        run_operator(TANetDetector, [], config)


def test_wrong_settings_are_refused_with_their_key(tmp_path, path):
    refused(
        r"config\.weights: needs the path of a .safetensors file, got nothing; none is shipped: train one with pipe train tanet_"
    )
    refused(r"config\.weights: .*/none.safetensors, which is not there; none is shipped", weights=f"{tmp_path}/none.safetensors")
    refused(
        r"config\.classes: needs classes that .* knows \(Car, Cyclist\), got Pedestrian$", weights=path, classes=["Pedestrian"]
    )
    moose = dataclasses.replace(TINY, anchors=(AnchorConfig("Moose", (2, 1, 2), -1, 0.5, 0.4),))
    refused(r"config\.weights: needs classes of Car, .*, got Moose from ", weights=saved(tmp_path, moose, "moose"))


def test_checking_a_graph_loads_no_torch(path):
    code = (
        "import sys; from operators.detect.tanet import TANetDetectorConfig; "
        f"TANetDetectorConfig(weights={path!r}); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
