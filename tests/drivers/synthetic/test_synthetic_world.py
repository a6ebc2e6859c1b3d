import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import naive
from drivers.synthetic.camera import kitti_like_calibration
from drivers.synthetic.scene import FIRST_PLACED_ID, NUM_BODIES, body_of
from drivers.synthetic.spinning import LidarConfig
from drivers.synthetic.street_layout import make_street
from drivers.synthetic.world import CameraConfig, ObjectConfig, SyntheticWorld, WorldConfig
from operators.geometry.project import project_points
from operators.geometry.transforms import invert, transform_boxes
from operators.streams import (
    CLASSES,
    DEPTH,
    GREY,
    IMAGE,
    PANOPTIC,
    PIXEL_IDS,
    POINT_CLASSES,
    POINT_IDS,
    POINT_RINGS,
    POINTS,
    POSE,
    THERMAL_RAW,
    TRUTH,
)
from pipeline.errors import GraphError, InputError
from pipeline.graph.check import check
from pipeline.graph.load import load
from pipeline.testing import run_source

SCHEMAS = {
    "points": POINTS, "point_ids": POINT_IDS, "image": IMAGE, "depth": DEPTH, "pixel_ids": PIXEL_IDS, "truth": TRUTH,
    "thermal": GREY, "thermal_raw": THERMAL_RAW, "thermal_truth": TRUTH, "pose": POSE, "panoptic_truth": PANOPTIC,
    "point_classes_truth": POINT_CLASSES, "point_rings": POINT_RINGS,
}  # fmt: skip
SMALL = WorldConfig(frames=3, range_m=50, lidar=LidarConfig(columns=360, range_m=50), camera=CameraConfig(160, 48))
SHARP = replace(SMALL, lidar=LidarConfig(columns=1800, sweep=False, noise_m=0.0))
"""Nobody moves during a sweep, no noise."""
SIZE = np.array([0, 0, 0, 1, 1, 1, 0])


def content(reading):
    """The whole content of a reading, as bytes per port."""
    return {
        port: b"".join(array.tobytes() for array in SCHEMAS[port].unpack(value, port).values())
        for port, value in reading.values.items()
    }


def contents(readings):
    return [(r.item, r.stamp_ns, content(r)) for r in readings]


@pytest.fixture
def view(play):
    """view(config, *ports) -> values of each frame, and the calibration"""

    def run(config, *ports):
        statics, readings = play(SyntheticWorld, config, ports)
        return [reading.values for reading in readings], statics[0].value

    return run


# -- every port ---------------------------------------------------------------------------------------------------------


def test_nobody_and_nothing_there(play):
    """Density 0: ordinary frames of a bare street."""
    for reading in play(SyntheticWorld, replace(SMALL, density=0.0))[1]:
        for port, value in reading.values.items():
            SCHEMAS[port].check(SCHEMAS[port].unpack(value, port), port)
        values = reading.values
        assert len(values["truth"].labels) == 0 and values["truth"].boxes3d.shape == (0, 7)
        assert len(values["points"]) > 5_000 and (values["point_ids"] == -1).all() and (values["pixel_ids"] == -1).all()
        assert np.isinf(values["depth"][0]).all() and np.isfinite(values["depth"][-1]).all(), "sky and road"


@pytest.mark.parametrize("none", [{"frames": 0}, {"drives": 0}])
def test_no_frames(play, none):
    statics, readings = play(SyntheticWorld, replace(SMALL, **none))
    assert readings == [] and [s.port for s in statics] == ["calibration", "thermal_calibration", "homography"]


