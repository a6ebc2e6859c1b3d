import math
from typing import NamedTuple, get_args

import numpy as np
import pytest

import naive
from drivers.synthetic.materials import FOLIAGE
from drivers.synthetic.scene import Placed, Stage, pose
from drivers.synthetic.spinning import BEAMS, Beams, LidarConfig, SpinningLidar
from drivers.synthetic.street import CAR, CYCLIST, PEDESTRIAN, TRUCK, VAN
from drivers.synthetic.street_layout import make_street
from operators.geometry.transforms import transform_points
from operators.kernels import raycast
from operators.streams import MAX_POINTS

EXACT = {"noise_m": 0.0, "weakest": 0.0, "lost": 0.0}
SIZE = np.array([0, 0, 0, 1, 1, 1, 0])


@pytest.fixture(scope="module")
def stage():
    return Stage("train")


def lidar(threads=1, rate_hz=10.0, **config):
    return SpinningLidar(LidarConfig(**config), rate_hz, threads)


def bare(stage, *placed, speed=0.0, t_s=0.0):
    """A bare street with the placed objects."""
    return stage.build(make_street(7, 0, "street", speed, 0.0), t_s, 80.0, placed)


class Got(NamedTuple):
    points: np.ndarray
    point_ids: np.ndarray  # index into the scene's objects or -1
    hidden: np.ndarray


def scan(sensor, scene, seed=1):
    got = sensor.scan(scene, seed)
    return Got(got.points.copy(), scene.owners[got.on], got.hidden)


# -- which beams --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("beams", "count", "highest_deg", "lowest_deg"),
    [("hdl64e", 64, 1.94, -25.0), ("hdl32e", 32, 10.67, -30.67), ("vlp16", 16, 15, -15), ("os1_64", 64, 22.5, -22.5),
     ("os0_128", 128, 45, -45)],
)  # fmt: skip
def test_beams_are_those_of_the_data_sheets(stage, beams, count, highest_deg, lowest_deg):
    """Also, every beam that reaches a bare street has returns."""
    sensor = lidar(beams=beams, columns=72, range_m=60, nearest_m=0, **EXACT)
    elevations = np.degrees(sensor.elevations)
    assert len(elevations) == len(sensor.heights) == sensor.groups[-1] == count
    assert elevations[0] == pytest.approx(highest_deg) and elevations[-1] == pytest.approx(lowest_deg)
    assert (np.diff(elevations) < 0).all(), "from above to below, as `returns` writes them"
    got = scan(sensor, bare(stage))
    low = np.tan(sensor.elevations) < -2.1 / 50
    assert 0.95 * low.sum() * 72 <= len(got.points) < count * 72 and (got.point_ids == -1).all() and got.hidden.shape == (0,)


def test_every_name_has_a_table():
    assert set(get_args(Beams)) == set(BEAMS)


def test_the_hdl64e_has_two_blocks_at_two_heights():
    sensor = lidar()
    assert sensor.groups.tolist() == [0, 32, 64]
    assert set(sensor.heights[:32]) == {0.20} and set(sensor.heights[32:]) == {0.12}
    steps = -np.diff(np.degrees(sensor.elevations))
    np.testing.assert_allclose(steps[:31], 0.3435, atol=1e-3)
    np.testing.assert_allclose(steps[32:], 0.515, atol=1e-3)


@pytest.mark.parametrize("beams", list(BEAMS))
def test_the_beam_of_each_point_is_found_from_the_point(stage, beams):
    """It lies on the beam, to the millimetre; the beam has a hit in its column, and each hit is one point."""
    sensor = lidar(beams=beams, columns=180, range_m=60, nearest_m=1, **EXACT)
    got = scan(sensor, bare(stage, Placed(CAR, 8.0, 1.0, 0.3, 0), Placed(PEDESTRIAN, 3.0, -1.0, 0.0, 0)))
    x, y, z = got.points[:, :3].astype(np.float64).T
    rings = sensor.rings_of(got.points)
    column = np.rint((np.arctan2(y, x) - sensor.azimuths[0]) / (2 * np.pi / 180)).astype(int)
    height = sensor.heights[rings] + np.hypot(x, y) * np.tan(sensor.elevations[rings])
    assert np.abs(height - z).max() < 0.0015 and (sensor.hits[column, rings] != raycast.NOTHING).all()
    assert len(np.unique(column * 256 + rings)) == len(rings)
    assert len(np.unique(rings)) > len(sensor.elevations) / 3 and sensor.rings_of(got.points[:0]).shape == (0,)


def test_the_shipped_sensor_fits_its_port():
    sensor = lidar()
    assert len(sensor.points) == 64 * 2155 <= MAX_POINTS


