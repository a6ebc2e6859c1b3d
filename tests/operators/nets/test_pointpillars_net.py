import dataclasses
import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from operators.nets.pointpillars import PointPillars, convolve_pillars, decorate  # noqa: E402
from operators.nets.pointpillars_config import CAR, AnchorConfig, PointPillarsConfig, tensor_shapes  # noqa: E402
from pillar_nets import liven, scene  # noqa: E402

TINY = PointPillarsConfig(
    cell_m=(1.0, 0.5),
    range_m=(0.0, -4.0, -3.0, 16.0, 4.0, 1.0),
    max_points=4,
    max_pillars=50,
    pillar_channels=8,
    block_layers=(1, 1, 1),
    block_channels=(8, 8, 16),
    up_channels=(8, 8, 8),
)


def lively(config, seed=0):
    torch.manual_seed(seed)
    return liven(PointPillars(config))


@pytest.mark.parametrize(("anchors", "parameters"), [(PointPillarsConfig().anchors, 4_834_824), ((CAR,), 4_814_804)])
def test_the_published_layout_has_the_published_number_of_parameters(anchors, parameters):
    net = PointPillars(PointPillarsConfig(anchors=anchors))
    assert sum(p.numel() for p in net.parameters()) == parameters


@pytest.mark.parametrize("config", [TINY, PointPillarsConfig(anchors=(CAR,))])
def test_tensor_shapes_are_those_of_the_net(config):
    state = PointPillars(config).state_dict()
    assert list(tensor_shapes(config).items()) == [(n, tuple(v.shape)) for n, v in state.items() if "num_batches" not in n]


def test_an_empty_scene_has_logits_everywhere():
    net = lively(TINY)
    with torch.inference_mode():
        heads = net(*scene(TINY, 0))
    assert [tuple(h.shape) for h in heads] == [(1, TINY.num_anchors, n) for n in (3, 7, 2)]
    assert TINY.num_anchors == 8 * 8 * 6 and all(torch.isfinite(h).all() for h in heads)


def test_before_training_every_class_is_unlikely():
    torch.manual_seed(0)
    net = PointPillars(TINY).eval()
    with torch.inference_mode():
        assert net(*scene(TINY, 0)).class_logits.sigmoid().mean().item() == pytest.approx(0.01, rel=0.1)


def test_decoration_by_hand():
    pillars = torch.zeros(2, 3, 4)
    pillars[0, 0] = torch.tensor([5.0, 1.0, -1.0, 0.5])
    pillars[0, 1] = torch.tensor([5.5, 1.4, 0.0, 0.7])
    pillars[1, 0] = torch.tensor([0.25, -4.0, 1.0, 0.0])
    counts, cells = torch.tensor([2, 1], dtype=torch.int32), torch.tensor([[10, 5], [0, 0]], dtype=torch.int32)
    features, pillar = decorate(pillars, counts, cells, TINY)
    assert pillar.tolist() == [0, 0, 1]
    # centres: x 5.5, y -4 + 10.5 * 0.5 = 1.25; x 0.5, y -3.75
    expected = [
        [5.0, 1.0, -1.0, 0.5, -0.25, -0.2, -0.5, -0.5, -0.25],
        [5.5, 1.4, 0.0, 0.7, 0.25, 0.2, 0.5, 0.0, 0.15],
        [0.25, -4.0, 1.0, 0.0, 0.0, 0.0, 0.0, -0.25, -0.25],
    ]
    np.testing.assert_allclose(features.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("num", [0, 1, 60])
def test_packed_pillars_are_the_same_pillars(num):
    pillars, counts, cells = scene(TINY, num)
    packed = pillars[torch.arange(TINY.max_points) < counts[:, None]][:, None]
    net = lively(TINY)
    with torch.inference_mode():
        for ours, theirs in zip(decorate(packed, counts, cells, TINY), decorate(pillars, counts, cells, TINY), strict=True):
            np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-6)
            assert ours.dtype == theirs.dtype
        for ours, theirs in zip(net(packed, counts, cells), net(pillars, counts, cells), strict=True):
            np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-5)


