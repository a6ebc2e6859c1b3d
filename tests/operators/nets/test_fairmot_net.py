import re

import pytest

torch = pytest.importorskip("torch")

from operators.detect.peaks import peaks  # noqa: E402
from operators.nets.fairmot import Fairmot, Identities, Maps, at_places, num_parameters  # noqa: E402
from operators.nets.fairmot_config import FairmotNetConfig  # noqa: E402
from operators.streams import CLASSES  # noqa: E402

SMALL = {"stage_channels": (4, 8), "feature_channels": 4, "head_channels": 4, "embedding": 3}


def test_heads_are_the_papers_to_the_parameter():
    """3x3 to 256, 1x1 to 1, 2, 2 and 128 channels, from the 64 that DLA-34 gives."""
    net = Fairmot(FairmotNetConfig())
    wide = 64 * 256 * 9 + 256
    assert {name: num_parameters(getattr(net, name)) for name in ("heat", "size", "offset", "looks")} == {
        "heat": wide + 256 + 1,
        "size": wide + 2 * 256 + 2,
        "offset": wide + 2 * 256 + 2,
        "looks": wide + 128 * 256 + 128,
    }
    assert wide == 147_712


@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 24), (48, 40)])
def test_maps_have_a_quarter_of_the_size(height, width):
    maps = Fairmot(FairmotNetConfig(image_size=(16, 16), **SMALL)).eval()(torch.zeros(2, height, width, 3, dtype=torch.uint8))
    assert [tuple(m.shape) for m in maps] == [(2, k, height // 4, width // 4) for k in (1, 2, 2, 3)]


def test_before_it_learns_objects_are_rare():
    torch.manual_seed(0)
    maps = Fairmot(FairmotNetConfig(image_size=(16, 16), **SMALL)).eval()(torch.zeros(1, 16, 16, 3, dtype=torch.uint8))
    assert maps.heat.sigmoid().max() < 0.05


def test_looks_are_compared_by_direction():
    """Length says nothing about who it is."""
    torch.manual_seed(0)
    who, looks = Identities(3, 10), torch.randn(4, 3)
    torch.testing.assert_close(who(looks), who(7 * looks))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"image_size": (1080, 608)}, "image_size: needs multiples of 32, the coarsest stride, got [1080, 608]"),
        ({"class_names": ("Dog",)}, f"class_names: needs names of {', '.join(CLASSES)}, got Dog"),
        ({"class_names": ()}, "class_names: needs one or more different names, got none"),
        ({"embedding": 0}, "embedding: needs 1..512, got 0"),
        ({"stage_channels": ()}, "stage_channels: needs one or more numbers above 0, got []"),
    ],
)  # fmt: skip
def test_wrong_config(config, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        FairmotNetConfig(**config)


# ---- decode


def maps_of(objects, rows=20, columns=30, classes=1):
    """Objects (class, cx, cy, w, h) [px] as the maps of a net that is always right; looks = one axis each."""
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


def test_at_places():
    map_ = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    assert at_places(map_, torch.tensor([[1, 2, 3], [0, 0, 0]])).tolist() == [
        map_[1, :, 2, 3].tolist(),
        map_[0, :, 0, 0].tolist(),
    ]
    assert at_places(map_, torch.zeros(0, 3, dtype=torch.int64)).shape == (0, 3)
