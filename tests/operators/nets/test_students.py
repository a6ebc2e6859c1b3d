"""Students of Table 25: their layers, and their number of parameters by hand for a small teacher."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from operators.nets.pointpillars_config import CAR  # noqa: E402
from operators.nets.students import Inverted, Separable, layer  # noqa: E402
from operators.nets.students_config import REDUCTIONS, Cnn, reduce  # noqa: E402
from operators.nets.tanet import TANet  # noqa: E402
from operators.nets.tanet_config import PRESETS, TANetConfig  # noqa: E402
from operators.nets.tanet_shapes import tensor_shapes  # noqa: E402
from pillar_nets import liven, scene  # noqa: E402

SMALL = TANetConfig(
    cell_m=(1.0, 0.5), range_m=(0.0, -4.0, -3.0, 16.0, 4.0, 1.0), max_points=4, pillar_channels=16, block_layers=(1, 2, 3),
    block_channels=(16, 32, 32), up_channels=(16, 16, 16), reduced_channels=16, anchors=(CAR,), pillar_net="pointnet",
)  # fmt: skip
TEACHER = ((3, 5, 5), (64, 128, 256), (128, 128, 128), 32)


@pytest.mark.parametrize(
    ("name", "cnn"),
    [
        ("tanet", Cnn("plain", (3, 5, 5), (64, 128, 256), (128,) * 3, 32, True)),
        ("coarse", Cnn("plain", (3, 5, 5), (64, 128, 256), (128,) * 3, 32, False)),
        ("crop1", Cnn("plain", (2, 3, 3), (64, 128, 256), (128,) * 3, 32, True)),
        ("filter1", Cnn("plain", (3, 5, 5), (48, 96, 192), (96,) * 3, 24, True)),
        ("filter2", Cnn("plain", (3, 5, 5), (32, 64, 128), (64,) * 3, 16, True)),
        ("crop1+filter1", Cnn("plain", (2, 3, 3), (48, 96, 192), (96,) * 3, 24, True)),
        ("crop1+filter2", Cnn("plain", (2, 3, 3), (32, 64, 128), (64,) * 3, 16, True)),
        ("mobile", Cnn("separable", (3, 5, 5), (64, 128, 256), (128,) * 3, 32, True)),
        ("mobileV2", Cnn("inverted", (3, 5, 5), (64, 128, 256), (128,) * 3, 32, True)),
        ("mobile+crop1", Cnn("separable", (2, 3, 3), (64, 128, 256), (128,) * 3, 32, True)),
        ("full-mobile1", Cnn("separable", (3, 5, 5), (64, 128, 256), (128,) * 3, 32, False)),
        ("full-mobile2", Cnn("separable", (3, 5, 5), (48, 96, 192), (96,) * 3, 24, False)),
        ("full-mobileV2", Cnn("inverted", (3, 5, 5), (64, 128, 256), (128,) * 3, 32, False)),
    ],
)
def test_what_each_reduction_means(name, cnn):
    assert reduce(name, *TEACHER) == cnn


def test_every_student_is_in_the_table_above():
    assert len(REDUCTIONS) == 13


def test_no_student_is_wider_than_its_teacher():
    narrow = reduce("filter2", (0,), (4,), (12,), 2)
    assert (narrow.channels, narrow.ups, narrow.reduced, narrow.layers) == ((4,), (8,), 2, (0,))


# ---- parameters by hand; norm: 2 per channel, heads of one class: 2 * (1 + 7 + 2) = 20 outputs


def plain(before, channels):
    return 9 * before * channels + 2 * channels


def separable(before, channels):
    return 9 * before + 2 * before + before * channels + 2 * channels


def inverted(before, channels):
    wide = 2 * before
    return before * wide + 2 * wide + 9 * wide + 2 * wide + wide * channels + 2 * channels


def ups(channels, up):
    return sum(before * up * 4**i + 2 * up for i, before in enumerate(channels))


def blocks(convolution, layers, channels):
    total, before = 0, 16
    for b, (num, width) in enumerate(zip(layers, channels, strict=True)):
        first = plain if b == 0 else convolution
        total += first(before, width) + num * convolution(width, width)
        before = width
    return total


def refine(channels, up, reduced):
    c1, c2, c3 = channels
    fusions = (2 * c1 + 1) * c1 + (c1 + c2 + c2 // 2 + 1) * c2 + (c1 + c2 + c3 + 1) * c3
    finer = 4 * c2 * c1 // 2 + 4 * c3 * c2 // 2 + 16 * c3 * c1 // 2
    stacks = plain(c1, reduced) + plain(reduced, reduced) + plain(reduced, c1)
    stacks += plain(c2, reduced) + plain(reduced, c2)
    stacks += c3 * reduced + 2 * reduced + plain(reduced, c3)
    return (3 * up + 1) * up + finer + fusions + stacks + ups(channels, up) + 3 * (9 * up + 1) * up + (3 * up + 1) * 20


def student(convolution, layers, channels, up, reduced=None):
    """With PointPillars' layer, 9 features to 16 channels."""
    total = 9 * 16 + 2 * 16 + blocks(convolution, layers, channels) + ups(channels, up) + (3 * up + 1) * 20
    return total + (refine(channels, up, reduced) if reduced else 0)