def test_every_port_and_the_numbers_of_drives_and_frames(play):
    statics, readings = play(SyntheticWorld, replace(SMALL, drives=2, frames=3, first_drive=8))
    assert [(r.item, r.stamp_ns) for r in readings] == [
        ("0008/000000", 0), ("0008/000001", 100_000_000), ("0008/000002", 200_000_000),
        ("0009/000000", 300_000_000), ("0009/000001", 400_000_000), ("0009/000002", 500_000_000),
    ]  # fmt: skip
    for reading in readings:
        assert set(reading.values) == set(SCHEMAS)
        for port, value in reading.values.items():
            SCHEMAS[port].check(SCHEMAS[port].unpack(value, port), port)
        assert len(reading.values["points"]) == len(reading.values["point_ids"]) > 8_000
        assert len(reading.values["truth"].labels) > 3
    assert statics[0].value.image_size.tolist() == [160, 48]
    np.testing.assert_array_equal(statics[0].value.P_cam, kitti_like_calibration(160, 48).P_cam)
    for first, later in ((0, 1), (0, 3)):
        assert readings[first].values["points"].tobytes() != readings[later].values["points"].tobytes()


@pytest.mark.parametrize("rate_hz", [0.1, 9.97, 29.97, 1000.0])
def test_stamps_rise_and_are_those_that_find_tells(rate_hz):
    """Also at large times, where rounding would reveal different formulas."""
    config = replace(SMALL, frames=200_000, rate_hz=rate_hz)
    stamps = SyntheticWorld.find(config).stamps_ns
    assert (np.diff(stamps) > 0).all()
    for start in (0, 88_327, 104_880, 199_998):
        readings = run_source(SyntheticWorld, config, start=start, frames=2, wanted=["pose"])
        assert [r.stamp_ns for r in readings] == stamps[start : start + 2].tolist()


def test_a_drive_is_the_same_whatever_its_place_in_the_run(play):
    """Drive 5 equals drive 0 of a run with `first_drive: 5`, except for its stamp."""
    ports = ("points", "truth", "pose")
    among = play(SyntheticWorld, replace(SMALL, drives=6, frames=1), ports)[1][5]
    alone = play(SyntheticWorld, replace(SMALL, drives=1, frames=1, first_drive=5), ports)[1][0]
    assert among.item == alone.item == "0005/000000" and content(among) == content(alone)


# -- the same bytes -----------------------------------------------------------------------------------------------------


def test_same_seed_same_bytes_another_seed_another_world(play):
    first, again, other = (contents(play(SyntheticWorld, replace(SMALL, frames=2, seed=seed))[1]) for seed in (7, 7, 8))
    assert first == again
    assert all(first[1][2][port] != other[1][2][port] for port in SCHEMAS)


@pytest.mark.parametrize("start", [1, 3, 5, 6])
def test_reading_from_the_middle_equals_reading_through(play, start):
    config = replace(SMALL, drives=2, frames=3)
    assert contents(play(SyntheticWorld, config, start=start)[1]) == contents(play(SyntheticWorld, config)[1])[start:]


PORTS = tuple(SCHEMAS)


@pytest.mark.parametrize("view_deg", [360.0, 90.0])
def test_no_port_depends_on_what_else_is_wanted(play, view_deg):
    config = replace(SMALL, drives=4, frames=1, lidar=replace(SMALL.lidar, view_deg=view_deg))
    whole = contents(play(SyntheticWorld, config)[1])
    for port in PORTS:
        for alone, (*_, values) in zip(contents(play(SyntheticWorld, config, {port})[1]), whole, strict=True):
            assert alone[2] == {port: values[port]}


def test_shadows_do_not_depend_on_what_else_is_wanted(play):
    """A drive with the sun low behind it and trees beside the ego."""
    config = replace(SMALL, frames=1, first_drive=34, range_m=80, camera=CameraConfig(640, 192))
    alone, beside = (contents(play(SyntheticWorld, config, {"image", *more})[1]) for more in ((), ("truth",)))
    assert alone[0][2]["image"] == beside[0][2]["image"]


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing(play, threads):
    one, more = (play.opened(SyntheticWorld, SMALL) for _ in range(2))
    more.threads = threads
    more.open()
    for _ in range(2):
        assert content(one.read()) == content(more.read())
    one.close()
    more.close()