@pytest.mark.parametrize(
    ("config", "columns", "half_view"),
    [({}, 2155, math.pi), ({"view_deg": 90.0}, 539, math.pi / 4), ({"columns": 8, "view_deg": 1.0}, 1, math.radians(0.5))],
)
def test_columns_stand_evenly_around_ahead(config, columns, half_view):
    sensor = lidar(**config)
    assert len(sensor.azimuths) == columns and sensor.half_view_rad == pytest.approx(half_view)
    np.testing.assert_allclose(sensor.azimuths, -sensor.azimuths[::-1], atol=1e-12)
    np.testing.assert_allclose(np.diff(sensor.azimuths), 2 * math.pi / sensor.config.columns)


def test_a_sweep_turns_counter_clockwise_and_looks_ahead_when_its_stamp_says():
    for rate_hz in (5.0, 10.0, 20.0):
        sensor = lidar(rate_hz=rate_hz)
        assert sensor.azimuths[0] < -3.14 and sensor.azimuths[-1] > 3.14
        np.testing.assert_allclose(sensor.times, sensor.azimuths / (2 * math.pi * rate_hz))
        assert np.ptp(sensor.times) == pytest.approx(1 / rate_hz, rel=1e-3)
    assert (lidar(sweep=False).times == 0).all()


LIMITS = [
    ("columns", 7, "8..4096"), ("columns", 4097, "8..4096"), ("view_deg", 0.5, "1..360"), ("view_deg", 361.0, "1..360"),
    ("range_m", 4.0, "5..250"), ("nearest_m", -0.1, "0..10"), ("noise_m", -1.0, "0..1"), ("noise_m", math.nan, "0..1"),
    ("weakest", 1.1, "0..1"), ("lost", 2.0, "0..1"), ("leaves", -0.5, "0..1"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "needs"), LIMITS)
def test_settings_out_of_range(key, value, needs):
    with pytest.raises(ValueError, match=rf"^{key}: needs {needs}, got {value}$"):
        LidarConfig(**{key: value})


# -- what comes back ----------------------------------------------------------------------------------------------------


def test_without_noise_a_street_is_where_it_is(stage):
    street = make_street(7, 0, "street", 0.0, 0.0)
    points = scan(lidar(columns=360, **EXACT), bare(stage)).points
    x, y, z = transform_points(points[:, :3], pose(street, 0.0)).T
    ground = np.array([street.surface(a, b - street.bend(a)) for a, b in zip(x.tolist(), y.tolist(), strict=True)])
    assert len(points) > 10_000
    assert np.median(np.abs(z - ground)) < 0.005 and np.quantile(np.abs(z - ground), 0.99) < 0.04, "but for kerbs and grass"


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing(stage, threads):
    scene = stage.build(make_street(7, 2), 1.0, 60.0)
    one, more = scan(lidar(columns=400), scene, 9), scan(lidar(threads, columns=400), scene, 9)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(one, more, strict=True))


def test_same_seed_same_scan(stage):
    scene, sensor = stage.build(make_street(7, 2), 1.0, 60.0), lidar(columns=400)
    one, again, other = (scan(sensor, scene, seed) for seed in (3, 3, 4))
    assert one.points.tobytes() == again.points.tobytes() != other.points.tobytes()


def test_what_a_setting_does(stage):
    scene = stage.build(make_street(7, 2), 1.0, 80.0)

    def count(**config):
        return len(scan(lidar(columns=400, **config), scene).points)

    usual = count()
    assert count(lost=0.5) == pytest.approx(usual / 2, rel=0.05) and count(lost=1.0) == 0
    assert count(range_m=20) < count(range_m=40) < usual and count(nearest_m=8) < usual
    assert count(weakest=0.01) < 0.95 * usual < usual < count(weakest=0)
    assert count(view_deg=90) < 0.5 * usual
    points = scan(lidar(columns=400, range_m=20, nearest_m=8, noise_m=0, sweep=False), scene).points
    distance = np.linalg.norm(points[:, :3] - (0, 0, 0.16), axis=1)
    assert 7.9 < distance.min() and np.quantile(distance, 0.999) < 20.2, "leaves are a little deeper"


def test_leaves_let_some_of_the_light_through(stage):
    scene = next(
        s for s in (stage.build(make_street(7, d), 1.0, 60.0) for d in range(20)) if (s.materials == FOLIAGE).mean() > 0.5
    )
    mean = [np.linalg.norm(scan(lidar(columns=400, leaves=share), scene).points, axis=1).mean() for share in (0.0, 0.3, 0.9)]
    assert mean[0] < mean[1] < mean[2]


# -- motion within a sweep ----------------------------------------------------------------------------------------------


def parked(stage, sensor, speed):
    """Points and box of a car parked on the left, which the sweep passes a quarter turn after the stamp."""
    scene = bare(stage, Placed(CAR, 0.0, 6.0, 0.2, 1), speed=speed)
    got = scan(sensor, scene)
    assert (got.point_ids == 0).sum() > 300
    return got.points[got.point_ids == 0, :3].astype(np.float64), scene.objects.boxes3d[0], scene


