"""Targets of FairMOT's heads: no object, one, ignored ones, ones outside the image."""

import numpy as np
import pytest

from operators.train.fairmot.targets import IGNORED, radius, targets

GRID = (12, 20)


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


def test_ignored_regions_do_not_count_but_centres_in_them_do():
    boxes = np.array([[8.0, 8, 40, 40], [20, 16, 28, 32]])
    made = targets(boxes, np.array([IGNORED, 0]), np.array([-1, 3]), GRID, 1)
    assert not made.counts[3, 3] and not made.counts[9, 9]
    assert made.counts[0, 0] and made.counts[6, 6]
    assert made.identities.tolist() == [3]


def test_centres_outside_are_left_out():
    assert len(targets(np.array([[-40.0, 0, 10, 20]]), np.array([0]), np.array([0]), GRID, 1).where) == 0