@pytest.mark.slow
def test_inline_and_in_processes_the_same_digest(pipe):
    lines = [
        "  world: {driver: synthetic.world, config: {drives: 2, frames: 2, range_m: 50, camera: {width: 160, height: 48}, "
        "lidar: {columns: 360}}}",
        *(f"  {port}: {{op: test.null, inputs: {{in: world.{port}}}}}" for port in PORTS),
    ]
    graph = pipe.graph("\n".join(lines))
    runs = [pipe.run(graph, *args) for args in ((), ("--place", "inline"), ("--set", "world.threads=2"))]
    assert [r.code for r in runs] == [0, 0, 0], runs[0].stderr
    digests = [r.report["digest"] for r in runs]
    assert digests[0] == digests[1] == digests[2] and len(set(digests[0].values())) == len(PORTS) - 1  # both truths are one


# -- what is true -------------------------------------------------------------------------------------------------------


def test_points_lie_in_the_box_of_their_object(view):
    """All points except those on mirrors and bags; no other ids occur."""
    inside, total, seen = 0, 0, set()
    for values in view(replace(SHARP, drives=8, frames=1), "points", "point_ids", "truth")[0]:
        boxes = dict(zip(values["truth"].track_ids.tolist(), values["truth"].boxes3d.astype(float), strict=True))
        assert set(values["point_ids"].tolist()) <= {-1, *boxes}
        for track_id in set(values["point_ids"].tolist()) - {-1}:
            points = values["points"][values["point_ids"] == track_id]
            assert naive.inside_box(points, boxes[track_id] + 0.36 * SIZE).all()
            inside += naive.inside_box(points, boxes[track_id] + 0.04 * SIZE).sum()
            total += len(points)
            seen.add(track_id)
    assert total > 5_000 and inside / total > 0.97 and len(seen) > 60


def test_noise_stays_near_the_box(view):
    """Points of a moving sensor: most lie within a few centimetres of the box of a slow object."""
    config = replace(SHARP, frames=4, ego_speed_mps=0.0, style="plaza", lidar=LidarConfig())
    for values in view(config, "points", "point_ids", "truth")[0]:
        for track_id, label, box in zip(values["truth"].track_ids, values["truth"].labels, values["truth"].boxes3d, strict=True):
            points = values["points"][values["point_ids"] == track_id]
            if len(points) > 30:
                margin = 0.8 if CLASSES[label] == "Cyclist" else 0.3  # cyclists reach 4.5 m/s
                assert naive.inside_box(points, box.astype(float) + margin * SIZE).mean() > 0.97


def test_what_stands_still_keeps_its_place_in_the_world(view):
    """T_world_velo maps the box of every frame to one position while the ego drives on."""
    config = replace(SMALL, frames=12, rate_hz=2.0, range_m=80, style="street")
    street = make_street(config.seed, 0, "street", None, 1.0)
    still = {t.track_id for k in range(12) for t in street.things(k / 2, 80) if t.speed_mps == 0}
    places = {}
    for values in view(config, "pose", "truth")[0]:
        truth = values["truth"]
        for track_id, box in zip(
            truth.track_ids.tolist(), transform_boxes(truth.boxes3d.astype(float), values["pose"]), strict=True
        ):
            places.setdefault(track_id, []).append(box)
    kept = {track_id: np.array(p) for track_id, p in places.items() if len(p) >= 6}
    for track_id in still & set(kept):
        place = kept[track_id]
        assert np.ptp(place[:, :3], axis=0).max() < 2e-3 and np.ptp(np.unwrap(place[:, 6])) < 2e-3
        assert (np.ptp(place[:, 3:6], axis=0) == 0).all()
    assert len(still & set(kept)) > 10
    gone = [np.linalg.norm(place[-1, :2] - place[0, :2]) for track_id, place in kept.items() if track_id not in still]
    assert len(gone) > 5 and min(gone) > 1