def test_pillar_features_equal_the_padded_way():
    """Compared with the paper: all K rows through the layer, padding masked before the maximum."""
    net = lively(TINY)
    pillars, counts, cells = scene(TINY, 20)
    kept = torch.arange(TINY.max_points) < counts[:, None]
    mean = (pillars[..., :3] * kept[..., None]).sum(1, keepdim=True) / counts[:, None, None]
    centre = (cells.flip(1) + 0.5) * torch.tensor(TINY.cell_m) + torch.tensor(TINY.range_m[:2])
    padded = torch.cat([pillars, pillars[..., :3] - mean, pillars[..., :2] - centre[:, None]], 2)
    with torch.inference_mode():
        each = net.pillar_norm(net.pillar_linear(padded).flatten(0, 1)).view(20, TINY.max_points, -1).relu()
        expected = each.masked_fill(~kept[..., None], 0).amax(1)
        np.testing.assert_allclose(net.pillar_features(pillars, counts, cells).numpy(), expected.numpy(), atol=1e-5)


def test_a_tenth_feature_and_centres_of_another_grid():
    config = dataclasses.replace(TINY, features=10, centre_grid_m=(2.0, 1.0, 1.0, -3.0))
    pillars, counts, cells = scene(config, 20)
    features, pillar = decorate(pillars, counts, cells, config)
    assert features.shape[1] == 10 and PointPillars(config).pillar_linear.weight.shape == (8, 10)
    cell = cells[pillar].double()
    np.testing.assert_allclose(features[:, 7].numpy(), (features[:, 0] - (cell[:, 1] + 0.5) * 2 - 1).numpy(), atol=1e-5)
    np.testing.assert_allclose(features[:, 8].numpy(), (features[:, 1] - (cell[:, 0] + 0.5) + 3).numpy(), atol=1e-5)
    np.testing.assert_allclose(features[:, 9].numpy(), (features[:, 2] + 1).numpy(), atol=1e-6)


def test_a_row_of_zeros_may_take_part_in_the_maximum():
    """As in the released code: all K rows through the layer, padding as zeros."""
    config = dataclasses.replace(TINY, padded_maximum=True)
    net, (pillars, counts, cells) = lively(config), scene(TINY, 30)
    assert set(counts.tolist()) == {1, 2, 3, 4}
    features, pillar = decorate(pillars, counts, cells, config)
    with torch.inference_mode():
        zero = net.pillar_norm(torch.zeros(1, 8)).relu()[0].numpy()
        each = net.pillar_norm(net.pillar_linear(features)).relu().numpy()
        found = net.pillar_features(pillars, counts, cells).numpy()
    for p, num in enumerate(counts.tolist()):
        rows = [*each[pillar.numpy() == p], *[zero] * (num < 4)]
        np.testing.assert_allclose(found[p], np.max(rows, 0), atol=1e-5)
    assert net.train().pillar_features(pillars, counts, cells).shape == (30, 8)


def test_scatter_then_gather_is_the_identity():
    """Pillars through a convolution that takes each cell as it is: their features in their cells, zeros elsewhere."""
    _, _, cells = scene(TINY, 60)
    features = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    weight = torch.zeros(8, 8, 3, 3)
    weight[:, :, 1, 1] = torch.eye(8)
    canvas = convolve_pillars(features, cells, None, weight, 1, (1, *TINY.grid))
    assert torch.equal(canvas[0, :, cells[:, 0].long(), cells[:, 1].long()].T, features)
    assert canvas.count_nonzero() == features.count_nonzero()


def published(net, pillars, counts, cells):
    """The forward pass of the paper: canvas, convolutions, transposed convolutions, concatenation, 1x1 heads."""
    features = net.pillar_features(pillars, counts, cells)
    canvas = torch.zeros(1, features.shape[1], *net.config.grid)
    for feature, (row, column) in zip(features, cells.tolist(), strict=True):
        canvas[0, :, row, column] = feature
    x, levels = canvas, []
    for block, up in zip(net.blocks, net.ups, strict=True):
        for layer in block:
            x = layer.norm(layer.conv(x)).relu()
        levels.append(up.norm(up.conv(x)).relu())
    x = torch.cat(levels, 1)
    heads = (net.class_head, net.box_head, net.direction_head)
    return [head(x).permute(0, 2, 3, 1).reshape(1, net.config.num_anchors, -1) for head in heads]


@pytest.mark.parametrize("num", [0, 1, 60])
@pytest.mark.parametrize("changed", [{}, {"first_stride": 1}, {"block_layers": (0, 2, 1)}])
@pytest.mark.parametrize("training", [False, True])
def test_the_forward_pass_is_the_published_one(changed, num, training):
    config = dataclasses.replace(TINY, **changed)
    net = lively(config).train(training)
    inputs = scene(config, num)
    with torch.inference_mode(not training):
        for ours, theirs in zip(net(*inputs), published(net, *inputs), strict=True):
            np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), atol=1e-4)


