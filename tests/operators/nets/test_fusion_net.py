"""The net of fuse.gate: shapes, what an absent modality costs, the ResNet-50 variant by its parts."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from operators.nets.fusion_backbones import Light, ResNet50, fold  # noqa: E402
from operators.nets.fusion_config import REPORT, FusionNetConfig  # noqa: E402
from operators.nets.fusion_net import FusionNet, corners, num_parameters  # noqa: E402
from operators.nets.fusion_transformer import Attention, DeformableAttention, sine_position  # noqa: E402

TINY = FusionNetConfig(
    image_size=(128, 96),
    stage_channels=(4, 8, 8, 16, 16),
    map_channels=32,
    queries=10,
    hidden=32,
    feedforward=32,
    decoder_layers=2,
    key_pool=2,
)
SCHEMES = ("scalar_average", "scalar_concat", "mask_average", "mask_concat", "selective")


def net_of(config=TINY, seed=0):
    torch.manual_seed(seed)
    return FusionNet(config).eval()


def pictures(config=TINY, batch=2, seed=0):
    torch.manual_seed(seed)
    width, height = config.image_size
    return [
        torch.randint(0, 256, (batch, height, width, 3), dtype=torch.uint8),
        torch.randint(0, 256, (batch, height, width), dtype=torch.uint8),
    ]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("decoder", ["dense", "deformable"])
def test_queries_classes_and_boxes(scheme, decoder):
    config = replace(TINY, scheme=scheme, decoder=decoder)
    with torch.no_grad():
        found, fused = net_of(config)(pictures())
    assert found.logits.shape == (2, 2, 10, 4) and found.boxes.shape == (2, 2, 10, 4)
    assert (found.boxes >= 0).all() and (found.boxes <= 1).all()
    assert torch.isfinite(found.logits).all()
    assert fused.features.shape == (2, 32, *config.grid)
    assert (found.cell_logits is None) == (decoder == "dense")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_black_pictures_give_numbers(scheme):
    config = replace(TINY, scheme=scheme)
    for made in (net_of(config), net_of(config).train()):
        found, fused = made([pictures()[0], torch.zeros_like(pictures()[1])])
        assert torch.isfinite(found.logits).all() and torch.isfinite(found.boxes).all() and torch.isfinite(fused.shares).all()
        (found.logits.sum() + found.boxes.sum()).backward()
        assert all(torch.isfinite(p.grad).all() for p in made.parameters() if p.grad is not None)


def test_an_absent_modality_computes_nothing():
    net, (image, thermal) = net_of(), pictures()
    calls = []
    for name, backbone in zip(TINY.modalities, net.backbones, strict=True):
        backbone.register_forward_hook(lambda *_, name=name: calls.append(name))
    for weight, name in zip(net.fusion.weights, TINY.modalities, strict=True):
        weight.register_forward_hook(lambda *_, name=name: calls.append(f"weight of {name}"))
    net([image, None])
    assert calls == ["image", "weight of image"]
    calls.clear()
    net([None, thermal])
    assert calls == ["thermal", "weight of thermal"]


def test_folded_norms_change_nothing():
    net = net_of().train()
    for _ in range(3):
        net(pictures())  # batch statistics that are not 0 and 1
    net.eval()
    with torch.no_grad():
        before = net(pictures())[0]
        fold(net)
        after = net(pictures())[0]
    torch.testing.assert_close(before.logits, after.logits, rtol=1e-3, atol=1e-3)


def test_corners():
    boxes = torch.tensor([[0.5, 0.5, 0.2, 0.4], [0.1, 0.1, 0.1, 0.1]])
    torch.testing.assert_close(corners(boxes), torch.tensor([[0.4, 0.3, 0.6, 0.7], [0.05, 0.05, 0.15, 0.15]]))


def test_queries_know_their_cells():
    with torch.no_grad():
        found, _ = net_of()(pictures())
    best = found.cell_logits.amax(2).argsort(1, descending=True)[:, : found.cells.shape[1]]
    assert found.cells.tolist() == best.tolist()
    assert found.cells.shape == found.logits.shape[1:3]


def test_sine_positions():
    """The first half tells the row, the second the column; all places differ."""
    at = sine_position(4, 6, 16)
    assert at.shape == (16, 4, 6)
    assert torch.equal(at[:8, 1, 0], at[:8, 1, 5]) and torch.equal(at[8:, 0, 2], at[8:, 3, 2])
    assert len({tuple(v) for v in at.flatten(1).t().tolist()}) == 24
    torch.testing.assert_close(at[0, 0, 0], torch.tensor(2 * torch.pi / 4).sin())


def test_attention_is_torchs_own():
    torch.manual_seed(0)
    ours, theirs = Attention(16, 4), torch.nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([layer.weight for layer in (ours.query, ours.key, ours.value)]))
        theirs.in_proj_bias.copy_(torch.cat([layer.bias for layer in (ours.query, ours.key, ours.value)]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    q, k, v = torch.randn(2, 3, 16), torch.randn(2, 5, 16), torch.randn(2, 5, 16)
    torch.testing.assert_close(ours(q, k, v), theirs(q, k, v)[0])


def test_deformable_attention_reads_at_its_box():
    """One head, one point, offset 0: the bilinear value at the box's centre."""
    cross = DeformableAttention(4, 1, 1)
    with torch.no_grad():
        cross.offsets.bias.zero_()
        for layer in (cross.value, cross.out):
            layer.weight.copy_(torch.eye(4).view(layer.weight.shape))
            layer.bias.zero_()
    memory = torch.arange(4 * 3 * 5, dtype=torch.float32).view(1, 4, 3, 5)
    centre = torch.tensor([[[2.5 / 5, 1.5 / 3, 0.4, 0.4], [3.0 / 5, 1.5 / 3, 0.1, 0.1]]])
    got = cross(torch.zeros(1, 2, 4), centre, memory)
    torch.testing.assert_close(got[0, 0], memory[0, :, 1, 2])
    torch.testing.assert_close(got[0, 1], memory[0, :, 1, 2:4].mean(1))