def test_the_world_is_the_velodyne_at_frame_0_of_each_drive(view):
    poses = [values["pose"] for values in view(replace(SMALL, drives=2, frames=5), "pose")[0]]
    for drive in (0, 1):
        own = poses[5 * drive : 5 * drive + 5]
        np.testing.assert_allclose(own[0], np.eye(4), atol=1e-12)
        steps = np.array([(invert(a) @ b)[:3, 3] for a, b in pairwise(own)])
        assert np.linalg.norm(steps, axis=1) == pytest.approx([make_street(7, drive).ego_speed_mps / 10] * 4, rel=0.04)
        assert np.abs(steps[:, 1]).max() < 0.02, "a car does not move sideways"


def test_start_s_is_when_frame_0_is(view):
    ports = ("points", "truth")
    through = view(replace(SMALL, frames=1, rate_hz=2.0, start_s=1.5), *ports)[0][0]
    later = view(replace(SMALL, frames=4, rate_hz=2.0), *ports)[0][3]
    for a, b in zip(through["truth"], later["truth"], strict=True):
        if a.dtype != np.int32:  # occlusion depends on the leaves, which are random
            np.testing.assert_array_equal(a, b)


def test_families_of_bodies(view):
    train, test = (view(replace(SMALL, frames=1, shapes=shapes), "truth")[0][0]["truth"] for shapes in ("train", "test"))
    shared = np.intersect1d(train.track_ids, test.track_ids)
    assert len(shared) > 0.9 * len(train.track_ids)
    sizes = [t.boxes3d[np.searchsorted(t.track_ids, shared, sorter=t.track_ids.argsort()), 3:6] for t in (train, test)]
    assert not (sizes[0] == sizes[1]).all(1).any()


def test_the_unlabelled_are_seen_but_not_told(view):
    config = replace(SMALL, drives=4, frames=1)
    whole, some = (view(replace(config, unlabelled=labels), "points", "truth")[0] for labels in ((), ("Truck", "Van")))
    left_out = 0
    for a, b in zip(whole, some, strict=True):
        assert a["points"].tobytes() == b["points"].tobytes()
        kept = ~np.isin(a["truth"].labels, [CLASSES.index("Truck"), CLASSES.index("Van")])
        left_out += (~kept).sum()
        for column, rest in zip(a["truth"], b["truth"], strict=True):
            np.testing.assert_array_equal(column[kept], rest)
    assert left_out > 3


def test_truth_of_a_view_is_whoever_has_his_middle_in_it(view):
    whole, ahead = (
        view(replace(SMALL, frames=1, lidar=replace(SMALL.lidar, view_deg=deg)), "truth")[0][0]["truth"] for deg in (360.0, 90.0)
    )
    inside = np.abs(np.arctan2(whole.boxes3d[:, 1], whole.boxes3d[:, 0])) <= math.pi / 4
    assert 2 < inside.sum() < 0.7 * len(inside)
    assert ahead.track_ids.tolist() == whole.track_ids[inside].tolist()
    np.testing.assert_array_equal(ahead.boxes3d, whole.boxes3d[inside])


# -- camera and LiDAR see one world -------------------------------------------------------------------------------------

BIG = replace(SHARP, drives=8, frames=1, range_m=40, camera=CameraConfig(640, 192))


def test_rectangles_surround_the_pixels_of_their_object(view):
    surrounded = 0
    for values in view(BIG, "pixel_ids", "truth")[0]:
        truth, ids = values["truth"], values["pixel_ids"]
        assert set(np.unique(ids).tolist()) - {-1} <= set(truth.track_ids.tolist())
        for k, track_id in enumerate(truth.track_ids.tolist()):
            rows, columns = np.nonzero(ids == track_id)
            if len(rows) < 60:
                continue
            x1, y1, x2, y2 = truth.boxes2d[k]
            margin = 2 + 0.14 * max(x2 - x1, 4)  # mirrors and bags
            assert x1 - margin <= columns.min() and columns.max() <= x2 + margin
            assert y1 - 2 <= rows.min() and rows.max() <= y2 + 2
            if truth.occluded[k] == 0 and truth.truncated[k] == 0:
                # level 0 allows up to 35 % occlusion, and the box of a walker is as long as a whole stride
                assert (np.ptp(columns) + 1) * (np.ptp(rows) + 1) > 0.35 * (x2 - x1) * (y2 - y1)
                surrounded += 1
    assert surrounded >= 10


