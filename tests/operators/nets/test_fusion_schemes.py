"""The five fusion schemes at the level of their equations (D2.3)."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from operators.nets.fusion_config import FusionNetConfig  # noqa: E402
from operators.nets.fusion_schemes import Fusion, MaskWeight, PooledWeight, ReleasedWeight, gumbel_softmax  # noqa: E402

SCHEMES = ("scalar_average", "scalar_concat", "mask_average", "mask_concat", "selective")
C, ROWS, COLUMNS = 32, 3, 5
BOTH = torch.tensor([[True, True]] * 2)


def fusion(scheme, **changed):
    torch.manual_seed(1)
    return Fusion(FusionNetConfig(scheme=scheme, map_channels=C, **changed)).eval()


def maps(seed=0):
    torch.manual_seed(seed)
    return [torch.rand(2, C, ROWS, COLUMNS), torch.rand(2, C, ROWS, COLUMNS)]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_shapes_and_shares(scheme):
    """Average: C channels; concat: C/2 of each. One weight per picture, or one per cell for all channels."""
    net, s = fusion(scheme), maps()
    got = net(s)
    assert got.features.shape == (2, C, ROWS, COLUMNS) and net.channels == C
    assert got.shares.shape == ((2, 2, 1, 1) if scheme.startswith("scalar") else (2, 2, ROWS, COLUMNS))
    torch.testing.assert_close(got.shares.sum(1), torch.ones_like(got.shares[:, 0]))
    assert (got.shares >= 0).all()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_equation(scheme):
    net, s = fusion(scheme), maps()
    got = net(s)
    w = [got.shares[:, m : m + 1] for m in range(2)]
    if scheme.endswith("average"):  # mean(w s), w = share times the number of modalities
        expected = torch.stack([2 * w[m] * s[m] for m in range(2)]).mean(0)
    else:
        r = [net.reduce[m](s[m]) for m in range(2)]
        e = [x.softmax(3) for x in r] if scheme == "selective" else w  # along the width, no noise
        expected = torch.cat([e[m] * r[m] for m in range(2)], 1)
    torch.testing.assert_close(got.features, expected)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("alone", [0, 1])
def test_an_absent_modality_leaves_the_other_path_exactly(scheme, alone):
    net, s = fusion(scheme), maps()
    here = [x if m == alone else None for m, x in enumerate(s)]
    got = net(here)
    masked = net.combine(net.parts(s), torch.tensor([[m == alone for m in range(2)]] * 2))
    assert torch.equal(got.features, masked.features) and torch.equal(got.shares[:, alone], torch.ones_like(got.shares[:, 0]))
    assert torch.equal(got.shares, masked.shares.expand_as(got.shares))
    own = s[alone] if scheme.endswith("average") else net.reduce[alone](s[alone])
    if scheme == "selective":
        own = own * own.softmax(3)
    part = got.features if scheme.endswith("average") else got.features[:, alone * C // 2 : (alone + 1) * C // 2]
    torch.testing.assert_close(part, own, rtol=1e-5 if scheme == "selective" else 0, atol=1e-7 if scheme == "selective" else 0)
    if scheme.endswith("concat") or scheme == "selective":
        rest = got.features[:, (1 - alone) * C // 2 : (2 - alone) * C // 2]
        assert torch.equal(rest, torch.zeros_like(rest))


def test_a_share_of_one_is_the_single_path():
    """In the limit the gate can reach what one modality alone gives."""
    for scheme in SCHEMES[:4]:
        net, s = fusion(scheme), maps()
        parts = net.parts(s)
        sure = parts._replace(values=torch.tensor([0.0, 200.0])[None, :, None, None].expand_as(parts.values))
        torch.testing.assert_close(net.combine(sure, BOTH).features, net([None, s[1]]).features)


def test_a_modality_of_its_own_has_share_one_and_its_own_half():
    for scheme in SCHEMES:
        net = fusion(scheme, modalities=("thermal",))
        got = net(maps()[:1])
        assert torch.equal(got.shares, torch.ones_like(got.shares))
        assert got.features.shape[1] == net.channels == (C if scheme.endswith("average") else C // 2)


def test_each_weight_net_sees_its_own_modality_only():
    for scheme in SCHEMES[:4]:
        net, (a, b) = fusion(scheme), maps()
        first, second = net.parts([a, b]).values, net.parts([a, torch.zeros_like(b)]).values
        assert torch.equal(first[:, 0], second[:, 0]) and not torch.equal(first[:, 1], second[:, 1])


def test_weight_nets_by_shape():
    s = torch.rand(2, 64, 5, 4)
    assert PooledWeight(64)(s).shape == ReleasedWeight(64)(s).shape == (2, 1, 1, 1)
    assert MaskWeight(64)(s).shape == (2, 1, 5, 4)


def test_the_released_weight_net_step_by_step():
    """1x1 to C/2, ReLU, 1x1 to C/8, ReLU, pool 16 x 16, 1x1 to 1, ReLU, 256 -> 1, ReLU, times the mean of 16 channels."""
    torch.manual_seed(0)
    net, s = ReleasedWeight(64), torch.rand(2, 64, 16, 16)
    x = torch.einsum("oc,bchw->bohw", net.first.weight[:, :, 0, 0], s) + net.first.bias[:, None, None]
    x = torch.einsum("oc,bchw->bohw", net.second.weight[:, :, 0, 0], x.relu()) + net.second.bias[:, None, None]
    x = (torch.einsum("c,bchw->bhw", net.third.weight[0, :, 0, 0], x.relu()) + net.third.bias).relu()
    weight = (x.flatten(1) @ net.last.weight[0] + net.last.bias).relu() * s[:, :16].mean((1, 2, 3))
    assert (weight > 0).all()
    torch.testing.assert_close(net(s).flatten().exp(), weight, rtol=1e-4, atol=1e-5)
    none = net(torch.zeros_like(s))
    assert torch.isfinite(none).all(), "a weight of 0 has a finite logarithm"


# ---- Gumbel softmax


def test_rows_sum_to_one_and_a_small_tau_is_nearly_one_hot():
    torch.manual_seed(0)
    logits = torch.randn(4, 3, 6, 9)
    for tau in (0.01, 1.0, 5.0):
        for noise in (False, True):
            got = gumbel_softmax(logits, tau, noise)
            torch.testing.assert_close(got.sum(-1), torch.ones(4, 3, 6))
    torch.testing.assert_close(gumbel_softmax(logits, 1.0, False), logits.softmax(-1))
    assert gumbel_softmax(logits, 0.005, True).amax(-1).mean() > 0.99


def test_argmax_frequencies_are_pi():
    torch.manual_seed(3)
    pi, num = torch.tensor([0.5, 0.3, 0.15, 0.05]), 20_000
    picks = gumbel_softmax(pi.log().expand(num, 4), 1.0, True).argmax(-1)
    shares = np.bincount(picks.numpy(), minlength=4) / num
    error = np.sqrt(pi.numpy() * (1 - pi.numpy()) / num)
    assert (np.abs(shares - pi.numpy()) < 4 * error).all(), shares


def test_noise_in_training_and_at_evaluation_only_if_configured():
    s = maps()
    net = fusion("selective")
    assert torch.equal(net(s).features, net(s).features)
    assert not torch.equal(net.train()(s).features, net(s).features)
    noisy = fusion("selective", evaluation_noise=True)
    assert not torch.equal(noisy(s).features, noisy(s).features)


def test_gradients_reach_every_weight():
    for scheme in SCHEMES:
        for weight_net in ("pooled", "released"):
            net = fusion(scheme, weight_net=weight_net).train()
            (net(maps()).features ** 2).sum().backward()
            for name, parameter in net.named_parameters():
                assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), (scheme, name)
