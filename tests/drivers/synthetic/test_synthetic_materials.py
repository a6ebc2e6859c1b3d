import numpy as np
import pytest

from drivers.synthetic import materials
from drivers.synthetic.materials import MATERIALS


def test_every_name_is_the_index_of_its_row():
    assert {name: getattr(materials, name) for name in MATERIALS.names} == {n: k for k, n in enumerate(MATERIALS.names)}
    assert len(set(MATERIALS.names)) == len(MATERIALS.names)


@pytest.mark.parametrize("column", ["albedo", "lidar_reflectance", "drop"])
def test_shares_are_between_none_and_all(column):
    values = getattr(MATERIALS, column)
    assert values.dtype == np.float32 and len(values) == len(MATERIALS.names)
    assert (values >= 0).all() and (values <= 1).all()


def test_no_object_reflects_less_than_nothing_or_more_than_all():
    low, high = (MATERIALS.lidar_reflectance + sign * MATERIALS.lidar_spread for sign in (-1, 1))
    assert (low > 0).all() and (high <= 1).all()


def test_nobody_changes_the_table():
    with pytest.raises(ValueError, match="read-only"):
        MATERIALS.albedo[materials.TYRE] = 1


def test_what_a_lidar_is_known_to_see():
    """Glass transmits the beam, leaves are bright beyond the red edge, plates and signs are the brightest."""
    of = dict(zip(MATERIALS.names, MATERIALS.lidar_reflectance, strict=True))
    lost = dict(zip(MATERIALS.names, MATERIALS.drop, strict=True))
    assert of["CAR_GLASS"] < of["TYRE"] < of["ASPHALT"] < of["BUILDING"] < of["FOLIAGE"] < of["PLATE"]
    assert min(lost["CAR_GLASS"], lost["WINDOW"]) > 0.5 > max(v for k, v in lost.items() if k not in ("CAR_GLASS", "WINDOW"))
    assert set(np.array(MATERIALS.names)[MATERIALS.retro]) == {"SIGN", "TAIL_LIGHT", "PLATE"}
