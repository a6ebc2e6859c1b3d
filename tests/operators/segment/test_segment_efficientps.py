"""segment.efficientps: a picture in; logits of its size, instances, embeddings out."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from operators.nets import weights  # noqa: E402
from operators.nets.efficientps import EfficientPS  # noqa: E402
from operators.nets.efficientps_config import EFFICIENTPS, EfficientPSConfig  # noqa: E402
from operators.segment.efficientps import SegmentEfficientps, SegmentEfficientpsConfig  # noqa: E402
from pipeline.errors import FrameError, GraphError  # noqa: E402
from pipeline.testing import run_operator  # noqa: E402

NAMES, THINGS = ("road", "Car", "sky", "Cyclist"), ("Cyclist", "Car")


def saved(path, **keys):
    torch.manual_seed(1)
    model = {"width": 0.25, "depth": 0.3, "channels": 16, "semantic_channels": 8, "hidden": 32, "anchor_scale": 4.0} | keys
    config = EfficientPSConfig(NAMES, THINGS, (96, 64), **model)
    weights.save(path, EFFICIENTPS, config, EfficientPS(config).eval().state_dict())
    return str(path)


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("efficientps") / "net.safetensors", embedding=4)


def picture(height=64, width=96):
    return np.random.default_rng(7).integers(0, 255, (height, width, 3), dtype=np.uint8)


def found(net, image, **config):
    (out,) = run_operator(SegmentEfficientps, [{"image": image}], {"weights": net, "min_score": 0.0, "max_instances": 6} | config)
    return out


def test_a_picture_of_the_net_size(net):
    out = found(net, picture())
    assert out["semantic"].shape == (4, 64, 96) and out["semantic"].dtype == np.float32
    instances = out["instances"]
    assert instances.boxes2d.shape == (6, 4) and instances.mask_logits.shape == (6, 28, 28)
    assert set(instances.labels.tolist()) <= {1, 3} and (np.diff(instances.scores) <= 0).all()
    assert instances.boxes2d.min() >= -0.5 and instances.boxes2d[:, 2].max() <= 95.5
    assert out["embeddings"].shape == (6, 4) and out["embeddings"].any(1).all()


def test_a_picture_of_another_size(net):
    out = found(net, picture(100, 200), max_picture=[200, 100])
    assert out["semantic"].shape == (4, 100, 200)
    boxes = out["instances"].boxes2d
    assert boxes[:, 2].max() > 96  # in pixels of the picture


def test_no_instance(net):
    out = found(net, picture(), min_score=1.0)
    assert [len(array) for array in out["instances"]] == [0] * 4 and out["embeddings"].shape == (0, 4)


def test_without_a_tracking_head_the_embeddings_are_unknown(tmp_path):
    out = found(saved(tmp_path / "net.safetensors"), picture())
    assert out["embeddings"].shape == (6, 1) and not out["embeddings"].any()


def test_logits_as_the_net_makes_them(net):
    """A sixteenth of the numbers; enlarged, they are those of the picture."""
    whole, quarter = found(net, picture()), found(net, picture(), semantic="quarter")
    assert quarter["semantic"].shape == (4, 16, 24)
    enlarged = torch.nn.functional.interpolate(
        torch.from_numpy(quarter["semantic"].copy())[None], scale_factor=4, mode="bilinear"
    )
    np.testing.assert_allclose(enlarged[0].numpy(), whole["semantic"], atol=1e-5)
    np.testing.assert_array_equal(quarter["instances"].boxes2d, whole["instances"].boxes2d)
    assert found(net, picture(61, 96), semantic="quarter")["semantic"].shape == (4, 16, 24)
    assert SegmentEfficientps.slot_bytes(SegmentEfficientpsConfig(net, semantic="quarter"))["semantic"] == 4 * 4 * 16 * 24
    with pytest.raises(FrameError, match="needs width or height of the net, 96 x 64, for semantic: quarter, got 48 x 32"):
        found(net, picture(32, 48), semantic="quarter")


def test_several_scales(net):
    out = found(net, picture(), scales=[0.75, 1.0], mirror=True)
    assert out["semantic"].shape == (4, 64, 96) and len(out["instances"].labels) == 6


def test_too_large_a_picture(net):
    with pytest.raises(FrameError, match=r"needs at most 96 x 64 pixels, got 97 x 64; set config.max_picture"):
        found(net, picture(64, 97))


def test_slots_are_sized_for_the_net(net):
    sizes = SegmentEfficientps.slot_bytes(SegmentEfficientpsConfig(net, max_instances=10, max_picture=(200, 100)))
    assert sizes == {"semantic": 4 * 4 * 200 * 100, "instances": 192 + 64 + 64 + 10 * 4 * 784, "embeddings": 192}


def test_no_weights_names_the_command():
    with pytest.raises(
        GraphError, match=r"weights: needs the path .*got none.safetensors, which is not there; .*pipe train panoptic_world"
    ):
        found("none.safetensors", picture())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"min_score": 2}, r"min_score: needs 0..1, got 2"),
        ({"max_instances": 0}, r"max_instances: needs 1..512, got 0"),
        ({"scales": []}, "scales: needs one or more numbers"),
        ({"max_picture": [5000, 10]}, "max_picture: needs width, height"),
        ({"proposals": 0}, "proposals: needs 1 or more"),
        ({"semantic": "quarter", "mirror": True}, "semantic: needs picture for several scales or mirror, got quarter"),
    ],
)
def test_wrong_configs(net, config, message):
    with pytest.raises(GraphError, match=message):
        found(net, picture(), **config)