WIDE, THREE_QUARTERS, HALF = (16, 32, 32), (16, 24, 24), (8, 16, 16)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("tanet", student(plain, (1, 2, 3), WIDE, 16, 16)),
        ("coarse", student(plain, (1, 2, 3), WIDE, 16)),
        ("crop1", student(plain, (1, 1, 2), WIDE, 16, 16)),
        ("filter1", student(plain, (1, 2, 3), THREE_QUARTERS, 16, 16)),
        ("filter2", student(plain, (1, 2, 3), HALF, 8, 8)),
        ("crop1+filter1", student(plain, (1, 1, 2), THREE_QUARTERS, 16, 16)),
        ("crop1+filter2", student(plain, (1, 1, 2), HALF, 8, 8)),
        ("mobile", student(separable, (1, 2, 3), WIDE, 16, 16)),
        ("mobileV2", student(inverted, (1, 2, 3), WIDE, 16, 16)),
        ("mobile+crop1", student(separable, (1, 1, 2), WIDE, 16, 16)),
        ("full-mobile1", student(separable, (1, 2, 3), WIDE, 16)),
        ("full-mobile2", student(separable, (1, 2, 3), THREE_QUARTERS, 16)),
        ("full-mobileV2", student(inverted, (1, 2, 3), WIDE, 16)),
    ],
)
def test_parameters_by_hand_shapes_and_outputs(name, parameters):
    config = dataclasses.replace(SMALL, cnn=name)
    torch.manual_seed(0)
    net = TANet(config)
    assert sum(p.numel() for p in net.parameters()) == parameters
    state = net.state_dict()
    assert list(tensor_shapes(config).items()) == [(n, tuple(v.shape)) for n, v in state.items() if "num_batches" not in n]
    with torch.inference_mode():
        found = liven(net)(*scene(config, 30))
    assert (found.refine is not None) == REDUCTIONS[name].refine
    for heads in found:
        assert heads is None or [tuple(h.shape) for h in heads] == [(1, config.num_anchors, n) for n in (1, 7, 2)]


def parameters_of(name):
    shapes = tensor_shapes(dataclasses.replace(PRESETS["car_32_half"], cnn=name))
    return sum(int(np.prod(shape)) for tensor, shape in shapes.items() if "running" not in tensor)


def test_students_are_smaller_than_the_bench_teacher():
    teacher = parameters_of("tanet")
    for name in REDUCTIONS:
        assert name == "tanet" or parameters_of(name) < teacher, name


def test_every_parameter_of_a_student_learns():
    for name in ("mobileV2", "full-mobile1"):
        torch.manual_seed(0)
        net = TANet(dataclasses.replace(SMALL, cnn=name)).train()
        sum((h**2).mean() for heads in net(*scene(SMALL, 60)) if heads for h in heads).backward()
        assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


# ---- layers


def test_a_separable_layer_is_depthwise_then_pointwise():
    torch.manual_seed(0)
    net, x = liven(Separable(3, 5, 2)), torch.randn(2, 3, 8, 6)
    with torch.inference_mode():
        each = [torch.conv2d(x[:, c : c + 1], net.depth.conv.weight[c : c + 1], stride=2, padding=1) for c in range(3)]
        expected = net.point.norm(net.point.conv(net.depth.norm(torch.cat(each, 1)).relu())).relu()
        assert net(x).shape == (2, 5, 4, 3)
        np.testing.assert_allclose(net(x).numpy(), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize(("channels", "stride", "residual"), [(4, 1, True), (4, 2, False), (6, 1, False)])
def test_an_inverted_residual_adds_its_input_where_it_can(channels, stride, residual):
    torch.manual_seed(0)
    net, x = liven(Inverted(4, channels, stride)), torch.randn(2, 4, 8, 6)
    with torch.inference_mode():
        inner = net.depth(net.expand(x))
        expected = net.project.norm(net.project.conv(inner)) + (x if residual else 0)
        assert inner.shape[1] == 8 and expected.min() < 0, "no ReLU at the end"
        np.testing.assert_allclose(net(x).numpy(), expected.numpy(), atol=1e-5)


def test_a_plain_layer_is_that_of_pointpillars():
    assert [tuple(p.shape) for p in layer("plain", 4, 6, 2).parameters()] == [(6, 4, 3, 3), (6,), (6,)]
