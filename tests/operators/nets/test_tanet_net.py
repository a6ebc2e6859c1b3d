"""TANet against the formulas of its sources, layer by layer, and its number of parameters by hand."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch.nn import functional  # noqa: E402

from operators.lidar.voxelize import Voxelize  # noqa: E402
from operators.nets.pointpillars import PointPillars  # noqa: E402
from operators.nets.pointpillars_config import CAR, PointPillarsConfig  # noqa: E402
from operators.nets.tanet import TANet  # noqa: E402
from operators.nets.tanet_attention import AttentionNet, TripleAttention  # noqa: E402
from operators.nets.tanet_config import PRESETS, TANetConfig  # noqa: E402
from operators.nets.tanet_padded import decorate_padded, padded  # noqa: E402
from operators.nets.tanet_shapes import tensor_shapes  # noqa: E402
from pillar_nets import liven, scene  # noqa: E402
from pipeline.testing import run_operator  # noqa: E402

TINY = TANetConfig(
    cell_m=(1.0, 0.5),
    range_m=(0.0, -4.0, -3.0, 16.0, 4.0, 1.0),
    max_points=5,
    max_pillars=50,
    pillar_channels=8,
    block_layers=(1, 1, 1),
    block_channels=(8, 12, 16),
    up_channels=(8, 8, 8),
    reduced_channels=4,
)


def lively(config, seed=0):
    torch.manual_seed(seed)
    return liven(TANet(config))


def linear(before, channels):
    return before * channels + channels


def conv(size, before, channels):
    return size * size * before * channels


def norm(channels):
    return 2 * channels


# ---- parameters by hand: car and three-class heads of 0.16 m, K = 100


def attention(points, point_hidden, channels, channel_hidden):
    by_point = linear(points, point_hidden) + linear(point_hidden, points)
    by_channel = linear(channels, channel_hidden) + linear(channel_hidden, channels)
    return by_point + by_channel + linear(channels + 3, 1) + linear(points, 1)


PILLARS = attention(100, 8, 9, 9) + linear(18, 64) + attention(100, 8, 64, 8) + linear(64, 64) + 64 * 64 + norm(64)
BLOCKS = (
    4 * (conv(3, 64, 64) + norm(64))
    + (conv(3, 64, 128) + norm(128)) + 5 * (conv(3, 128, 128) + norm(128))
    + (conv(3, 128, 256) + norm(256)) + 5 * (conv(3, 256, 256) + norm(256))
)  # fmt: skip
UPS = conv(1, 64, 128) + conv(2, 128, 128) + conv(4, 256, 128) + 3 * norm(128)
REFINE = (
    linear(384, 128)  # bottleneck
    + conv(2, 128, 32) + conv(2, 256, 64) + conv(4, 256, 32)  # to finer levels
    + linear(64 + 32 + 32, 64) + linear(64 + 128 + 64, 128) + linear(64 + 128 + 256, 256)  # fusions
    + conv(3, 64, 32) + norm(32) + conv(3, 32, 32) + norm(32) + conv(3, 32, 64) + norm(64)
    + conv(3, 128, 32) + norm(32) + conv(3, 32, 128) + norm(128)
    + conv(1, 256, 32) + norm(32) + conv(3, 32, 256) + norm(256)
    + UPS
    + 3 * (conv(3, 128, 128) + 128)
)  # fmt: skip


def heads(classes):
    return linear(384, 2 * classes * classes) + linear(384, 2 * classes * 7) + linear(384, 2 * classes * 2)


@pytest.mark.parametrize(
    ("preset", "cnn", "pillar_net", "parameters"),
    [
        ("car_16", "tanet", "tanet", PILLARS + BLOCKS + UPS + heads(1) + REFINE + heads(1)),
        ("three_16", "tanet", "tanet", PILLARS + BLOCKS + UPS + heads(3) + REFINE + heads(3)),
        ("car_16", "coarse", "tanet", PILLARS + BLOCKS + UPS + heads(1)),
        ("car_16", "coarse", "pointnet", 9 * 64 + norm(64) + BLOCKS + UPS + heads(1)),
        ("three_16", "coarse", "pointnet", 9 * 64 + norm(64) + BLOCKS + UPS + heads(3)),
        ("ped_cycle_16", "tanet", "tanet", PILLARS + BLOCKS + UPS + heads(2) + REFINE + heads(2)),
    ],
)
def test_parameters_by_hand(preset, cnn, pillar_net, parameters):
    config = dataclasses.replace(PRESETS[preset], cnn=cnn, pillar_net=pillar_net)
    assert sum(p.numel() for p in TANet(config).parameters()) == parameters


def test_the_sums():
    """The totals, once as numbers. The coarse net with PointPillars' layer is PointPillars."""
    assert (PILLARS, BLOCKS + UPS + heads(1), REFINE + heads(1)) == (14_575, 4_814_100, 1_670_484)
    assert PILLARS + BLOCKS + UPS + heads(1) + REFINE + heads(1) == 6_499_159
    assert PILLARS + BLOCKS + UPS + heads(3) + REFINE + heads(3) == 6_539_199
    assert [9 * 64 + norm(64) + BLOCKS + UPS + heads(n) for n in (1, 3)] == [4_814_804, 4_834_824]


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"cnn": "coarse"},
        {"pillar_net": "pointnet"},
        {"anchors": (CAR,), "first_stride": 1, "max_points": 7},
        {"features": 10},
    ],
)
def test_tensor_shapes_are_those_of_the_net(changed):
    config = dataclasses.replace(TINY, **changed)
    state = TANet(config).state_dict()
    assert list(tensor_shapes(config).items()) == [(n, tuple(v.shape)) for n, v in state.items() if "num_batches" not in n]


