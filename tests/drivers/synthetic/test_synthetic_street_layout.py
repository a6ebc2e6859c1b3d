import math
from collections import Counter

import pytest

from drivers.synthetic.camera import LOWEST_SUN
from drivers.synthetic.street import STYLES
from drivers.synthetic.street_layout import make_street

DRIVES = range(40)


@pytest.fixture(scope="module")
def streets():
    return [make_street(7, drive) for drive in DRIVES]


def test_a_bare_street():
    street = make_street(7, 0, density=0.0)
    assert street.rows == () and list(street.things(3.0, 80.0)) == []
    assert math.isfinite(street.surface(12.0, -3.0)) and len(street.ground.materials) == len(street.ground.y) - 1 > 3


def test_same_numbers_same_street():
    assert make_street(7, 3) == make_street(7, 3)
    assert list(make_street(7, 3).things(2.0, 60)) == list(make_street(7, 3).things(2.0, 60))


def test_every_drive_and_every_seed_has_a_street_of_its_own(streets):
    others = [make_street(8, drive) for drive in DRIVES]
    assert len({(s.swing_m, s.bend_m, s.rows) for s in [*streets, *others]}) == 2 * len(DRIVES)


def test_what_is_asked_for_is_given_and_the_rest_is_the_drives_own():
    own = make_street(7, 5)
    for style in STYLES:
        assert make_street(7, 5, style).style == style
    for speed in (0.0, 33.0):
        street = make_street(7, 5, ego_speed_mps=speed)
        assert street.ego_speed_mps == speed and street.style == own.style and street.ground == own.ground
    crowded = make_street(7, 5, density=3.0)
    assert [(row.kind, row.offset_m, row.spacing_m) for row in crowded.rows] == [
        (row.kind, row.offset_m, row.spacing_m) for row in own.rows
    ]


def test_styles_come_in_shares():
    count = Counter(make_street(1, drive).style for drive in range(400))
    assert [count[style] / 400 for style in STYLES] == pytest.approx([0.68, 0.12, 0.20], abs=0.06)


def test_density_is_how_much_of_everything_there_is(streets):
    few, usual, many = (
        sum(len(list(make_street(7, drive, density=d).things(1.0, 60))) for drive in range(8)) for d in (0.3, 1, 4)
    )
    assert few < 0.5 * usual < 0.5 * many
    assert all(row.occupancy <= 0.98 for row in make_street(7, 1, density=10).rows)


def test_the_sun_stands_high_enough_for_the_camera(streets):
    assert all(math.sin(street.sun[1]) > LOWEST_SUN for street in streets)