def test_a_sweep_of_a_moving_sensor_shifts_what_stands_still(stage):
    """By the distance driven between stamp and measurement; without `sweep` not at all."""
    sensor = lidar(columns=1800, **EXACT)
    still, box, _ = parked(stage, sensor, 0.0)
    moving, box_moving, scene = parked(stage, sensor, 40.0)
    at_once, _, _ = parked(stage, lidar(columns=1800, sweep=False, **EXACT), 40.0)
    np.testing.assert_allclose(box, box_moving, atol=1e-9)
    for points in (still, at_once):
        assert naive.inside_box(points, box + 0.3 * SIZE).all()
    assert naive.inside_box(moving, box + 0.3 * SIZE).mean() < 0.9
    assert still[:, 0].mean() - moving[:, 0].mean() == pytest.approx(40.0 * 0.025, abs=0.2), "a quarter of 0.1 s"
    # undone: where each point was measured follows from its azimuth
    seconds = np.arctan2(moving[:, 1], moving[:, 0]) / (2 * math.pi * 10)
    turned = scene.ego_yaw_rate * seconds
    c, s = np.cos(turned), np.sin(turned)
    x, y, z = moving.T
    back = np.stack([c * x - s * y, s * x + c * y, z], 1) + seconds[:, None] * scene.ego_velocity
    assert naive.inside_box(back, box + 0.3 * SIZE).mean() > 0.99


def test_what_moves_past_a_standing_sensor_is_shifted_as_if_the_sensor_moved(stage):
    sensor = lidar(columns=1800, **EXACT)
    still, _, scene = parked(stage, sensor, 0.0)
    velocity = np.array([20.0, 5.0, 0.1])
    passing = scan(sensor, scene._replace(objects=scene.objects._replace(velocities=velocity[None])))
    driving = scan(sensor, scene._replace(ego_velocity=-velocity))
    points = passing.points[passing.point_ids == 0]
    assert points.tobytes() == driving.points[driving.point_ids == 0].tobytes()
    assert points[:, 0].mean() - still[:, 0].mean() == pytest.approx(20.0 * 0.025, abs=0.1), "ahead: measured after the stamp"
    ground = passing.points[passing.point_ids == -1]
    assert len(ground) > 10_000 and not np.array_equal(ground, driving.points[driving.point_ids == -1]), "which stands still"


# -- how much of an object is hidden ------------------------------------------------------------------------------------

ALONE = [
    *((CAR, yaw) for yaw in (0.0, 0.8, math.pi / 2, math.pi)), *((CYCLIST, yaw) for yaw in (0.0, 0.8, math.pi / 2)),
    (PEDESTRIAN, 0.0), (PEDESTRIAN, 0.8), (PEDESTRIAN, math.pi / 2),
    (VAN, 0.8), (VAN, math.pi / 2), (VAN, 0.0),
    (TRUCK, 0.0), (TRUCK, 0.8), (TRUCK, math.pi),
]  # fmt: skip


@pytest.mark.parametrize(("label", "yaw"), ALONE)
def test_whoever_stands_alone_is_not_hidden(stage, label, yaw):
    hidden = scan(lidar(), bare(stage, Placed(label, 15.0, 0.0, yaw, 0))).hidden
    assert hidden.shape == (1,) and hidden[0] < 0.02, "the ground may take the lowest rim of a tyre"


def test_whoever_stands_behind_a_truck_is_hidden(stage):
    others = Placed(CAR, 20.0, 0.0, 0.0, 0), Placed(PEDESTRIAN, 30.0, 0.0, 0.0, 0)
    hidden = scan(lidar(), bare(stage, Placed(TRUCK, 12.0, 0.0, math.pi / 2, 0), *others)).hidden
    assert hidden[0] < 0.35 and (hidden[1:] == 1).all()


def test_the_further_it_drives_out_from_behind_the_less_is_hidden(stage):
    """A wall as long as a truck ends on the left; a car drives out from behind it."""
    shares = []
    for y in np.linspace(0, 16, 9):
        scene = bare(stage, Placed(TRUCK, 12.0, 0.0, math.pi / 2, 0), Placed(CAR, 20.0, y, math.pi / 2, 0))
        shares.append(scan(lidar(), scene).hidden[1])
    assert shares[0] == 1 and shares[-1] < 0.2 and any(0.3 < share < 0.75 for share in shares)
    assert (np.diff(shares) < 0.05).all()


def test_out_of_sight_is_hidden(stage):
    """No ray reaches objects beyond the range or outside the view."""
    far = scan(lidar(range_m=30), bare(stage, Placed(CAR, 50.0, 0.0, 0.0, 0))).hidden
    behind = scan(lidar(view_deg=90), bare(stage, Placed(CAR, -20.0, 0.0, 0.0, 0))).hidden
    assert far.tolist() == behind.tolist() == [1.0]