def test_who_is_not_in_the_picture_has_no_rectangle(view):
    for values in view(BIG, "truth")[0]:
        truth = values["truth"]
        outside = (truth.boxes2d == 0).all(1)
        angle = np.abs(np.arctan2(truth.boxes3d[:, 1], truth.boxes3d[:, 0]))
        assert outside[angle > 1.3].all() and not outside[(angle < 0.6) & (truth.boxes3d[:, 0] > 4)].any()
        assert (truth.truncated[outside] == 0).all()
        edge = (truth.boxes2d[:, [0, 1]] <= 0) | (truth.boxes2d[:, [2, 3]] >= (639, 191))
        assert (truth.truncated[~edge.any(1)] == 0).all() and (truth.truncated <= 1).all()


def test_depth_and_ids_agree_with_the_points(view):
    """A scan projected into the image agrees with it; camera and LiDAR are 0.3 m apart."""
    errors, same = [], []
    frames, calibration = view(BIG, "points", "point_ids", "depth", "pixel_ids")
    for values in frames:
        uv, depth = project_points(values["points"][:, :3], calibration.P_cam, calibration.T_cam_velo)
        inside = (uv[:, 0] > 0) & (uv[:, 0] < 639) & (uv[:, 1] > 0) & (uv[:, 1] < 191)
        column, row = uv[inside].round().astype(int).T
        errors.append(values["depth"][row, column] - depth[inside])
        same.append(values["pixel_ids"][row, column] == values["point_ids"][inside])
    error, share = np.abs(np.concatenate(errors)), np.concatenate(same).mean()
    assert len(error) > 30_000 and share > 0.95
    assert np.median(error) < 0.06 and np.quantile(error, 0.8) < 0.5


def one(view, *objects):
    """Truth of the objects placed on a bare street, at frame 0."""
    return view(replace(BIG, drives=1, density=0.0, ego_speed_mps=0.0, objects=objects), "truth")[0][0]["truth"]


def test_a_placed_car(view):
    truth = one(view, ObjectConfig("Car", 15.0, 2.0, 0.0, 3))
    assert truth.labels.tolist() == [0] and truth.track_ids.tolist() == [FIRST_PLACED_ID]
    assert np.hypot(*truth.boxes3d[0, :2]) == pytest.approx(math.hypot(15, 2), abs=0.6), "along a street that winds"
    assert truth.occluded.tolist() == [0] and truth.truncated.tolist() == [0]


def test_a_placed_car_stands_ahead_of_frame_0_whenever_that_is(view):
    for start_s in (0.0, 5.0):
        config = replace(BIG, drives=1, density=0.0, ego_speed_mps=10.0, start_s=start_s, frames=2)
        config = replace(config, objects=(ObjectConfig("Car", 15.0, 2.0, 0.0, 3),))
        first, later = (values["truth"].boxes3d[0] for values in view(config, "truth")[0])
        assert np.hypot(*first[:2]) == pytest.approx(math.hypot(15, 2), abs=0.6)
        assert first[0] - later[0] == pytest.approx(1.0, abs=0.1), "the ego drives on"


def test_levels_of_occlusion(view):
    """Behind a truck that stands crosswise; half behind it; beside it."""
    truck = ObjectConfig("Truck", 12.0, 0.0, math.pi / 2)
    levels = [int(one(view, truck, ObjectConfig("Car", 20.0, y, math.pi / 2)).occluded[1]) for y in np.linspace(0, 16, 17)]
    assert levels[0] == 2 and levels[-1] == 0 and set(levels) == {0, 1, 2}
    assert levels == sorted(levels, reverse=True)


