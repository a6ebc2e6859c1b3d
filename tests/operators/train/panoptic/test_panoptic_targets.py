"""Objects of a picture, samples of anchors and proposals, masks of regions."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from operators.streams import VOID  # noqa: E402
from operators.train.panoptic.targets import (  # noqa: E402
    Objects,
    anchors_for,
    iou,
    masks_of,
    objects_of,
    regions_for,
    sample,
    semantic_of,
)

SEGMENTS = np.zeros((8, 12), np.int16)
SEGMENTS[4:] = 1  # road
SEGMENTS[2:5, 3:7] = 2  # a car
SEGMENTS[0, 11] = 3  # a car of one pixel
CLASSES, IDENTITIES = np.array([VOID, 0, 1, 1]), np.array([-1, -1, 7, 8])


def test_objects_with_their_boxes_between_pixel_edges():
    found = objects_of(SEGMENTS, CLASSES, IDENTITIES, (1,), 4)
    assert found.boxes.tolist() == [[3, 2, 7, 5]] and found.things.tolist() == [0]
    assert found.segments.tolist() == [2] and found.identities.tolist() == [7]
    assert found.ignored.tolist() == [[11, 0, 12, 1]]


def test_no_object():
    found = objects_of(np.zeros((4, 4), np.int16), np.array([VOID]), np.array([-1]), (1,), 1)
    assert found.boxes.shape == found.ignored.shape == (0, 4) and found.things.dtype == torch.int64
    empty = anchors_for(torch.tensor([[0.0, 0, 4, 4]]), found, 0.7, 0.3, 8)
    assert empty.positive.tolist() == [] and empty.negative.tolist() == [0]
    assert regions_for(torch.tensor([[0.0, 0, 4, 4]]), found, 0.5, 8).negative.tolist() == [0]


def test_semantic_truth():
    truth = semantic_of(SEGMENTS, CLASSES)
    assert truth[0, 0] == VOID and truth[7, 0] == 0 and truth[2, 3] == 1 and truth.dtype == torch.int64


def test_iou():
    got = iou(torch.tensor([[0.0, 0, 2, 2], [5, 5, 6, 6]]), torch.tensor([[1.0, 0, 3, 2]]))
    assert got.tolist() == [[pytest.approx(1 / 3)], [0]]


def of(boxes, ignored=()):
    num = torch.zeros(len(boxes), dtype=torch.long)
    aside = torch.tensor(ignored, dtype=torch.float32).reshape(-1, 4)
    return Objects(torch.tensor(boxes, dtype=torch.float32), num, num, num, aside)


def test_anchors_above_the_high_and_the_best_of_each_object_are_positive():
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 5], [20, 0, 30, 10], [20, 0, 24, 10], [90, 90, 95, 95]])
    rows = anchors_for(anchors, of([[0, 0, 10, 10], [20, 0, 24, 4]]), 0.7, 0.3, 100)
    assert sorted(zip(rows.positive.tolist(), rows.objects.tolist(), strict=True)) == [(0, 0), (1, 0), (4, 1)]
    assert sorted(rows.negative.tolist()) == [3, 5]  # 2 has an IoU of 0.5


def test_anchors_on_ignored_things_are_neither():
    anchors = torch.tensor([[0.0, 0, 10, 10], [90, 90, 95, 95]])
    rows = anchors_for(anchors, of([[200, 200, 210, 210]], [[0, 0, 10, 9]]), 0.7, 0.3, 100)
    assert rows.negative.tolist() == [1]


def test_proposals():
    regions = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 4], [50, 50, 60, 60]])
    rows = regions_for(regions, of([[0, 0, 10, 10]], [[50, 50, 60, 58]]), 0.5, 100)
    assert rows.positive.tolist() == [0] and rows.negative.tolist() == [1]


def test_samples_keep_their_limits():
    torch.manual_seed(0)
    rows = sample(torch.arange(100), torch.arange(100) * 2, torch.arange(100, 500), 256, 0.25)
    assert len(rows.positive) == 64 and len(rows.negative) == 192 and torch.equal(rows.objects, rows.positive * 2)
    assert len(set(rows.negative.tolist())) == 192
    few = sample(torch.arange(3), torch.arange(3), torch.arange(9), 256, 0.25)
    assert len(few.positive) == 3 and len(few.negative) == 9


def test_masks_of_regions():
    segments, semantic = torch.from_numpy(SEGMENTS.astype(np.int64)), semantic_of(SEGMENTS, CLASSES)
    masks, known = masks_of(segments, semantic, torch.tensor([[3.0, 2, 7, 5], [3, 0, 11, 4]]), torch.tensor([2, 2]))
    assert masks[0].all() and known[0].all()
    assert masks[1, 14:, :14].all() and masks[1].sum() == 14 * 14  # lower left quarter
    assert torch.equal(known[1], masks[1])  # the rest is void
