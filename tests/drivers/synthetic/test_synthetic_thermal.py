from dataclasses import replace

import numpy as np
import pytest

from drivers.synthetic.camera import kitti_like_calibration
from drivers.synthetic.spinning import LidarConfig
from drivers.synthetic.thermal import ZERO_C, ThermalConfig, gain_control, mount
from drivers.synthetic.world import CameraConfig, ObjectConfig, SyntheticWorld, WorldConfig
from operators.geometry.project import project_points

BARE = WorldConfig(
    frames=1, range_m=50, density=0.0, light="night", camera=CameraConfig(160, 128), lidar=LidarConfig(columns=360, range_m=50),
    thermal=ThermalConfig(background=0.0),
)  # fmt: skip
STREET = replace(BARE, density=1.0, thermal=ThermalConfig())
APART = ThermalConfig(width=128, height=100, view_deg=40.0, offset_m=(0.0, 0.25, 0.1), turn_deg=(2.0, -1.0, 1.5))


def celsius(reading):
    return reading.values["thermal_raw"] / 100 - ZERO_C


def standing(label, x_m, y_m, **config):
    objects = (ObjectConfig(label, x_m=x_m, y_m=y_m),)
    return replace(BARE, objects=objects, **config)


def test_a_bare_street_has_a_cold_sky_above_a_warmer_road(play):
    _, (reading,) = play(SyntheticWorld, BARE, {"thermal_raw", "thermal", "depth"})
    sky, warm = np.isinf(reading.values["depth"]), celsius(reading)
    assert warm[sky].max() < warm[~sky][-160:].mean() - 1
    assert (
        reading.values["thermal"].dtype == np.uint8 and reading.values["thermal"][0].max() < reading.values["thermal"][-1].min()
    )


def test_the_sun_warms_the_road(play):
    day, night = (
        celsius(play(SyntheticWorld, replace(BARE, light=light), {"thermal_raw"})[1][0])[100:].mean()
        for light in ("day", "night")
    )
    assert day > night + 3


@pytest.mark.parametrize("drive", [0, 1, 2])
def test_a_person_is_warmer_than_a_cool_night_and_one_of_background_temperature_hardly(play, drive):
    config = standing("Pedestrian", 8.0, 1.0, first_drive=drive)
    contrast = {}
    for name, share in (("warm", 0.0), ("as the background", 1.0)):
        thermal = replace(config.thermal, background=share)
        _, (reading,) = play(SyntheticWorld, replace(config, thermal=thermal), {"thermal_raw", "pixel_ids", "depth"})
        person = reading.values["pixel_ids"] >= 0
        road = np.isfinite(reading.values["depth"]) & ~person
        assert person.sum() > 60
        contrast[name] = abs(celsius(reading)[person].mean() - celsius(reading)[road].mean())
    assert contrast["as the background"] < 3.5 and contrast["warm"] > contrast["as the background"]


def test_driven_vehicles_have_warm_wheels_and_bonnets(play):
    """Oncoming cars against parked ones, in the same streets."""
    config = replace(STREET, style="street", frames=1, drives=6, density=2.0, thermal=ThermalConfig(background=0.0))
    warm, cold = [], []
    for reading in play(SyntheticWorld, config, {"thermal_raw", "pixel_ids"})[1]:
        own = celsius(reading)
        ids = reading.values["pixel_ids"]
        for track_id in set(ids[ids >= 0].tolist()):
            seen = own[ids == track_id]
            if len(seen) > 25:
                warm.append(np.percentile(seen, 95) - np.median(own[100:]))
    cold = np.array(warm) < 3
    assert len(warm) > 10 and cold.any() and (~cold).any() and max(warm) > 8