# ---- sizes


def test_resnet50_layer_by_layer():
    """Parameters from the table of the paper: convolutions without bias, two numbers of batch norm per channel."""

    def conv(inputs, outputs, kernel):
        return inputs * outputs * kernel**2 + 2 * outputs

    expected, width = conv(3, 64, 7), 64
    for blocks, channels in ((3, 64), (4, 128), (6, 256), (3, 512)):
        for k in range(blocks):
            expected += conv(width, channels, 1) + conv(channels, channels, 3) + conv(channels, 4 * channels, 1)
            expected += conv(width, 4 * channels, 1) if k == 0 else 0
            width = 4 * channels
    net = ResNet50(3)
    assert num_parameters(net) == expected == 23_508_032
    assert len([m for m in net.modules() if isinstance(m, torch.nn.Conv2d)]) == 53
    with torch.no_grad():
        assert net(torch.zeros(1, 3, 64, 96)).shape == (1, 2048, 2, 3)


def test_the_reports_net():
    config = replace(REPORT, image_size=(96, 64), encoder_layers=1, decoder_layers=1)
    assert (config.channels, config.stride, config.grid) == (2048, 32, (2, 3))
    net = net_of(config)
    with torch.no_grad():
        found, fused = net(pictures(config, batch=1))
    assert fused.features.shape == (1, 2048, 2, 3) and found.logits.shape == (1, 1, 100, 4)
    assert [layer.weight.shape for layer in net.fusion.reduce] == [(1024, 2048, 1, 1)] * 2
    shapes = [net.fusion.weights[0].first.weight.shape, net.fusion.weights[0].second.weight.shape]
    assert shapes == [(1024, 2048, 1, 1), (256, 1024, 1, 1)]


def test_the_reports_net_has_so_many_parameters():
    hidden, wide, c = 256, 2048, 2048
    attention, norm = 4 * (hidden**2 + hidden), 2 * hidden
    feed = 2 * hidden * wide + hidden + wide
    weight = (c * c // 2 + c // 2) + (c // 2 * c // 8 + c // 8) + (c // 8 + 1) + 257
    expected = 2 * 23_508_032 + 2 * weight + 2 * (c * c // 2 + c // 2) + (c * hidden + hidden) + norm
    expected += 6 * (attention + feed + 2 * norm) + 6 * (2 * attention + feed + 3 * norm)
    expected += 100 * hidden + (hidden * 4 + 4) + 2 * (hidden**2 + hidden) + (hidden * 4 + 4)
    with torch.device("meta"):
        assert num_parameters(FusionNet(REPORT)) == expected


def test_the_light_net_is_small():
    net = FusionNet(FusionNetConfig())
    assert 2 * num_parameters(net) < 12e6, "bytes in fp16"
    assert num_parameters(net.backbones[1]) < num_parameters(net.backbones[0]), "one channel in, not three"
    for stride in (4, 8, 16, 32):
        with torch.no_grad():
            made = Light(1, (4, 8, 8, 8, 8), 16, stride)(torch.zeros(1, 1, 64, 96))
        assert made.shape == (1, 16, 64 // stride, 96 // stride)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"modalities": ()}, r"^modalities: needs one or two of image, thermal, depth, got none$"),
        ({"modalities": ("thermal", "image")}, r"^modalities: needs image first, then thermal or depth, got thermal, image$"),
        ({"modalities": ("radar",)}, r"^modalities: needs one or two of image, thermal, depth, got radar$"),
        ({"class_names": ("Cat",)}, r"^class_names: needs names of Car, .*, got Cat$"),
        ({"image_size": (100, 96)}, r"^image_size: needs multiples of 32, the coarsest stride, up to 2048, got \[100, 96\]$"),
        ({"map_channels": 7}, r"^map_channels: needs an even number, half of it per modality, got 7$"),
        ({"map_stride": 12}, r"^map_stride: needs a stride of stage_channels, 4 to 32, got 12$"),
        ({"hidden": 30}, r"^hidden: needs a multiple of 4 and of heads \(4\), got 30$"),
        ({"key_pool": 5}, r"^key_pool: needs a divisor of the map's 6 rows and 8 columns, got 5$"),
        ({"queries": 49}, r"^queries: needs at most the map's 48 cells, got 49$"),
        ({"tau": 0.0}, r"^tau: needs more than 0, at most 1000, got 0.0$"),
        ({"stage_channels": (8,)}, r"^stage_channels: needs 3 to 6 numbers of 1 to 4096, got \[8\]$"),
        ({"queries": 0}, r"^queries: needs 1..1024, got 0$"),
        ({"encoder_layers": 99}, r"^encoder_layers: needs 0..12, got 99$"),
    ],
)
def test_wrong_configs(changed, message):
    with pytest.raises(ValueError, match=message):
        replace(TINY, **changed)