def test_truncated_is_the_share_outside_the_picture(view):
    """A car that leaves the image to the left, step by step."""
    shares = [one(view, ObjectConfig("Car", 10.0, y, 0.0)) for y in np.linspace(0, 14, 15)]
    values = [float(truth.truncated[0]) for truth in shares if (truth.boxes2d != 0).any()]
    assert values[0] == 0 and any(0.2 < v < 0.8 for v in values) and values == sorted(values)
    assert len(values) < 15 and shares[-1].truncated[0] == 0, "gone: no rectangle, nothing cut"


# -- other sensors ------------------------------------------------------------------------------------------------------


def test_crop_camera_is_what_projects_into_the_picture(view):
    lidar = replace(SMALL.lidar, columns=1800)
    config = replace(SMALL, drives=2, frames=1, lidar=lidar)
    whole, calibration = view(config, "points", "point_ids")
    cropped = view(replace(config, lidar=replace(lidar, crop="camera")), "points", "point_ids")[0]
    for full, cut in zip(whole, cropped, strict=True):
        (u, v), _ = (a.T for a in project_points(full["points"][:, :3], calibration.P_cam, calibration.T_cam_velo))
        width, height = calibration.image_size
        kept = (u >= 0) & (u < width) & (v >= 0) & (v < height)
        assert 0.03 < kept.mean() < 0.3
        np.testing.assert_array_equal(cut["points"], full["points"][kept])
        np.testing.assert_array_equal(cut["point_ids"], full["point_ids"][kept])


def test_crop_mixed_cuts_every_other_drive(view):
    scans = {
        crop: [v["points"] for v in view(replace(SMALL, drives=4, frames=1, lidar=replace(SMALL.lidar, crop=crop)), "points")[0]]
        for crop in ("none", "camera", "mixed")
    }
    for drive in range(4):
        assert scans["mixed"][drive].tobytes() == scans["camera" if drive % 2 else "none"][drive].tobytes()


@pytest.mark.parametrize(
    ("lidar", "rings", "most"),
    [
        ({"beams": "vlp16", "columns": 900}, 16, 14_400),
        ({"beams": "hdl32e", "columns": 720}, 32, 23_040),
        ({"beams": "os1_64", "columns": 512}, 64, 32_768),
        ({"beams": "os0_128", "columns": 512}, 128, 65_536),
        ({"columns": 64, "view_deg": 40}, 64, 448),
        ({"columns": 8, "view_deg": 1}, 64, 64),
    ],
    ids=["vlp16", "hdl32e", "os1_64", "os0_128", "narrow", "one column"],
)
def test_other_lidars(lidar, rings, most):
    config = {"frames": 2, "range_m": 50, "camera": {"width": 160, "height": 48}, "lidar": lidar}
    for reading in run_source(SyntheticWorld, config, wanted=["points", "point_ids", "truth"]):
        points = reading.values["points"].astype(float)
        assert 0.15 * most < len(points) <= most
        if config["lidar"].get("beams") in ("vlp16", "os0_128"):  # all beams start at one height
            elevation = np.degrees(np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1])))
            low, high = (15, -15) if rings == 16 else (45, -45)
            nearest = np.abs(elevation[:, None] - np.linspace(low, high, rings)).min(1)
            assert np.quantile(nearest, 0.9) < 0.05


def test_cameras_of_other_sizes(view):
    for width, height in ((16, 16), (1242, 375)):
        values, calibration = view(replace(SMALL, frames=1, camera=CameraConfig(width, height)), "image", "depth", "pixel_ids")
        assert values[0]["image"].shape == (height, width, 3) and values[0]["depth"].shape == (height, width)
        assert calibration.image_size.tolist() == [width, height]
        assert SyntheticWorld.slot_bytes(replace(SMALL, camera=CameraConfig(width, height)))["image"] >= 3 * width * height


# -- crowds and wrong settings ------------------------------------------------------------------------------------------


