"""EfficientPS and PanopticTrackNet: parameters counted layer by layer, sizes of all maps, heads, what is found in a picture."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from operators.nets.activated import Activated, Separable, fold, num_parameters  # noqa: E402
from operators.nets.efficientnet import EfficientNet, tap_channels  # noqa: E402
from operators.nets.efficientps import EfficientPS, FindConfig, chosen  # noqa: E402
from operators.nets.efficientps_config import EfficientPSConfig  # noqa: E402
from operators.nets.efficientps_scales import SCALES, at_scales  # noqa: E402
from operators.nets.fpn2way import TwoWayFpn  # noqa: E402
from operators.nets.instance_head import MaskHead, TrackingHead, mask_pooled  # noqa: E402
from operators.nets.region_proposals import ProposalConfig  # noqa: E402
from operators.nets.semantic_head import Dpc, Lsfe, Mc  # noqa: E402


def config(stuff, things, **keys):
    counted = tuple(f"thing{k}" for k in range(things))
    return EfficientPSConfig((*(f"stuff{k}" for k in range(stuff)), *counted), counted, **keys)


LIGHT = {"width": 0.25, "depth": 0.3, "channels": 16, "semantic_channels": 8, "hidden": 32, "anchor_scale": 4.0}
LIGHT["image_size"] = (96, 64)


def light(stuff=2, things=2, **keys):
    torch.manual_seed(3)
    return EfficientPS(config(stuff, things, **{**LIGHT, **keys})).eval()


def picture(height=64, width=96, seed=1):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 255, (1, height, width, 3), dtype=np.uint8))


# ---- parameters, derived


def norm(channels):
    return 2 * channels


def separable(inputs, outputs):
    return 9 * inputs + inputs * outputs + norm(outputs)


def standard(inputs, outputs):
    return 9 * inputs * outputs + norm(outputs)


def backbone():
    """EfficientNet-B5: B0's table with 1.6 times the channels, in multiples of 8, and 2.2 times the blocks."""
    stages = [(1, 24, 3, 3), (6, 40, 3, 5), (6, 64, 5, 5), (6, 128, 3, 7), (6, 176, 5, 7), (6, 304, 5, 9), (6, 512, 3, 3)]
    total, before = 3 * 48 * 9 + norm(48), 48
    for expansion, channels, kernel, blocks in stages:
        for _ in range(blocks):
            inner = before * expansion
            total += before * inner + norm(inner) if expansion > 1 else 0
            total += inner * kernel**2 + norm(inner) + inner * channels + norm(channels)
            before = channels
    return total + before * 2048 + norm(2048)


def panoptic_net(stuff, things, conv):
    pyramid = sum(2 * (c * 256 + norm(256)) for c in (40, 64, 176, 2048)) + 4 * conv(256, 256)
    dpc = 5 * separable(256, 256) + 1280 * 128 + norm(128)
    semantic = 2 * dpc + 2 * 53_120 + 2 * 35_584 + (512 + 1) * (stuff + things)
    rpn = standard(256, 256) + (256 + 1) * 5 * 3
    boxes = 49 * 256 * 1024 + norm(1024) + 1024 * 1024 + norm(1024) + (1024 + 1) * (5 * things + 1)
    masks = 4 * conv(256, 256) + 256 * 256 * 4 + 256 + norm(256) + (256 + 1) * things
    return backbone() + pyramid + semantic + rpn + boxes + masks


def on_paper(**keys):
    with torch.device("meta"):
        return EfficientPS(config(**keys))


def test_efficientps_has_the_parameters_of_the_paper():
    assert backbone() == pytest.approx(23.15e6, abs=5e3)
    counted = num_parameters(on_paper(stuff=11, things=8))
    assert counted == panoptic_net(11, 8, separable)
    assert counted == pytest.approx(40.89e6, abs=0.05e6)
    # the report's other checks: a separable RPN, standard convolutions in the pyramid
    assert num_parameters(on_paper(stuff=11, things=8, rpn_layout="separable")) == pytest.approx(40.37e6, abs=0.01e6)


@pytest.mark.parametrize(("things", "millions"), [(3, 45.084), (8, 45.134)])
def test_panoptic_track_net_has_the_parameters_of_the_paper(things, millions):
    net = on_paper(stuff=11, things=things, layout="standard", embedding=32)
    assert num_parameters(net.looks) == 32_896 + 4_128 * things
    assert num_parameters(net) == panoptic_net(11, things, standard) + 32_896 + 4_128 * things
    assert num_parameters(net) == pytest.approx(1e6 * millions, rel=1e-3)