# ---- pillars


def packed(pillars, counts):
    """(R, 1, 4): the points of all pillars, pillar after pillar"""
    return torch.cat([pillar[:num] for pillar, num in zip(pillars, counts, strict=True)])[:, None]


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("depth", [5, 3, 9, 1])
def test_decoration_is_padded_and_masked(depth, pack):
    """(P, K, 9) against brute force; rows beyond the count are zero. K of the net, whatever the voxelizer's is."""
    pillars, counts, cells = scene(dataclasses.replace(TINY, max_points=depth), 30)
    given = packed(pillars, counts) if pack else pillars
    features, mean, kept = decorate_padded(*padded(given, counts, 5), cells, TINY)
    assert features.shape == (30, 5, 9) and mean.shape == (30, 3)
    for p in range(30):
        num = min(int(counts[p]), 5)
        points, (row, column) = pillars[p, :num].double().numpy(), cells[p].tolist()
        centre = np.array([(column + 0.5) * 1.0, -4 + (row + 0.5) * 0.5])
        expected = np.concatenate([points, points[:, :3] - points[:, :3].mean(0), points[:, :2] - centre], 1)
        np.testing.assert_allclose(features[p, :num].numpy(), expected, atol=1e-5)
        np.testing.assert_allclose(mean[p].numpy(), points[:, :3].mean(0), atol=1e-5)
        assert kept[p].sum() == num and not features[p, num:].any()


def test_the_default_decoration_has_a_hundred_points_of_nine():
    config = PRESETS["car_16"]
    features, _, kept = decorate_padded(*scene(config, 3), config)
    assert features.shape == (3, 100, 9) and features.dtype == torch.float32 and kept.shape == (3, 100)


