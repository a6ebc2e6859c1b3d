import dataclasses

import numpy as np
import pytest

import pillar_nets

torch = pytest.importorskip("torch")

from operators.nets.pointpillars import PointPillars  # noqa: E402
from operators.nets.pointpillars_config import CAR, PointPillarsConfig  # noqa: E402
from operators.nets.pointpillars_inference import InferencePointPillars  # noqa: E402

TINY = PointPillarsConfig(
    cell_m=(1.0, 0.5),
    range_m=(0.0, -6.0, -3.0, 16.0, 6.0, 1.0),
    max_points=4,
    pillar_channels=8,
    block_layers=(1, 2, 1),
    block_channels=(8, 16, 24),
    up_channels=(8, 16, 4),
)


def trained(config, seed=0):
    torch.manual_seed(seed)
    return pillar_nets.liven(PointPillars(config))


@pytest.mark.parametrize("num", [0, 1, 4, 60])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"first_stride": 1},
        {"first_stride": 4, "range_m": (0.0, -8.0, -3.0, 16.0, 8.0, 1.0)},
        {"block_layers": (0,), "block_channels": (8,), "up_channels": (4,), "anchors": (CAR,)},
    ],
)
def test_it_is_the_net_in_eval_mode(changed, num):
    config = dataclasses.replace(TINY, **changed)
    net = trained(config)
    fast = InferencePointPillars(net)
    at = torch.arange(config.num_anchors)
    with torch.inference_mode():
        expected = net(*pillar_nets.scene(config, num))
        logits, levels = fast(*pillar_nets.scene(config, num))
        residuals, directions = fast.boxes(levels, at)
    assert expected.class_logits.std() > 0.05 and expected.box_residuals.std() > 0.05, "they say something"
    for ours, theirs in zip((logits, residuals, directions), expected, strict=True):
        assert ours.dtype == torch.float32
        np.testing.assert_allclose(ours.numpy(), theirs[0].numpy(), atol=1e-4)


def test_packed_pillars_are_the_same_pillars():
    fast = InferencePointPillars(trained(TINY))
    pillars, counts, cells = pillar_nets.scene(TINY, 30)
    packed = pillars[torch.arange(TINY.max_points) < counts[:, None]][:, None]
    with torch.inference_mode():
        np.testing.assert_allclose(fast(packed, counts, cells)[0].numpy(), fast(pillars, counts, cells)[0].numpy(), atol=1e-5)


def test_boxes_of_chosen_anchors_only():
    fast = InferencePointPillars(trained(TINY))
    with torch.inference_mode():
        _, levels = fast(*pillar_nets.scene(TINY, 30))
        everywhere = [part.numpy() for part in fast.boxes(levels, torch.arange(TINY.num_anchors))]
        some = torch.tensor([7, 3, TINY.num_anchors - 1, 7])
        for part, whole in zip(fast.boxes(levels, some), everywhere, strict=True):
            np.testing.assert_allclose(part.numpy(), whole[some.numpy()], atol=1e-6)
        assert [tuple(part.shape) for part in fast.boxes(levels, some[:0])] == [(0, 7), (0, 2)]


def test_bfloat16_is_near():
    net = trained(TINY)
    with torch.inference_mode():
        exact, _ = InferencePointPillars(net)(*pillar_nets.scene(TINY, 30))
        near, levels = InferencePointPillars(net, torch.bfloat16)(*pillar_nets.scene(TINY, 30))
        residuals, _ = InferencePointPillars(net, torch.bfloat16).boxes(levels, torch.arange(9))
    assert near.dtype == residuals.dtype == torch.float32
    assert 0 < (near - exact).abs().max() < 0.1 * exact.std()


def test_the_trained_net_is_not_changed():
    net = trained(TINY)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with torch.inference_mode():
        InferencePointPillars(net, torch.bfloat16)(*pillar_nets.scene(TINY, 30))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(p.requires_grad and p.dtype == torch.float32 for p in net.parameters())


def test_the_same_bytes_again():
    fast = InferencePointPillars(trained(TINY))
    with torch.inference_mode():
        one, two = (fast(*pillar_nets.scene(TINY, 60))[0].numpy().tobytes() for _ in range(2))
    assert one == two