def test_separable_convolutions_of_the_masks_save_2_087_936():
    heads = [MaskHead(256, 8, layout).convolutions for layout in ("standard", "separable")]
    assert num_parameters(heads[0]) - num_parameters(heads[1]) == 2_087_936


def test_parts_of_the_semantic_head():
    assert num_parameters(Lsfe(256, 128)) == separable(256, 128) + separable(128, 128) == 53_120
    assert num_parameters(Mc(128)) == 2 * separable(128, 128) == 35_584


# ---- sizes


def test_taps_of_the_backbone():
    assert tap_channels(1.6) == (40, 64, 176, 2048)
    maps = EfficientNet(0.25, 0.3).eval()(torch.zeros(1, 3, 64, 96))
    assert [tuple(m.shape) for m in maps] == [
        (1, channels, 64 // stride, 96 // stride) for channels, stride in zip(tap_channels(0.25), (4, 8, 16, 32), strict=True)
    ]


@pytest.mark.parametrize(("height", "width"), [(2, 3), (4, 4), (7, 40)])
def test_dpc_keeps_the_size_and_joins_five_branches(height, width):
    dpc = Dpc(16, 8).eval()
    assert dpc(torch.zeros(1, 16, height, width)).shape == (1, 8, height, width)
    assert Dpc(256, 128).join.conv.in_channels == 1280


def test_mc_doubles():
    assert Mc(8).eval()(torch.zeros(1, 8, 3, 5)).shape == (1, 8, 6, 10)


def test_a_pyramid_without_one_way_is_the_usual_pyramid():
    torch.manual_seed(0)
    net, maps = TwoWayFpn((4, 5, 6, 7), 8, "separable").eval(), []
    for level, channels in enumerate((4, 5, 6, 7)):
        maps.append(torch.randn(1, channels, 16 >> level, 24 >> level))
    both = net(maps)
    assert [tuple(m.shape) for m in both] == [(1, 8, 16 >> k, 24 >> k) for k in range(4)]
    for side in net.up:
        torch.nn.init.zeros_(side.conv.weight)
    sides = [side(x) for side, x in zip(net.down, maps, strict=True)]
    for level in (2, 1, 0):
        sides[level] = sides[level] + torch.repeat_interleave(torch.repeat_interleave(sides[level + 1], 2, 2), 2, 3)
    one = net(maps)
    for made, out, side in zip(one, net.out, sides, strict=True):
        torch.testing.assert_close(made, out(side))
    assert not torch.allclose(one[3], both[3])
    for side in net.down:
        torch.nn.init.zeros_(side.conv.weight)
    assert net(maps)[0].abs().max() == 0


def test_iabn_is_batch_norm_and_leaky_relu():
    conv = Activated(1, 1)
    torch.nn.init.ones_(conv.conv.weight)
    x = torch.tensor([-3.0, -1, 1, 3]).reshape(1, 1, 2, 2)
    expected = x / np.sqrt(5 + 1e-5)
    torch.testing.assert_close(conv(x), torch.where(expected < 0, 0.01 * expected, expected))


def test_folded_norms_change_nothing():
    net = Separable(4, 6).eval()
    net.pointwise.norm.running_mean.uniform_(-1, 1)
    net.pointwise.norm.running_var.uniform_(0.5, 2)
    x = torch.randn(1, 4, 5, 5)
    before = net(x)
    fold(net)
    torch.testing.assert_close(net(x), before)
    assert isinstance(net.pointwise.norm, torch.nn.Identity)


# ---- tracking head


def test_tracking_head_looks_at_the_pixels_of_the_mask():
    head, regions, things = TrackingHead(256, 3, 32), torch.randn(5, 256, 14, 14), torch.tensor([0, 1, 2, 0, 1])
    every = head(regions, torch.ones(5, 28, 28))
    assert every.shape == (5, 96) and head.of_things(every, things).shape == (5, 32)
    torch.testing.assert_close(head.of_things(every, things)[1], every[1, 32:64])
    torch.testing.assert_close(mask_pooled(regions, torch.ones(5, 28, 28)), regions.mean((2, 3)))
    torch.testing.assert_close(mask_pooled(regions, -torch.ones(5, 28, 28)), regions.mean((2, 3)))  # empty
    one = torch.full((5, 28, 28), -1.0)
    one[:, 6, 9] = 1  # one cell of four is enough: maximum over 2 x 2
    torch.testing.assert_close(mask_pooled(regions, one), regions[:, :, 3, 4])


# ---- a picture


def test_a_picture_gives_logits_of_its_size_and_instances_best_first():
    net = light(embedding=4)
    with torch.inference_mode():
        semantic, (found,) = net(picture(), FindConfig(0.0, 7, 0.5, ProposalConfig(50, 20)))
    assert semantic.shape == (1, 4, 64, 96)
    assert found.boxes.shape == (7, 4) and found.masks.shape == (7, 28, 28) and found.embeddings.shape == (7, 4)
    assert (found.scores.diff() <= 0).all() and found.things.max() < 2
    assert (found.boxes >= 0).all() and (found.boxes[:, 2] <= 96).all() and (found.boxes[:, 3] <= 64).all()


def test_no_instance_is_an_ordinary_picture():
    with torch.inference_mode():
        semantic, (found,) = light(embedding=4)(picture(), FindConfig(1.1))
    assert semantic.shape == (1, 4, 64, 96)
    assert [tuple(t.shape) for t in found] == [(0, 4), (0,), (0,), (0, 28, 28), (0, 4)]


def test_no_tracking_head_no_embeddings():
    with torch.inference_mode():
        _, (found,) = light()(picture(), FindConfig(0.0, 3, 0.5, ProposalConfig(50, 20)))
    assert found.embeddings.shape == (3, 0)


def test_chosen_suppresses_within_a_class():
    regions = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [30, 30, 40, 40]])
    probabilities = torch.tensor([[0.9, 0.05, 0.05], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7]])
    boxes, scores, things = chosen(regions, probabilities, torch.zeros(3, 2, 4), 64, 96, FindConfig(0.15))
    assert list(zip(scores.tolist(), things.tolist(), strict=True)) == [
        (pytest.approx(0.9), 0), (pytest.approx(0.3), 1), (pytest.approx(0.2), 1),
    ]  # fmt: skip
    assert boxes[1].tolist() == [1, 0, 11, 10]


