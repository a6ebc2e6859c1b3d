"""Peaks of heatmaps made by hand -> boxes."""

import pytest

torch = pytest.importorskip("torch")

from operators.detect.peaks import peaks  # noqa: E402
from operators.nets.fairmot import Maps  # noqa: E402


def maps_of(objects, rows=20, columns=30, classes=1):
    """Objects (class, cx, cy, w, h) [px] as the maps of a perfect net; looks: one axis for each object."""
    heat = torch.full((1, classes, rows, columns), -9.0)
    size, offset, looks = torch.zeros(1, 2, rows, columns), torch.zeros(1, 2, rows, columns), torch.zeros(1, 8, rows, columns)
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    for k, (cls, cx, cy, w, h) in enumerate(objects):
        column, row = int(cx // 4), int(cy // 4)
        bump = 4 - 3 * ((x - column) ** 2 + (y - row) ** 2).float()
        heat[0, cls] = torch.maximum(heat[0, cls], bump)
        size[0, :, row, column] = torch.tensor([w / 4, h / 4])
        offset[0, :, row, column] = torch.tensor([cx / 4 - column, cy / 4 - row])
        looks[0, k, row, column] = 5.0
    return Maps(heat, size, offset, looks)


def test_no_peaks():
    found = peaks(maps_of([]), 0, 10, 0.1)
    assert [tuple(part.shape) for part in found] == [(0, 4), (0,), (0,), (0, 8)]


def test_every_gaussian_is_one_box_to_a_hundredth_of_a_pixel():
    objects = [(0, 13.7, 21.2, 9, 20), (0, 61.0, 40.5, 14, 30), (1, 90.0, 20.5, 30, 16), (0, 100.1, 70.9, 8, 16)]
    found = peaks(maps_of(objects, classes=2), 0, 10, 0.1)
    assert len(found.scores) == 4
    assert (found.scores > 0.97).all()
    for k, (cls, cx, cy, w, h) in enumerate(objects):
        wanted = torch.tensor([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
        (row,) = (((found.boxes - wanted).abs().amax(1) < 0.01) & (found.classes == cls)).nonzero()[:, 0].tolist()
        assert found.looks[row].tolist() == [float(axis == k) for axis in range(8)], "of unit length"


def test_best_first_and_no_more_than_asked_for():
    maps = maps_of([(0, 13, 21, 9, 20), (0, 61, 41, 14, 30), (0, 101, 71, 8, 16)])
    maps.heat[0, 0, 10, 15] = 6.0
    found = peaks(maps, 0, 2, 0.1)
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    assert len(found.scores) == 2
    torch.testing.assert_close(found.boxes[0], torch.tensor([54.0, 26.0, 68.0, 56.0]))
    assert len(peaks(maps, 0, 9, 0.99).scores) == 1


def test_neighbours_of_a_peak_are_none_and_cells_beyond_are():
    maps = maps_of([(0, 50, 40, 9, 20), (0, 54, 40, 9, 20), (0, 62, 40, 9, 20)])
    maps.heat[0, 0, 10, 12] += 0.1
    assert len(peaks(maps, 0, 9, 0.5).scores) == 2