def test_a_scan_through_the_voxelizer_keeps_every_point_of_pillars_of_at_most_100():
    config = PRESETS["car_16"]
    rng = np.random.default_rng(0)
    dense = rng.uniform((10, 0, -1, 0), (10.48, 0.32, 0, 1), (400, 4))  # six cells, about 67 points each
    crowd = rng.uniform((20, 0, -1, 0), (20.16, 0.16, 0, 1), (150, 4))  # one cell
    points = np.concatenate([dense, crowd]).astype(np.float32)
    wanted = {"cell_m": list(config.cell_m), "range_m": list(config.range_m), "max_points": 100}
    (found,) = run_operator(Voxelize, [points], wanted)
    num = len(found.counts)
    inside = [np.sort(pillar[:count, 0]) for pillar, count in zip(found.pillars, found.counts, strict=True)]
    columns, rows = ((points[:, axis] - config.range_m[axis]) // np.float32(0.16) for axis in (0, 1))
    for (row, column), kept, xs in zip(found.cells, found.counts, inside, strict=True):
        own = points[(rows == row) & (columns == column)]
        assert kept == min(len(own), 100)
        if len(own) <= 100:
            np.testing.assert_array_equal(xs, np.sort(own[:, 0]))
    features, mean, kept = decorate_padded(*map(torch.from_numpy, (found.pillars, found.counts, found.cells)), config)
    assert features.shape == (num, 100, 9) and mean.shape == (num, 3) and 100 in found.counts
    assert kept.sum(1).tolist() == found.counts.tolist() and not features[~kept].any()


def test_a_tenth_feature_is_the_offset_to_the_middle_in_z():
    config = dataclasses.replace(TINY, features=10)
    pillars, counts, cells = scene(config, 20)
    features, _, kept = decorate_padded(pillars, counts, cells, config)
    np.testing.assert_allclose(features[..., 9][kept].numpy(), (pillars[..., 2] + 1)[kept].numpy(), atol=1e-6)


# ---- triple attention


def voxels(num=20, points=5, channels=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num, points, channels, generator=generator), torch.randn(num, 3, generator=generator)


def attend(layer, V, mean):
    """The formulas, one pillar after the other."""
    out = np.empty(V.shape)
    weights = {name: value.detach().double().numpy() for name, value in layer.named_parameters()}

    def dense(name, x):
        return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]

    def relu(x):
        return np.maximum(x, 0)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    for p, (v, centre) in enumerate(zip(V.double().numpy(), mean.double().numpy(), strict=True)):
        S = dense("points.2", relu(dense("points.0", v.max(1))))
        T = dense("channels.2", relu(dense("channels.0", v.max(0))))
        F1 = sigmoid(np.outer(S, T)) * v
        each = np.array([relu(dense("of_channels", np.concatenate([row, centre])))[0] for row in F1])
        q = sigmoid(relu(dense("of_points", each)))
        out[p] = q * F1
    return out


@pytest.mark.parametrize(("points", "channels"), [(5, 8), (100, 9), (32, 64), (1, 4)])
def test_triple_attention_is_its_formula(points, channels):
    torch.manual_seed(0)
    layer = TripleAttention(points, channels)
    V, mean = voxels(4, points, channels)
    np.testing.assert_allclose(layer(V, mean).detach().numpy(), attend(layer, V, mean), atol=1e-5)


def test_the_mask_is_within_0_and_1_and_of_rank_1_before_the_sigmoid():
    torch.manual_seed(0)
    mask = TripleAttention(5, 8).mask(voxels()[0]).detach().double()
    assert mask.shape == (20, 5, 8) and mask.min() > 0 and mask.max() < 1
    values = torch.linalg.svdvals(torch.logit(mask))
    assert (values[:, 1] < 1e-5 * values[:, 0]).all() and (values[:, 0] > 0).all()


def test_channel_weights_do_not_depend_on_the_order_of_the_points():
    torch.manual_seed(0)
    layer, (V, _) = TripleAttention(5, 8), voxels()
    turned = V[:, torch.randperm(5)]
    assert torch.equal(layer.channel_weights(V), layer.channel_weights(turned))
    assert layer.channel_weights(V).shape == (20, 8) and layer.point_weights(V).shape == (20, 5)
    assert not torch.allclose(layer.point_weights(V), layer.point_weights(turned)), "a dense layer over the point index"