def test_a_batch_is_its_scans():
    net = lively(TINY)
    scans = [scene(TINY, num, seed) for seed, num in enumerate((7, 0, 30))]
    joined = [torch.cat(parts) for parts in zip(*scans, strict=True)]
    batch_index = torch.tensor([0] * 7 + [2] * 30)
    with torch.inference_mode():
        together = net(*joined, batch_index, 3)
        for i, scan in enumerate(scans):
            for whole, alone in zip(together, net(*scan), strict=True):
                np.testing.assert_allclose(whole[i].numpy(), alone[0].numpy(), atol=1e-5)


def test_anchors_count_row_by_row():
    """One pillar: the logits it changes are those around its own location, (row * columns + column) * 6."""
    net = lively(dataclasses.replace(TINY, block_layers=(0,), block_channels=(8,), up_channels=(8,)))
    pillars, counts, _ = scene(TINY, 1)
    with torch.inference_mode():
        empty = net(*scene(TINY, 0)).class_logits
        changed = (net(pillars, counts, torch.tensor([[5, 9]])).class_logits - empty).abs().sum((0, 2)) > 1e-6
    locations = np.unique(np.flatnonzero(changed.numpy()) // 6)
    assert set(locations) <= {r * 8 + c for r in (2, 3) for c in (4, 5)} and len(locations) > 0


def test_training_reaches_every_parameter_and_takes_bfloat16():
    torch.manual_seed(0)
    net = PointPillars(TINY).train()
    with torch.autocast("cpu", torch.bfloat16):
        heads = net(*scene(TINY, 40), torch.tensor([0] * 20 + [1] * 20), 2)
        sum((h.float() ** 2).mean() for h in heads).backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"block_layers": (3, 5)}, "block_layers: needs as many as block_channels and up_channels, got 2, 3 and 3"),
        ({"block_channels": (8, 0, 8)}, "block_channels: needs 1 .. 4096 each, got [8, 0, 8]"),
        ({"max_points": 0}, "max_points: needs 1 or more, got 0"),
        ({"anchors": ()}, "anchors: needs one or more classes, each once, got none"),
        ({"anchors": (CAR, CAR)}, "anchors: needs one or more classes, each once, got Car, Car"),
        ({"range_m": (0.0, -4.0, 1.0, 16.0, 4.0, 1.0)}, "range_m: needs z1 > z0, got z0 = 1.0, z1 = 1.0"),
        ({"first_stride": 4}, None),
        ({"first_stride": 8}, "range_m: needs a multiple of 32 cells, got x from 0.0 to 16.0 in cells of 1.0 m"),
        ({"features": 11}, "features: needs 9 or 10, got 11"),
        ({"centre_grid_m": (0.2, 0.0, 0, 0)}, "centre_grid_m: needs cells larger than 0, got [0.2, 0.0, 0, 0]"),
        ({"anchor_span_m": (0, 0, 0, 9)}, "anchor_span_m: needs x0 < x1 and y0 < y1, got [0, 0, 0, 9]"),
        ({"direction_offset_rad": float("inf")}, "anchor_yaws_rad, direction_offset_rad: need finite angles"),
        ({"cell_m": (0.3, 0.5)}, "range_m: needs a multiple of 8 cells, got x from 0.0 to 16.0 in cells of 0.3 m"),
        ({"cell_m": (0.0, 0.5)}, "range_m: needs a multiple of 8 cells, got x from 0.0 to 16.0 in cells of 0.0 m"),
    ],
)
def test_wrong_settings(wrong, message):
    if message is None:
        assert dataclasses.replace(TINY, **wrong).head_grid == (4, 4)
        return
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        dataclasses.replace(TINY, **wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size_m": (1, 0, 1)}, r"size_m: needs l, w, h > 0, got \[1, 0, 1\]"),
        ({"matched": 0.3}, "matched: needs unmatched <= matched, both 0 to 1, got 0.3 and unmatched 0.45"),
    ],
)
def test_wrong_anchors(wrong, message):
    with pytest.raises(ValueError, match=message):
        AnchorConfig(**{f.name: getattr(CAR, f.name) for f in dataclasses.fields(CAR)} | wrong)