# ---- several scales


@torch.inference_mode()
def test_one_scale_is_the_net_itself():
    net, find = light(embedding=4), FindConfig(0.0, 5, 0.5, ProposalConfig(50, 20))
    semantic, (found,) = net(picture(), find)
    again, same = at_scales(net, picture(), (1.0,), False, find)
    assert torch.equal(semantic, again)
    for a, b in zip(found, same, strict=True):
        torch.testing.assert_close(a, b)


@torch.inference_mode()
def test_a_mirrored_picture_gives_the_mirrored_answer():
    """With both copies the answer has no left and right of its own."""
    net, find = light(embedding=4), FindConfig(0.0, 5, 0.5, ProposalConfig(50, 20))
    semantic, found = at_scales(net, picture(), (1.0,), True, find)
    other, turned = at_scales(net, picture().flip(2), (1.0,), True, find)
    torch.testing.assert_close(other.flip(3), semantic, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(turned.scores, found.scores, atol=1e-5, rtol=1e-4)
    x1, y1, x2, y2 = turned.boxes.T
    torch.testing.assert_close(torch.stack([96 - x2, y1, 96 - x1, y2], 1), found.boxes, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(turned.masks.flip(2), found.masks, atol=1e-3, rtol=1e-3)


@torch.inference_mode()
def test_six_scales_and_their_mirrors():
    net = light()
    semantic, found = at_scales(net, picture(), SCALES, True, FindConfig(0.0, 4, 0.5, ProposalConfig(20, 10)))
    assert semantic.shape == (1, 4, 64, 96) and found.masks.shape == (4, 28, 28)


# ---- config


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"class_names": ()}, "class_names: needs one or more different names, got none"),
        ({"things": ("Car", "Car")}, "things: needs one or more different names"),
        ({"things": ("Bus",)}, r"things: needs names of class_names \(road, Car\), got Bus"),
        ({"image_size": (100, 64)}, "image_size: needs multiples of 32 up to 8192 pixels, got"),
        ({"width": 0}, "width: needs 0.1..4, got 0"),
        ({"embedding": -1}, "embedding: needs 0..2048, got -1"),
        ({"anchor_ratios": (0.0,)}, "anchor_ratios: needs 1 to 16 numbers above 0"),
        ({"whole_px": 0}, "whole_px: needs more than 0, got 0"),
    ],
)
def test_wrong_configs(keys, message):
    with pytest.raises(ValueError, match=message):
        EfficientPSConfig(**{"class_names": ("road", "Car"), "things": ("Car",), **keys})