def test_shapes_of_the_stacked_attention_with_the_released_sizes():
    config = PRESETS["car_16"]
    net = liven(AttentionNet(config))
    pillars, counts, cells = scene(config, 3)
    features, mean, _ = decorate_padded(pillars, counts, cells, config)
    with torch.inference_mode():
        assert net.attend(features, mean).shape == (3, 100, 64)
        assert net(pillars, counts, cells).shape == (3, 64)


# ---- the whole net


def released(net, pillars, counts, cells):
    """The forward pass as the sources draw it: padded pillars, canvas, concatenated maps."""
    config, layers = net.config, net.pillar_net
    features, mean, _ = decorate_padded(pillars, counts, cells, config)
    first = torch.from_numpy(attend(layers.first, features, mean)).float()
    wide = layers.widen(torch.cat([first, features], 2)).relu()
    second = torch.from_numpy(attend(layers.second, wide, mean)).float()
    each = layers.linear(layers.mix(wide + second).relu())
    most = layers.norm(each.transpose(1, 2)).relu().amax(2)
    canvas = torch.zeros(1, config.pillar_channels, *config.grid)
    canvas[0, :, cells[:, 0].long(), cells[:, 1].long()] = most.T

    def up(module, x):
        return module.norm(module.conv(x)).relu()

    x, maps = canvas, []
    for block in net.blocks:
        x = block(x)
        maps.append(x)
    coarse = torch.cat([up(module, x) for module, x in zip(net.ups, maps, strict=True)], 1)
    psa, (x1, x2, x3) = net.psa, maps
    bottleneck = psa.bottleneck(coarse)
    pool = functional.max_pool2d
    rows = [
        [x1, psa.second_to_first(x2), psa.third_to_first(x3)],
        [pool(x1, 2), x2, psa.third_to_second(x3)],
        [pool(x1, 4), pool(x2, 2), x3],
    ]
    mixed = []
    for i, row in enumerate(rows):
        fused = psa.fusions[i](torch.cat(row, 1))
        mixed.append(psa.mixes[i](up(psa.ups[i], psa.stacks[i](fused)) + bottleneck))
    fine = torch.cat(mixed, 1)

    def of(owner, x):
        three = (owner.class_head, owner.box_head, owner.direction_head)
        return [head(x).permute(0, 2, 3, 1).reshape(1, config.num_anchors, -1) for head in three]

    return of(net, coarse), of(psa, fine)


