"""FairMOT's losses against numbers worked out by hand."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from operators.nets.fairmot import Identities, Maps  # noqa: E402
from operators.train.fairmot.losses import Wanted, Weighting, fairmot_loss, focal  # noqa: E402
from operators.train.fairmot.targets import targets  # noqa: E402

GRID = (12, 20)


def wanted_of(*pictures):
    """(boxes, classes, identities) of each picture"""
    parts = [targets(np.array(b, float).reshape(-1, 4), np.array(c, int), np.array(i, int), GRID, 1) for b, c, i in pictures]
    where = [np.column_stack([np.full(len(p.where), k), p.where]) for k, p in enumerate(parts)]
    stacked = (np.stack([p.heat for p in parts]), np.stack([p.counts for p in parts]), np.concatenate(where).astype(np.int64))
    return Wanted(*map(torch.from_numpy, (*stacked, *(np.concatenate([p[k] for p in parts]) for k in (3, 4, 5)))))


def maps_of(wanted, sure=20.0, width=4):
    """Maps equal to the targets."""
    num = len(wanted.heat)
    size, offset, looks = (torch.zeros(num, k, *GRID) for k in (2, 2, width))
    b, r, c = wanted.where.T
    size[b, :, r, c], offset[b, :, r, c] = wanted.size, wanted.offset
    looks[b, wanted.identities.clamp(min=0), r, c] = 1.0
    heat = torch.where(wanted.heat == 1, sure, -sure)
    return Maps(heat, size, offset, looks)


def knows():
    """An identity layer that maps axis k to identity k"""
    who = Identities(4, 4)
    with torch.no_grad():
        who.classify.weight.copy_(100 * torch.eye(4))
        who.classify.bias.zero_()
    return who


ONE = ([[10, 8, 22, 40]], [0], [2])


def test_without_objects_the_loss_is_finite_and_learns():
    wanted = wanted_of(([], [], []))
    maps = Maps(*(torch.randn(1, k, *GRID, requires_grad=True) for k in (1, 2, 2, 4)))
    weighting = Weighting()
    losses = fairmot_loss(maps, wanted, knows(), weighting)
    losses.total.backward()
    assert torch.isfinite(torch.stack(losses)).all()
    assert (losses.size, losses.offset, losses.identity) == (0, 0, 0)
    assert losses.heat > 0 and maps.heat.grad.abs().sum() > 0
    assert torch.isfinite(weighting.identity.grad)


def test_correct_maps_have_no_loss():
    wanted = wanted_of(ONE, ([], [], []), ([[10, 8, 22, 40], [40, 4, 50, 20]], [0, 0], [0, 3]))
    losses = fairmot_loss(maps_of(wanted), wanted, knows(), Weighting())
    for part in losses[1:]:
        assert part.item() == pytest.approx(0, abs=1e-5)


def test_each_error_changes_its_own_loss_only():
    wanted = wanted_of(ONE)
    right = maps_of(wanted)
    for name, index in (("heat", 1), ("size", 2), ("offset", 3), ("identity", 4)):
        parts = [part.clone() for part in right]
        if name == "identity":
            parts[3] = parts[3].roll(1, dims=1)
        else:
            parts[index - 1] += 1.0 if name != "heat" else 19.0
        losses = fairmot_loss(Maps(*parts), wanted, knows(), Weighting())
        assert [loss.item() > 1e-3 for loss in losses[1:]] == [k == index for k in (1, 2, 3, 4)], name
    parts = [part.clone() for part in right]
    parts[1] += 1.0
    assert fairmot_loss(Maps(*parts), wanted, knows(), Weighting()).size.item() == pytest.approx(2)  # both sides, a cell each


def test_focal_by_hand():
    """p = 0.5 everywhere: ln 2 / 4 at the centre, times (1 - heat)^4 elsewhere."""
    heat = torch.tensor([[[[1.0, 0.5, 0.0]]]])
    counts = torch.ones(1, 1, 3, dtype=torch.bool)
    assert focal(torch.zeros(1, 1, 1, 3), heat, counts).item() == pytest.approx(np.log(2) / 4 * (1 + 0.5**4 + 1))
    counts[0, 0, 2] = False
    assert focal(torch.zeros(1, 1, 1, 3), heat, counts).item() == pytest.approx(np.log(2) / 4 * (1 + 0.5**4))
    assert torch.isfinite(focal(torch.full((1, 1, 1, 3), 1e4), heat, counts))


def test_weighting_as_in_the_paper():
    weighting = Weighting()
    w1, w2 = weighting.detection.item(), weighting.identity.item()
    expected = 0.5 * (np.exp(-w1) * 3 + np.exp(-w2) * 5 + w1 + w2)
    assert weighting(torch.tensor(3.0), torch.tensor(5.0)).item() == pytest.approx(expected)