def test_same_seed_same_bytes_whatever_else_is_wanted(play):
    """The registered camera shares the z-buffer of the RGB camera when both are read."""
    alone = play(SyntheticWorld, STREET, {"thermal"})[1][0].values
    raw = play(SyntheticWorld, STREET, {"thermal_raw"})[1][0].values
    both = play(SyntheticWorld, STREET, {"thermal", "thermal_raw", "image", "truth"})[1][0].values
    image = play(SyntheticWorld, STREET, {"image"})[1][0].values
    assert (
        alone["thermal"].tobytes() == both["thermal"].tobytes() and raw["thermal_raw"].tobytes() == both["thermal_raw"].tobytes()
    )
    assert image["image"].tobytes() == both["image"].tobytes()


@pytest.mark.parametrize("thermal", [ThermalConfig(), APART])
def test_threads_change_nothing(play, thermal):
    one, more = (play.opened(SyntheticWorld, replace(STREET, thermal=thermal), {"thermal_raw"}) for _ in range(2))
    more.threads = 3
    more.open()
    np.testing.assert_array_equal(one.read().values["thermal_raw"], more.read().values["thermal_raw"])
    one.close()
    more.close()


def test_noise_differs_from_frame_to_frame_and_the_fixed_pattern_does_not(play):
    config = replace(BARE, frames=12, ego_speed_mps=0.0, thermal=ThermalConfig(noise_k=0.5))
    frames = np.array([celsius(r) for r in play(SyntheticWorld, config, {"thermal_raw"})[1]])
    temporal = frames.std(0).mean()
    assert 0.3 < temporal < 0.7
    clean = celsius(play(SyntheticWorld, replace(config, frames=1, thermal=ThermalConfig(noise_k=0.0)), {"thermal_raw"})[1][0])
    assert 0.2 < (frames.mean(0) - clean).std() < 0.7


# -- two cameras --------------------------------------------------------------------------------------------------------


def test_registered_by_default():
    image = kitti_like_calibration(160, 128)
    mounted = mount(ThermalConfig(), image)
    assert mounted.registered and mounted.calibration is image and np.array_equal(mounted.homography, np.eye(3))
    assert mount(ThermalConfig(width=160, height=128), image).registered


@pytest.mark.parametrize(
    "config",
    [
        APART, ThermalConfig(width=320, height=256), ThermalConfig(view_deg=30.0), ThermalConfig(turn_deg=(10.0, 0, 0)),
        ThermalConfig(turn_deg=(0, 5.0, 0)), ThermalConfig(turn_deg=(0, 0, 20.0)), ThermalConfig(offset_m=(0.3, -0.2, 0.1)),
    ],
)  # fmt: skip
def test_the_homography_maps_the_plane_at_its_distance(config):
    image = kitti_like_calibration(160, 128)
    mounted = mount(config, image)
    points = np.array([[config.align_m + 0.27, y, z] for y in (-5.0, 0.0, 6.0) for z in (-1.5, 0.3, 2.0)])
    (seen, _), (expected, _) = (project_points(points, c.P_cam, c.T_cam_velo) for c in (image, mounted.calibration))
    mapped = np.column_stack([seen, np.ones(len(seen))]) @ mounted.homography.T
    np.testing.assert_allclose(mapped[:, :2] / mapped[:, 2:], expected, atol=1e-8)


def test_turning_left_moves_the_scene_to_the_right_and_down_moves_it_up():
    image = kitti_like_calibration(160, 128)
    ahead = np.array([[30.0, 0.0, 0.0]])
    at, left, down = (
        project_points(ahead, *mount(ThermalConfig(width=161, turn_deg=turn), image).calibration[:2])[0][0]
        for turn in ((0, 0, 0), (5.0, 0, 0), (0, 5.0, 0))
    )
    assert left[0] > at[0] + 3 and down[1] < at[1] - 3