@pytest.mark.parametrize("num", [1, 60])
@pytest.mark.parametrize("changed", [{}, {"first_stride": 1, "range_m": (0.0, -4.0, -3.0, 20.0, 4.0, 1.0)}])
def test_the_forward_pass_is_the_released_one(changed, num):
    config = dataclasses.replace(TINY, **changed)
    net = lively(config)
    with torch.inference_mode():
        found, expected = net(*scene(config, num)), released(net, *scene(config, num))
    for ours, theirs in zip(found, expected, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert a.std() > 0.01
            np.testing.assert_allclose(a.numpy(), b.numpy(), atol=2e-4)


def test_an_empty_scene_has_logits_everywhere():
    with torch.inference_mode():
        found = lively(TINY)(*scene(TINY, 0))
    for heads_ in found:
        assert [tuple(h.shape) for h in heads_] == [(1, TINY.num_anchors, n) for n in (3, 7, 2)]
        assert all(torch.isfinite(h).all() for h in heads_)


def test_maps_have_the_sizes_of_the_source():
    """0.16 m, 496 x 432 cells: 248 x 216 locations, two anchors each; refine maps are as large as coarse maps."""
    narrow = dataclasses.replace(
        PRESETS["car_16"], pillar_channels=2, block_layers=(0, 0, 0), block_channels=(2, 2, 2), up_channels=(2, 2, 2)
    )
    assert narrow.head_grid == (248, 216)
    with torch.inference_mode():
        found = TANet(narrow).eval()(*scene(narrow, 5))
    for heads_ in found:
        assert [tuple(h.shape) for h in heads_] == [(1, 248 * 216 * 2, n) for n in (1, 7, 2)]


@pytest.mark.parametrize("training", [False, True])
def test_the_refine_stage_changes_no_bit_of_the_coarse_one(training):
    net = lively(TINY)
    bare = TANet(dataclasses.replace(TINY, cnn="coarse")).train(training)
    bare.load_state_dict({n: v for n, v in net.state_dict().items() if not n.startswith("psa.")})
    net.train(training)
    inputs = scene(TINY, 60)
    with torch.inference_mode(not training):
        whole, coarse, without = net(*inputs), net(*inputs, refine=False), bare(*inputs)
        net.coarse_only = True
        off = net(*inputs)
        net.coarse_only = False
        again = net(*inputs)
    assert coarse.refine is without.refine is off.refine is None and whole.refine is not None and again.refine is not None
    for other in (coarse, without, off, again):
        assert all(torch.equal(a, b) for a, b in zip(other.coarse, whole.coarse, strict=True))


def test_with_pointpillars_layer_the_coarse_stage_is_pointpillars():
    config = dataclasses.replace(TINY, pillar_net="pointnet", cnn="coarse")
    fields = {f.name: getattr(config, f.name) for f in dataclasses.fields(PointPillarsConfig)}
    net = lively(config)
    twin = PointPillars(PointPillarsConfig(**fields)).eval()
    twin.load_state_dict({n.replace("pillar_net.", "pillar_"): v for n, v in net.state_dict().items()})
    with torch.inference_mode():
        for ours, theirs in zip(net(*scene(TINY, 60)).coarse, twin(*scene(TINY, 60)), strict=True):
            np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-5)


def test_a_batch_is_its_scans():
    net = lively(TINY)
    scans = [scene(TINY, num, seed) for seed, num in enumerate((7, 0, 30))]
    joined = [torch.cat(parts) for parts in zip(*scans, strict=True)]
    with torch.inference_mode():
        together = net(*joined, torch.tensor([0] * 7 + [2] * 30), 3)
        for i, scan in enumerate(scans):
            for whole, alone in zip(together, net(*scan), strict=True):
                for a, b in zip(whole, alone, strict=True):
                    np.testing.assert_allclose(a[i].numpy(), b[0].numpy(), atol=1e-5)


@pytest.mark.parametrize("pillar_net", ["tanet", "pointnet", "gcn"])
def test_packed_pillars_are_the_same(pillar_net):
    net = lively(dataclasses.replace(TINY, pillar_net=pillar_net))
    pillars, counts, cells = scene(TINY, 60)
    with torch.inference_mode():
        whole, other = net(pillars, counts, cells), net(packed(pillars, counts), counts, cells)
        none = net(pillars[:0], counts[:0], cells[:0]), net(torch.zeros(0, 1, 4), counts[:0], cells[:0])
    for one, two in (whole, other), none:
        for a, b in zip(one.refine, two.refine, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-4)


def test_many_pillars_are_computed_in_parts(monkeypatch):
    net, inputs = lively(TINY), scene(TINY, 60)
    with torch.inference_mode():
        whole = net.pillar_net(*inputs)
        monkeypatch.setattr("operators.nets.tanet_padded._VALUES_AT_ONCE", 7 * 5 * 8)
        np.testing.assert_allclose(net.pillar_net(*inputs).numpy(), whole.numpy(), atol=1e-5)


@pytest.mark.parametrize("pillar_net", ["tanet", "pointnet", "gcn"])
def test_training_reaches_every_parameter_and_takes_bfloat16(pillar_net):
    torch.manual_seed(0)
    net = TANet(dataclasses.replace(TINY, pillar_net=pillar_net)).train()
    with torch.autocast("cpu", torch.bfloat16):
        found = net(*scene(TINY, 60), torch.tensor([0] * 30 + [1] * 30), 2)
        sum((h.float() ** 2).mean() for heads_ in found for h in heads_).backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
