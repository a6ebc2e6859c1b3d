"""The set loss and its companions, against brute force and by hand."""

from itertools import permutations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from operators.train.fusion.losses import (  # noqa: E402
    Wanted,
    cell_loss,
    cell_targets,
    gate_loss,
    giou,
    match,
    set_loss,
    set_losses,
    total_of,
    wanted_of,
)

EMPTY = torch.zeros(0, 4)


def drawn(num, objects, seed, classes=3):
    torch.manual_seed(seed)
    boxes = torch.cat([torch.rand(num, 2), 0.05 + 0.3 * torch.rand(num, 2)], 1)
    truth = torch.cat([torch.rand(objects, 2), 0.05 + 0.3 * torch.rand(objects, 2)], 1)
    return torch.randn(num, classes + 1), boxes, Wanted(truth, torch.randint(0, classes, (objects,)), EMPTY)


def giou_by_hand(a, b):
    ax, bx = ([c[0] - c[2] / 2, c[1] - c[3] / 2, c[0] + c[2] / 2, c[1] + c[3] / 2] for c in (a, b))
    inter = max(0, min(ax[2], bx[2]) - max(ax[0], bx[0])) * max(0, min(ax[3], bx[3]) - max(ax[1], bx[1]))
    union = a[2] * a[3] + b[2] * b[3] - inter
    hull = (max(ax[2], bx[2]) - min(ax[0], bx[0])) * (max(ax[3], bx[3]) - min(ax[1], bx[1]))
    return inter / union - (hull - union) / hull


@pytest.mark.parametrize("seed", range(8))
def test_matching_is_the_cheapest_of_all(seed):
    """Every assignment of 4 objects to 6 queries, and of 4 queries to 5 objects."""
    for num, objects in ((6, 4), (4, 5)):
        logits, boxes, wanted = drawn(num, objects, seed)
        p = logits.softmax(1).tolist()

        def cost(n, m, p=p, boxes=boxes, wanted=wanted):
            a, b = boxes[n].tolist(), wanted.boxes[m].tolist()
            distance = sum(abs(x - y) for x, y in zip(a, b, strict=True))
            return -p[n][wanted.classes[m]] + 5 * distance - 2 * giou_by_hand(a, b)

        few, many = min(num, objects), max(num, objects)
        pairs = [
            [(n, m) if objects == few else (m, n) for m, n in zip(range(few), chosen, strict=True)]
            for chosen in permutations(range(many), few)
        ]
        least = min(sum(cost(n, m) for n, m in one) for one in pairs)
        queries, rows = match(logits, boxes, wanted)
        got = sum(cost(n, m) for n, m in zip(queries.tolist(), rows.tolist(), strict=True))
        assert len(queries) == few and got == pytest.approx(least, abs=1e-4)


def test_permuted_queries_have_the_same_loss():
    logits, boxes, wanted = drawn(12, 5, 0)
    order = torch.randperm(12)
    torch.testing.assert_close(set_loss(logits, boxes, wanted), set_loss(logits[order], boxes[order], wanted))


def test_a_right_answer_has_no_loss_and_each_error_its_own():
    _, _, wanted = drawn(0, 2, 1)
    boxes = torch.cat([wanted.boxes, torch.full((3, 4), 0.5)])
    logits = torch.full((5, 4), -20.0)
    logits[torch.arange(5), torch.tensor([*wanted.classes.tolist(), 3, 3, 3])] = 20.0
    torch.testing.assert_close(set_loss(logits, boxes, wanted), torch.zeros(3), atol=1e-5, rtol=0)
    moved = boxes.clone()
    moved[0, 0] += 0.1
    got = set_loss(logits, moved, wanted)
    assert got[0] < 1e-5 and got[1].item() == pytest.approx(0.05, abs=1e-5) and got[2] > 0
    assert total_of(torch.tensor([1.0, 1.0, 1.0])) == 8


def test_no_objects():
    logits, boxes, _ = drawn(4, 0, 2)
    wanted = Wanted(EMPTY, torch.zeros(0, dtype=torch.int64), EMPTY)
    got = set_losses(logits[None, None].requires_grad_(), boxes[None, None], [wanted])
    assert got.shape == (1, 3) and got[0, 0] > 0 and got[0, 1:].tolist() == [0, 0]
    got.sum().backward()
    cells = cell_loss(torch.zeros(1, 6, 3), torch.full((1, 6, 4), 0.5), [wanted], (2, 3))
    assert torch.isfinite(cells)


def test_ignored_truth_is_no_background():
    wanted = Wanted(EMPTY, torch.zeros(0, dtype=torch.int64), torch.tensor([[0.25, 0.5, 0.5, 1.0]]))
    boxes = torch.tensor([[0.2, 0.5, 0.1, 0.1], [0.8, 0.5, 0.1, 0.1]])
    logits = torch.tensor([[9.0, 0.0], [-9.0, 9.0]])
    assert set_loss(logits, boxes, wanted)[0] < 1e-5
    assert set_loss(logits.flip(0), boxes, wanted)[0] > 5


def test_giou_by_hand():
    for seed in range(20):
        _, boxes, wanted = drawn(1, 1, seed)
        expected = giou_by_hand(boxes[0].tolist(), wanted.boxes[0].tolist())
        assert giou(boxes[0], wanted.boxes[0]).item() == pytest.approx(expected, abs=1e-4)
    assert giou(torch.tensor([0.5, 0.5, 0.0, 0.0]), torch.tensor([0.5, 0.5, 0.0, 0.0])).isfinite()


def test_cells_that_learn_a_box():
    """A 4 x 6 map: the cells around the centre and within the box; the smaller of two; a tiny one has the cell of its centre."""
    truth = torch.tensor([[0.5, 0.5, 1.0, 1.0], [0.58, 0.62, 0.01, 0.01]])
    row, counts = cell_targets(Wanted(truth, torch.tensor([0, 1]), torch.tensor([[1 / 12, 1 / 8, 1 / 6, 1 / 4]])), (4, 6))
    expected = np.full((4, 6), -1)
    expected[1:3, 2:4] = 0
    expected[2, 3] = 1
    np.testing.assert_array_equal(row.view(4, 6), expected)
    assert not counts[0] and counts.sum() == 23, "the cell of the ignored box"


def test_the_gate_follows_the_smaller_loss():
    values = torch.zeros(2, 2, requires_grad=True)
    shares = values.softmax(1)
    loss = gate_loss(shares, torch.tensor([[0.5, 3.0], [3.0, 0.5]]), torch.tensor([True, True]))
    loss.backward()
    assert (values.grad.sign() == torch.tensor([[-1.0, 1.0], [1.0, -1.0]])).all()
    assert gate_loss(shares, torch.ones(2, 2), torch.tensor([False, False])) == 0


def test_pixels_to_shares_of_the_picture():
    got = wanted_of(np.array([[-0.5, -0.5, 99.5, 49.5], [10, 10, 20, 20]]), np.array([2, -1]), (100, 50), torch.device("cpu"))
    torch.testing.assert_close(got.boxes, torch.tensor([[0.5, 0.5, 1.0, 1.0]]))
    assert got.classes.tolist() == [2] and len(got.ignored) == 1
