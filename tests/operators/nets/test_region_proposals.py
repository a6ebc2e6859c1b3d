"""Anchors, offsets, proposals."""

import pytest

torch = pytest.importorskip("torch")

from operators.nets.region_proposals import (  # noqa: E402
    ProposalConfig,
    Rpn,
    anchors_of,
    in_rows,
    moved,
    offsets_to,
    proposals,
    suppressed,
)


def test_anchors_stand_in_the_middle_of_the_cells():
    anchors = anchors_of([(2, 3), (1, 1)], 8.0, (1.0, 4.0), torch.device("cpu"))
    assert anchors.sizes == (12, 2) and anchors.boxes.shape == (14, 4)
    assert anchors.boxes[0].tolist() == [2 - 16, 2 - 16, 2 + 16, 2 + 16]
    assert anchors.boxes[1].tolist() == [2 - 8, 2 - 32, 2 + 8, 2 + 32]  # height = 4 width, the same area
    assert anchors.boxes[2].tolist() == [6 - 16, 2 - 16, 6 + 16, 2 + 16]  # next column
    assert anchors.boxes[12].tolist() == [4 - 32, 4 - 32, 4 + 32, 4 + 32]


def test_logits_come_in_the_order_of_the_anchors():
    maps = torch.arange(2 * 3 * 4).reshape(1, 4, 2, 3)  # two anchors a cell with two numbers each
    rows = in_rows([maps], 2)
    assert rows.shape == (1, 12, 2)
    assert rows[0, 0].tolist() == [0, 6] and rows[0, 1].tolist() == [12, 18] and rows[0, 2].tolist() == [1, 7]


def test_offsets_are_relative_to_the_size():
    box, goal = torch.tensor([[0.0, 0, 10, 20]]), torch.tensor([[5.0, 10, 25, 30]])
    offsets = offsets_to(box, goal)
    torch.testing.assert_close(offsets, torch.tensor([[1.0, 0.5, 0.6931472, 0]]))
    torch.testing.assert_close(moved(box, offsets), goal)


def test_proposals_are_the_best_without_their_doubles():
    anchors = anchors_of([(4, 4)], 2.0, (1.0,), torch.device("cpu"))
    logits, offsets = torch.full((16,), -5.0), torch.zeros(16, 4, requires_grad=True)
    logits[5], logits[6], logits[15] = 3.0, 2.0, 1.0
    with torch.no_grad():
        offsets[6, 0] = -0.5  # moves the neighbour onto the best one
    boxes, scores = proposals(logits, offsets, anchors, 16, 16, ProposalConfig(3, 10))
    assert boxes.tolist() == [[2, 2, 10, 10], [10, 10, 16, 16]]  # the last one is cut to the picture
    assert scores.tolist() == pytest.approx([0.9526, 0.7311], abs=1e-4)
    assert not boxes.requires_grad


def test_nothing_proposed():
    anchors = anchors_of([(1, 1)], 2.0, (1.0,), torch.device("cpu"))
    boxes, scores = proposals(torch.zeros(1), torch.zeros(1, 4), anchors, 4, 4, ProposalConfig(least=100))
    assert boxes.shape == (0, 4) and scores.shape == (0,)


def test_groups_do_not_suppress_each_other():
    boxes, scores = torch.tensor([[0.0, 0, 4, 4]] * 3), torch.tensor([0.1, 0.3, 0.2])
    assert suppressed(boxes, scores, torch.tensor([0, 0, 1]), 0.5, 9).tolist() == [1, 2]
    assert suppressed(boxes, scores, torch.tensor([0, 1, 2]), 0.5, 2).tolist() == [1, 2]


def test_one_head_for_all_maps():
    rpn = Rpn(8, 3, "standard").eval()
    for size in ((4, 6), (2, 3)):
        objects, offsets = rpn(torch.zeros(2, 8, *size))
        assert objects.shape == (2, 3, *size) and offsets.shape == (2, 12, *size)