def test_truth_and_calibration_of_a_thermal_camera_of_its_own(play):
    config = replace(standing("Car", 12.0, 1.5), thermal=replace(APART, background=0.0))
    statics, (reading,) = play(SyntheticWorld, config)
    of = {static.port: static.value for static in statics}
    assert of["thermal_calibration"].image_size.tolist() == [128, 100] and of["homography"].shape == (3, 3)
    assert reading.values["thermal"].shape == (100, 128) and reading.values["thermal_raw"].shape == (100, 128)
    own, image = reading.values["thermal_truth"], reading.values["truth"]
    np.testing.assert_array_equal(own.boxes3d, image.boxes3d)
    (box,) = own.boxes2d.tolist()
    corners = np.array([[box[0], box[1], 1], [box[2], box[3], 1]]) @ np.linalg.inv(of["homography"]).T
    near = corners[:, :2] / corners[:, 2:]
    np.testing.assert_allclose(near.ravel(), image.boxes2d[0], atol=8)  # parallax of 0.25 m, roll
    x1, y1, x2, y2 = (round(v) for v in box)
    warm = celsius(reading)
    assert abs(warm[y1:y2, x1:x2].mean() - warm[-10:].mean()) > 0.2, "the car is not as warm as the road"


def test_registered_truths_are_one(play):
    _, (reading,) = play(SyntheticWorld, STREET)
    for own, image in zip(reading.values["thermal_truth"], reading.values["truth"], strict=True):
        np.testing.assert_array_equal(own, image)


# -- gain control -------------------------------------------------------------------------------------------------------


def gained(counts, **config):
    out = np.empty(counts.shape, np.uint8)
    gain_control(counts, ThermalConfig(**config), out)
    return out


def test_fixed_gain_is_linear_between_its_temperatures():
    counts = np.array([[0, 26315, 27315, 28315, 29315, 65535]], np.uint16)
    assert gained(counts, gain="fixed", range_c=(-10.0, 20.0)).tolist() == [[0, 0, 85, 170, 255, 255]]


def test_percentile_gain_spreads_the_scene_but_never_a_scene_of_one_temperature():
    counts = np.arange(29000, 31000, dtype=np.uint16).reshape(40, 50)
    out = gained(counts, percentiles=(10.0, 90.0))
    assert (out == 0).mean() == pytest.approx(0.1, abs=0.01) and (out == 255).mean() == pytest.approx(0.1, abs=0.01)
    assert np.ptp(gained(np.full((4, 4), 30000, np.uint16) + np.arange(4, dtype=np.uint16))) < 3


@pytest.mark.parametrize(
    "config, message",
    [
        ({"width": 4000}, r"width: needs 16\.\.2048, got 4000"),
        ({"view_deg": 1.0}, r"view_deg: needs 5\.\.120, got 1"),
        ({"offset_m": (0, 3, 0)}, r"offset_m: needs numbers within 2, got \[0, 3, 0\]"),
        ({"percentiles": (90.0, 10.0)}, r"percentiles: needs two rising numbers 0\.\.100, got \[90\.0, 10\.0\]"),
        ({"range_c": (0.0, 0.0)}, r"range_c: needs two rising numbers -100\.\.300"),
        ({"background": float("nan")}, r"background: needs 0\.\.1, got nan"),
    ],
)
def test_bad_configs(config, message):
    with pytest.raises(ValueError, match=message):
        ThermalConfig(**config)


# -- two sensors --------------------------------------------------------------------------------------------------------

SENSOR = (
    "{driver: synthetic.world, live: true, config: {light: night, frames: 12, rate_hz: 10, range_m: 40, lidar: {view_deg: 90}, "
    "camera: {width: 96, height: 80}}}"
)


@pytest.mark.quick(1)
def test_a_killed_thermal_sensor_leaves_the_camera_alone(pipe):
    """Two nodes of one config, each with one port: two sensors that look at one scene."""
    graph = pipe.graph(
        f"  cam: {SENSOR}\n  heat: {SENSOR}\n  image: {{op: test.null, inputs: {{in: cam.image}}, config: {{write: true}}}}\n"
        "  warm: {op: test.null, inputs: {in: heat.thermal}, config: {write: true}}"
    )
    ended = pipe.run(graph, "--inject", "heat:sent@4")
    assert ended.code == 0, ended.stderr
    assert {node: of["restarts"] for node, of in ended.report["nodes"].items() if of["restarts"]} == {"heat": 1}
    assert ended.ids("image") == list(range(12)) and ended.ids("warm")[:4] == [0, 1, 2, 3] and ended.ids("warm")[-1] == 11