def crowd(count):
    """A car park ahead."""
    return [{"label": "Car", "x_m": 8 + 6 * (k % 25), "y_m": -40 + 3 * (k // 25), "body": k} for k in range(count)]


def test_three_hundred_objects():
    """Placed one by one, and by density."""
    wanted, camera = ["points", "point_ids", "truth", "pixel_ids"], {"width": 160, "height": 48}
    config = {"frames": 1, "density": 0, "ego_speed_mps": 0, "camera": camera, "objects": crowd(300)}
    (reading,) = run_source(SyntheticWorld, config, wanted=wanted)
    truth = reading.values["truth"]
    assert len(truth.labels) == 300 == len(set(truth.track_ids.tolist()))
    assert len(set(reading.values["point_ids"].tolist()) - {-1}) > 50
    (reading,) = run_source(SyntheticWorld, {"frames": 1, "density": 4, "seed": 3, "camera": camera}, wanted=wanted)
    assert len(reading.values["truth"].labels) > 150


CASES = [
    ("{fog: 1}", r"world\.config\.fog: unknown key; known: camera, density, drives, .*"),
    ("{densty: 1}", r"world\.config\.densty: unknown key; did you mean density\?"),
    ("{lidar: {column: 9}}", r"world\.config\.lidar\.column: unknown key; did you mean columns\?"),
    ("{light: noon}", r"world\.config\.light: needs day \| dusk \| night \| mixed, got 'noon'"),
    ("{glare: 1.5}", r"config\.glare: needs 0\.\.1, got 1\.5"),
    ("{thermal: {width: 4000}}", r"world\.config\.thermal\.width: needs 16\.\.2048, got 4000"),
    ("{camera: {width: 0}}", r"world\.config\.camera\.width: needs 16\.\.2048, got 0"),
    ("{camera: {height: 4000}}", r"world\.config\.camera\.height: needs 16\.\.2048, got 4000"),
    ("{lidar: {columns: 5000}}", r"world\.config\.lidar\.columns: needs 8\.\.4096, got 5000"),
    ("{lidar: {beams: hdl65e}}", r"world\.config\.lidar\.beams: needs hdl64e \| .*, got 'hdl65e'; did you mean hdl64e\?"),
    ("{lidar: {range_m: 0}}", r"world\.config\.lidar\.range_m: needs 5\.\.250, got 0\.0"),
    ("{style: alley}", r"world\.config\.style: needs street \| plaza \| road, got 'alley'"),
    ("{unlabelled: [Tram]}", r"world\.config\.unlabelled\[0\]: needs Car \| .*, got 'Tram'"),
    ("{objects: [{label: Tram}]}", r"world\.config\.objects\[0\]\.label: needs Car \| .*, got 'Tram'"),
    ("{objects: [{x_m: .nan}]}", r"world\.config\.objects\[0\]\.x_m: needs float, got '\.nan'"),
    ("{seed: -1}", r"config\.seed: needs 0\.\.\d+, got -1"),
    ("{drives: -1}", r"config\.drives: needs 0\.\.\d+, got -1"),
    ("{first_drive: -3}", r"config\.first_drive: needs 0\.\.\d+, got -3"),
    ("{frames: -1}", r"config\.frames: needs 0\.\.\d+, got -1"),
    ("{rate_hz: 0}", r"config\.rate_hz: needs 0\.1\.\.1000, got 0\.0"),
    ("{density: 11}", r"config\.density: needs 0\.\.10, got 11\.0"),
    ("{range_m: 300}", r"config\.range_m: needs 5\.\.250, got 300\.0"),
    ("{start_s: -1}", r"config\.start_s: needs 0\.\.1000000\.0, got -1\.0"),
    ("{ego_speed_mps: -1}", r"config\.ego_speed_mps: needs 0\.0\.\.60\.0, got -1\.0"),
    (
        "{drives: 2147483648, frames: 2147483648}",
        r"config\.drives x config\.frames: needs at most 100000000 in all, got 2147483648 x 2147483648",
    ),
    ("{objects: [{x_m: 30}, {x_m: 40, body: -1}]}", r"config\.objects\[1\]\.body: needs 0\.\.599 for a Car, got -1"),
    ("{objects: [{label: Van, body: 200}]}", r"config\.objects\[0\]\.body: needs 0\.\.199 for a Van, got 200"),
    (
        "{objects: [{x_m: 30}, {x_m: 0.5, y_m: 0.5}]}",
        r"config\.objects\[1\]: needs a place outside the ego vehicle \(x -3\.2\.\.1\.7 m, y within 1\.2 m\), "
        r"got a Car at x 0\.5, y 0\.5; move it ahead\?",
    ),
]


@pytest.mark.parametrize(("config", "text"), CASES, ids=[config for config, _ in CASES])
def test_wrong_settings_are_told_in_one_line(tmp_path, config, text):
    """With file and line, before the start."""
    path = tmp_path / "g.yaml"
    path.write_text(
        f"version: 1\nnodes:\n  world: {{driver: synthetic.world, config: {config}}}\n"
        "  out: {op: test.null, inputs: {in: world.points}}\n"
    )
    with pytest.raises((GraphError, InputError), match=rf"g\.yaml:3: (world: synthetic\.world: )?{text}$") as e:
        check(load(path))
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("place", "inside"),
    [
        ({"x_m": 0.0}, True),
        ({"x_m": 3.0}, True),
        ({"x_m": 6.0}, False),
        ({"x_m": -4.0}, True),
        ({"x_m": -8.0}, False),
        ({"x_m": 0.0, "y_m": 1.9}, True),
        ({"x_m": 0.0, "y_m": 2.4}, False),
        ({"x_m": 0.0, "y_m": 2.4, "yaw_rad": 1.57}, True),
        ({"label": "Pedestrian", "x_m": 2.5}, False),
        ({"label": "Pedestrian", "x_m": 1.9}, True),
        ({"label": "Truck", "x_m": 6.0}, True),
    ],
)
def test_no_object_inside_the_ego_vehicle(place, inside):
    config = WorldConfig(objects=(ObjectConfig(**place),))
    if inside:
        with pytest.raises(InputError, match=r"config\.objects\[0\]: needs a place outside the ego vehicle"):
            SyntheticWorld.find(config)
    else:
        assert SyntheticWorld.find(config).frames == 200


def test_inside_the_ego_vehicle_is_where_footprints_share_area():
    """At any rotation, compared with an oracle."""
    random = np.random.default_rng(5)
    ego, inside = naive.footprint(np.array([(1.7 - 3.2) / 2, 0, 0, 4.9, 2.4, 1, 0])), 0
    for k in range(60):
        x, y, yaw = random.uniform([-7, -4, -3], [6, 4, 3])
        label = ("Car", "Pedestrian", "Truck")[k % 3]
        size = body_of("train", CLASSES.index(label), k, 0).size
        shared = naive.clip_polygon(naive.footprint(np.array([x, y, 0, *size, yaw])), ego)
        config = WorldConfig(objects=(ObjectConfig(label, x, y, yaw, k),))
        if shared:
            inside += 1
            with pytest.raises(InputError, match=r"config\.objects\[0\]: needs a place outside the ego vehicle"):
                SyntheticWorld.find(config)
        else:
            SyntheticWorld.find(config)
    assert 15 < inside < 45


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_places_are_finite(number):
    with pytest.raises(
        InputError, match=rf"config\.objects\[0\]: needs finite numbers, got x_m {number}, y_m 0\.0, yaw_rad 0\.0"
    ):
        SyntheticWorld.find(WorldConfig(objects=(ObjectConfig(x_m=number),)))


def test_every_body_there_is_can_be_placed():
    for label, count in NUM_BODIES.items():
        assert SyntheticWorld.find(WorldConfig(objects=(ObjectConfig(CLASSES[label], 30.0, body=count - 1),))).frames == 200
