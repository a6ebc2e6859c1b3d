"""fuse.gate as a node: an absent modality, a dead one, refusals."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from operators.fuse.gate import FuseGate, FuseGateConfig, seen  # noqa: E402
from operators.nets import weights  # noqa: E402
from operators.nets.fusion_config import FUSION, FusionNetConfig  # noqa: E402
from operators.nets.fusion_net import FusionNet  # noqa: E402
from operators.streams import BOXES2D, GATE, MODALITIES, SENSOR_FAULTS, WEIGHTS, Health  # noqa: E402
from pipeline.errors import FrameError, InputError  # noqa: E402
from pipeline.testing import run_operator  # noqa: E402

SIZE = (128, 96)
TINY = FusionNetConfig(
    image_size=SIZE, stage_channels=(4, 8, 8, 16, 16), map_channels=32, queries=10, hidden=32, feedforward=32, key_pool=2
)
SCHEMES = ("scalar_average", "scalar_concat", "mask_average", "mask_concat", "selective")
RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.integers(0, 256, (96, 128, 3), dtype=np.uint8)
THERMAL = RANDOM.integers(0, 256, (96, 128), dtype=np.uint8)


@pytest.fixture
def path(tmp_path):
    def save(name="net", **changed):
        torch.manual_seed(0)
        config = FusionNetConfig(**{key: getattr(TINY, key) for key in TINY.__slots__} | changed)
        net = FusionNet(config)
        torch.nn.init.normal_(net.classify[-1].weight, 0, 1)  # of scores that differ
        weights.save(tmp_path / f"{name}.safetensors", FUSION, config, net.state_dict())
        return str(tmp_path / f"{name}.safetensors")

    return save


def run(path, *sets, meta=None, **config):
    return run_operator(FuseGate, list(sets), {"weights": path, "score_threshold": 0.0, **config}, meta=meta)


def health(**usable):
    return Health(np.zeros((len(usable), len(SENSOR_FAULTS)), np.float32), np.array(list(usable.values())))


def same(a, b):
    for field in ("boxes2d", "scores", "labels"):
        np.testing.assert_array_equal(getattr(a["boxes2d"], field), getattr(b["boxes2d"], field))
    np.testing.assert_array_equal(a["weights"], b["weights"])
    np.testing.assert_array_equal(a["gate"], b["gate"])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_boxes_weights_and_gate(path, scheme):
    (got,) = run(path(scheme=scheme), {"image": IMAGE, "thermal": THERMAL})
    BOXES2D.check(got["boxes2d"]._asdict(), "boxes2d")
    WEIGHTS.check({"weights": got["weights"]}, "weights")
    GATE.check({"gate": got["gate"]}, "gate")
    boxes, scores, labels = got["boxes2d"]
    assert 0 < len(boxes) <= 10 and (np.diff(scores) <= 0).all() and set(labels) <= {0, 1, 2}
    assert (boxes >= 0).all() and (boxes <= [127, 95, 127, 95]).all()
    assert got["weights"].sum() == pytest.approx(1) and (got["weights"] > 0).all()
    assert got["gate"].shape == (6, 8) and got["gate"].mean() == pytest.approx(got["weights"][0], abs=1e-6)
    assert (np.ptp(got["gate"]) == 0) == scheme.startswith("scalar")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_dead_modality_is_an_absent_one_bit_by_bit(path, scheme):
    """By health, by a partial set, by config: the same path, whatever the dead sensor sends."""
    file, dead = path(scheme=scheme), health(image=True, thermal=False)
    facts = {"health": {MODALITIES: ["image", "thermal"]}}
    absent, unhealthy, noise = run(
        file,
        {"image": IMAGE},
        {"image": IMAGE, "thermal": np.zeros_like(THERMAL), "health": dead},
        {"image": IMAGE, "thermal": THERMAL, "health": dead},
        meta=[{}, facts, facts],
    )
    same(absent, unhealthy)
    same(absent, noise)
    (chosen,) = run(file, {"image": IMAGE, "thermal": THERMAL}, modalities=["image"])
    same(absent, chosen)
    assert absent["weights"].tolist() == [1.0, 0.0] and (absent["gate"] == 1).all()
    (other,) = run(file, {"thermal": THERMAL})
    assert other["weights"].tolist() == [0.0, 1.0] and (other["gate"] == 0).all()


def test_the_net_comes_back_with_the_modality(path):
    both = {"image": IMAGE, "thermal": THERMAL}
    first, alone, last = run(path(), both, {"image": IMAGE}, both)
    same(first, last)
    assert alone["weights"][1] == 0 < first["weights"][1]


def test_one_modality_is_the_path_of_the_other_being_dead(path):
    """The one with the larger share; the other, where that is not there."""
    file, both = path(), {"image": IMAGE, "thermal": THERMAL}
    sets = [both, both, {"image": IMAGE}, {"thermal": THERMAL}, both]
    first, one, image, thermal, last = run_operator(
        FuseGate, sets, {"weights": file, "score_threshold": 0.0}, levels=[0, 1, 1, 1, 0]
    )
    assert one["weights"].tolist() == ([1, 0] if first["weights"][0] > first["weights"][1] else [0, 1])
    same(one, image if one["weights"][0] else thermal)
    assert (image["weights"].tolist(), thermal["weights"].tolist()) == ([1, 0], [0, 1])
    same(first, last)
    levels = [FuseGate.levels_of(FuseGateConfig(weights=file, modalities=m)) for m in (None, ("image",), ("image", "thermal"))]
    assert [len(found) for found in levels] == [1, 0, 1]


def test_nothing_usable_is_an_empty_frame(path):
    facts = {"health": {MODALITIES: ["thermal", "image"]}}
    (got,) = run(path(), {"image": IMAGE, "thermal": THERMAL, "health": health(thermal=False, image=False)}, meta=[facts])
    assert got["boxes2d"].boxes2d.shape == (0, 4) and got["weights"].tolist() == [0, 0] and "gate" not in got


def test_a_black_picture_gives_numbers(path):
    (got,) = run(path(), {"image": IMAGE, "thermal": np.zeros_like(THERMAL)})
    assert np.isfinite(got["boxes2d"].boxes2d).all() and np.isfinite(got["weights"]).all()


def test_pictures_of_other_sizes_are_scaled(path):
    """Twice as large: the same boxes times two. A wide one: its part of the gate."""
    file, twice = path(), [np.repeat(np.repeat(a, 2, 0), 2, 1) for a in (IMAGE, THERMAL)]
    (one,) = run(file, {"image": IMAGE, "thermal": THERMAL})
    (two,) = run(file, {"image": twice[0], "thermal": twice[1]})
    np.testing.assert_allclose((two["boxes2d"].boxes2d + 0.5) / 2 - 0.5, one["boxes2d"].boxes2d, atol=0.6)
    (wide,) = run(file, {"image": IMAGE[:48], "thermal": THERMAL[:48]})
    assert wide["gate"].shape == (3, 8) and (wide["boxes2d"].boxes2d[:, 3] <= 47).all()


def test_depth_as_the_second_modality(path):
    file = path(modalities=("image", "depth"))
    depth = np.full((96, 128), np.inf, np.float32)
    (got,) = run(file, {"image": IMAGE, "depth": depth})
    assert (got["weights"] > 0).all()
    assert seen("depth", np.array([[0, 1, 10, 100, 1e9, np.inf, np.nan]], np.float32)).tolist() == [[255, 255, 127, 0, 0, 0, 0]]
    assert seen("thermal", THERMAL) is THERMAL
    with pytest.raises(FrameError, match=r"^fusegate: needs the inputs image, depth of .*net.safetensors, got thermal$"):
        run(file, {"thermal": THERMAL})


def test_one_modality_is_the_same_net(path):
    (got,) = run(path(modalities=("thermal",)), {"thermal": THERMAL})
    assert got["weights"].tolist() == [1.0] and (got["gate"] == 0).all()


def test_refusals(path):
    file = path()
    with pytest.raises(
        FrameError, match=r"^fusegate: needs pictures of one size, got image 128 x 96, thermal 64 x 96; fuse.align"
    ):
        run(file, {"image": IMAGE, "thermal": THERMAL[:, :64]})
    with pytest.raises(FrameError, match=r"^fusegate.health: needs the fact modalities with 2 names, got \[\]$"):
        run(file, {"image": IMAGE, "health": health(image=True, thermal=True)})
    with pytest.raises(ValueError, match=r"^scheme: needs scalar_concat, the scheme of .*net.safetensors, got selective$"):
        FuseGateConfig(weights=file, scheme="selective")
    with pytest.raises(ValueError, match=r"^modalities: needs some of image, thermal, those of .*, got depth$"):
        FuseGateConfig(weights=file, modalities=("depth",))
    with pytest.raises(ValueError, match=r"^score_threshold: needs 0..1, got 2$"):
        FuseGateConfig(weights=file, score_threshold=2)
    with pytest.raises(
        ValueError, match=r"^weights: needs the path .*, got nothing; none is shipped: train one with pipe train fusion"
    ):
        FuseGateConfig()
    net = FusionNet(TINY).state_dict()
    weights.save(file, FUSION, TINY, {name: t for name, t in net.items() if name != "project.weight"})
    with pytest.raises(InputError, match=r"weights of another net than its config says: .*project.weight"):
        run(file, {"image": IMAGE})


def test_room_for_the_gate(path):
    assert FuseGate.slot_bytes(FuseGateConfig(weights=path())) == {"gate": 192}
