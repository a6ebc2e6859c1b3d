from dataclasses import replace

import numpy as np
import pytest

from drivers.synthetic.camera import LOWEST_SUN
from drivers.synthetic.lighting import hour_of, lighting
from drivers.synthetic.spinning import LidarConfig
from drivers.synthetic.street_layout import make_street
from drivers.synthetic.world import CameraConfig, ObjectConfig, SyntheticWorld, WorldConfig
from operators.kernels.shade import DAY

BARE = WorldConfig(frames=1, range_m=50, density=0.0, camera=CameraConfig(160, 128), lidar=LidarConfig(columns=8, range_m=50))


@pytest.fixture
def image(play):
    """image(config) -> (H, W, 3) int of its first frame"""

    def run(config):
        return play(SyntheticWorld, config, {"image"})[1][0].values["image"].astype(int)

    return run


def test_a_mixed_world_has_every_hour_and_each_drive_its_own():
    streets = [make_street(7, drive, density=0) for drive in range(60)]
    hours = [hour_of("mixed", street) for street in streets]
    assert {hour: hours.count(hour) > 5 for hour in ("day", "dusk", "night")} == {"day": True, "dusk": True, "night": True}
    assert hours == [hour_of("mixed", street) for street in streets]
    dazzled = [lighting("mixed", 0.3, street).dazzle > 0 for street in streets]
    assert 8 < sum(dazzled) < 30 and not any(lighting("mixed", 0.0, street).dazzle for street in streets)


@pytest.mark.parametrize("drive", range(8))
def test_the_sun_of_a_day_is_the_streets_and_one_that_dazzles_is_low_and_ahead(drive):
    street = make_street(7, drive, density=0)
    usual, low = lighting("day", 0.0, street), lighting("day", 1.0, street)
    assert usual.tones is DAY and usual.sensor is None and usual.sun[2] == pytest.approx(np.sin(street.sun[1]))
    assert LOWEST_SUN <= low.sun[2] < 0.25 and low.sun[0] > 0.9 and np.linalg.norm(low.sun) == pytest.approx(1)


def test_a_day_of_a_mixed_world_is_the_day(image):
    drive = next(d for d in range(60) if hour_of("mixed", make_street(7, d, density=0)) == "day")
    config = replace(BARE, density=1.0, first_drive=drive)
    np.testing.assert_array_equal(image(replace(config, light="mixed")), image(config))


def test_darker_from_hour_to_hour_and_lit_by_the_egos_lamps(image):
    day, dusk, night = (image(replace(BARE, light=light)) for light in ("day", "dusk", "night"))
    sky = [picture[:40].mean() for picture in (day, dusk, night)]
    assert sky[0] > sky[1] + 20 > sky[2] + 60, "the sky"
    road = night[100:120]
    assert road[:, 70:90].mean() > 2 * road[:, :10].mean(), "the beam ends at the sides"


def test_a_low_sun_veils_what_is_dark_and_an_obstacle_hides_it(image):
    low = image(replace(BARE, glare=1.0))
    rows, columns = np.nonzero(low.min(2) > 250)
    assert 0 < len(rows) < 600 and np.ptp(rows) < 40 and np.ptp(columns) < 40, "the sun is one spot"
    wall = tuple(ObjectConfig("Truck", x_m=9.0, y_m=y, yaw_rad=1.57) for y in (-8.0, 0.0, 8.0))
    hidden = image(replace(BARE, glare=1.0, objects=wall))
    assert (hidden.min(2) > 250).sum() < len(rows)


def test_headlights_of_others_shine_at_night_only_where_they_are_seen(play):
    """A street with traffic: bright spots appear at night; by day nothing there is so bright; the noise is of the frame."""
    config = replace(BARE, density=2.0, style="street", frames=2, camera=CameraConfig(320, 256), ego_speed_mps=0.0)
    readings = play(SyntheticWorld, replace(config, light="night"), {"image", "depth"})[1]
    first, second = (r.values["image"].astype(int) for r in readings)
    far = np.isinf(readings[0].values["depth"])
    assert 3 < abs(first - second)[far].mean() < 25 and first[far].mean() < 45
    dazzled = play(SyntheticWorld, replace(config, light="night", glare=1.0), {"image"})[1][0].values["image"]
    assert dazzled.mean() != first.mean()


@pytest.mark.parametrize("light, glare", [("night", 1.0), ("dusk", 0.0), ("day", 1.0)])
def test_threads_and_other_ports_change_nothing(play, light, glare):
    config = replace(BARE, density=1.0, light=light, glare=glare)
    sources = [play.opened(SyntheticWorld, config, wanted) for wanted in ({"image"}, {"image", "truth", "pixel_ids"})]
    sources[1].threads = 3
    sources[1].open()
    one, other = (source.read().values["image"] for source in sources)
    np.testing.assert_array_equal(one, other)
    for source in sources:
        source.close()
