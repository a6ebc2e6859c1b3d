import numpy as np
import pytest

torch = pytest.importorskip("torch")

from operators.nets.fairmot import Identities, Maps  # noqa: E402
from operators.train.fairmot.losses import Wanted, Weighting, fairmot_loss, focal  # noqa: E402
from operators.train.fairmot.targets import IGNORED, radius, targets  # noqa: E402

GRID = (12, 20)


def wanted_of(*pictures):
    """(boxes, classes, identities) of each picture"""
    parts = [targets(np.array(b, float).reshape(-1, 4), np.array(c, int), np.array(i, int), GRID, 1) for b, c, i in pictures]
    where = [np.column_stack([np.full(len(p.where), k), p.where]) for k, p in enumerate(parts)]
    stacked = (np.stack([p.heat for p in parts]), np.stack([p.counts for p in parts]), np.concatenate(where).astype(np.int64))
    return Wanted(*map(torch.from_numpy, (*stacked, *(np.concatenate([p[k] for p in parts]) for k in (3, 4, 5)))))


def maps_of(wanted, sure=20.0, width=4):
    """Maps that say just what is wanted."""
    num = len(wanted.heat)
    size, offset, looks = (torch.zeros(num, k, *GRID) for k in (2, 2, width))
    b, r, c = wanted.where.T
    size[b, :, r, c], offset[b, :, r, c] = wanted.size, wanted.offset
    looks[b, wanted.identities.clamp(min=0), r, c] = 1.0
    heat = torch.where(wanted.heat == 1, sure, -sure)
    return Maps(heat, size, offset, looks)


def knows():
    """An identity layer that tells axis k as identity k"""
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


def test_the_right_answer_costs_nothing():
    wanted = wanted_of(ONE, ([], [], []), ([[10, 8, 22, 40], [40, 4, 50, 20]], [0, 0], [0, 3]))
    losses = fairmot_loss(maps_of(wanted), wanted, knows(), Weighting())
    for part in losses[1:]:
        assert part.item() == pytest.approx(0, abs=1e-5)


def test_each_error_is_seen_by_its_part_alone():
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


def test_weighting_is_the_papers():
    weighting = Weighting()
    w1, w2 = weighting.detection.item(), weighting.identity.item()
    expected = 0.5 * (np.exp(-w1) * 3 + np.exp(-w2) * 5 + w1 + w2)
    assert weighting(torch.tensor(3.0), torch.tensor(5.0)).item() == pytest.approx(expected)


# ---- targets


def test_no_objects_no_targets():
    made = targets(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, int), GRID, 2)
    assert made.heat.shape == (2, *GRID) and not made.heat.any()
    assert made.counts.all()
    assert (len(made.where), len(made.size), len(made.offset), len(made.identities)) == (0, 0, 0, 0)


def test_one_object():
    made = targets(np.array([[10.0, 8, 23, 40]]), np.array([0]), np.array([7]), GRID, 1)
    assert made.where.tolist() == [[6, 4]]
    assert made.size.tolist() == [[3.25, 8.0]]
    assert made.offset.tolist() == [[0.125, 0.0]]
    assert made.identities.tolist() == [7]
    assert made.heat[0, 6, 4] == 1
    assert (made.heat == 1).sum() == 1


@pytest.mark.parametrize(("width", "height"), [(2, 2), (3, 8), (10, 10), (30, 12)])
def test_within_the_radius_boxes_overlap_by_seven_tenths(width, height):
    """Both corners shifted the same way, towards each other, and away from each other."""
    r = radius(width, height)
    area = width * height
    shifted = (width - r) * (height - r)
    cases = [
        shifted / (2 * area - shifted),
        (width - 2 * r) * (height - 2 * r) / area,
        area / ((width + 2 * r) * (height + 2 * r)),
    ]
    assert min(cases) == pytest.approx(0.7, abs=1e-6)


def test_ignored_regions_are_not_judged_but_centres_in_them_are():
    boxes = np.array([[8.0, 8, 40, 40], [20, 16, 28, 32]])
    made = targets(boxes, np.array([IGNORED, 0]), np.array([-1, 3]), GRID, 1)
    assert not made.counts[3, 3] and not made.counts[9, 9]
    assert made.counts[0, 0] and made.counts[6, 6]
    assert made.identities.tolist() == [3]


def test_centres_outside_are_left_out():
    assert len(targets(np.array([[-40.0, 0, 10, 20]]), np.array([0]), np.array([0]), GRID, 1).where) == 0
