import numpy as np
import pytest
from naive_tracker import NaiveTracker
from tracking import CAR, CYCLIST, PEDESTRIAN, detections, ids, in_picture, play, play_both

from drivers.synthetic.traffic import SyntheticTraffic
from operators.geometry.boxes3d import velo_to_camera, wrap_angle
from operators.geometry.transforms import invert, rigid, rotation_z, transform_boxes
from operators.kernels.ab3dmot import facing
from operators.streams import Boxes3D, Calibration, Imu
from operators.track.ab3dmot import Ab3dmotConfig, ClassConfig, CyclistConfig, PedestrianConfig, of_labels, original_motion
from operators.track.tracker import Tracker
from pipeline.testing import run_source, statics_of


@pytest.fixture
def ab3dmot(make):
    """ab3dmot(car=ClassConfig(...)) -> the tracker with this preset"""
    return lambda **config: make(Tracker, preset="ab3dmot", ab3dmot=Ab3dmotConfig(**config))


def test_empty_frames_are_ordinary_frames(ab3dmot, header):
    op = ab3dmot()
    assert ids(play(op, header, [detections()] * 3)) == [[], [], []]
    assert op.preset.frame == 3


def test_one_detection_is_one_track_where_it_was_seen(ab3dmot, header):
    (tracks,) = play(ab3dmot(), header, [detections((CAR, 10, 2, 0.3), score=0.7)])
    np.testing.assert_allclose(tracks.boxes3d, [[10, 2, -1, 4, 1.8, 1.5, 0.3]], rtol=1e-6)
    assert (tracks.scores.tolist(), tracks.labels.tolist(), tracks.track_ids.tolist()) == ([np.float32(0.7)], [CAR], [1])


@pytest.mark.parametrize("label", [CAR, PEDESTRIAN, CYCLIST])
def test_constant_velocity_keeps_one_id_for_50_frames_with_10_percent_dropped(ab3dmot, header, label):
    """Every tenth detection is missing, the rest are 10 cm off; the track exists in all frames after its start."""
    rng = np.random.default_rng(0)
    frames = []
    for k in range(50):
        x, y = 5 + 0.6 * k + rng.normal(0, 0.1), 3 - 0.1 * k + rng.normal(0, 0.1)
        frames.append(detections() if k % 10 == 7 else detections((label, x, y)))
    tracks = play(ab3dmot(), header, frames)
    assert ids(tracks) == [[1]] * 50
    late = np.array([t.boxes3d[0, :2] for t in tracks[15:]])
    true = np.stack([5 + 0.6 * np.arange(15, 50), 3 - 0.1 * np.arange(15, 50)], 1)
    assert np.abs(late - true).max() < 0.3


def test_random_10_percent_of_detections_dropped(ab3dmot, header):
    """Pedestrian tracks survive 3 misses in a row: none of 20 walks of 50 frames may lose its id."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        frames = [detections() if k and rng.random() < 0.1 else detections((PEDESTRIAN, 5 + 0.1 * k, 0)) for k in range(50)]
        seen = {i for frame in ids(play(ab3dmot(), header, frames)) for i in frame}
        assert seen == {1}, seed


@pytest.mark.parametrize(
    ("label", "gap", "speed"),
    [(CAR, 3.0, 1.5), (PEDESTRIAN, 1.2, 0.15), (CYCLIST, 3.0, 0.6)],
    ids=["car", "pedestrian", "cyclist"],
)
def test_objects_that_pass_each_other_keep_their_ids(ab3dmot, header, label, gap, speed):
    """They drive in opposite directions, side by side in the middle; detections come in random order."""
    rng = np.random.default_rng(1)
    tracks, homes = [], []
    op = ab3dmot()
    for k in range(40):
        both = [(label, 10 + speed * k, 0.0), (label, 10 + speed * (39 - k), gap)]
        order = rng.permutation(2)
        tracks += play(op, header, [detections(*[both[i] for i in order])], start=k)
        homes.append({int(i): bool(y > gap / 2) for i, y in zip(tracks[-1].track_ids, tracks[-1].boxes3d[:, 1], strict=True)})
    assert all(home == homes[0] for home in homes) and sorted(homes[0]) == [1, 2]


def test_many_objects_of_all_classes_have_ids_of_their_own(ab3dmot, header):
    spots = [(label, 8 * n, 8 * label) for label in (CAR, PEDESTRIAN, CYCLIST) for n in range(5)]
    tracks = play(ab3dmot(), header, [detections(*spots)] * 6)
    assert all(sorted(frame) == list(range(1, 16)) for frame in ids(tracks))
    assert tracks[-1].labels.tolist() == [label for label, *_ in spots]


def test_more_objects_than_there_was_room_for(ab3dmot, header):
    """1, then 500: the arrays grow, the first keeps its id."""
    many = [(CAR, 10 * k, 0) for k in range(500)]
    tracks = play(ab3dmot(), header, [detections(many[7]), detections(*many), detections(*many)])
    assert [len(t.labels) for t in tracks] == [1, 500, 500]
    assert tracks[1].track_ids[tracks[1].boxes3d[:, 0] == 70].tolist() == [1]
    assert sorted(tracks[2].track_ids.tolist()) == sorted(tracks[1].track_ids.tolist())


def test_classes_do_not_take_each_others_tracks(ab3dmot, header):
    """A box that changes its class is another track; the old one coasts."""
    frames = [detections((CAR, 10, 0))] * 3 + [detections((CYCLIST, 10, 0))]
    got = play(ab3dmot(cyclist=CyclistConfig(min_hits=1)), header, frames)[-1]
    assert dict(zip(got.track_ids.tolist(), got.labels.tolist(), strict=True)) == {1: CAR, 2: CYCLIST}


def test_a_pair_beyond_the_limit_is_undone_and_costs_a_near_one_its_partner(ab3dmot, header):
    """Tracks at 0 and 10 m, detections A at 1 m and B at 0.5 m: A-2, B-1 is the least total, A-2 is beyond 2 m, A is born."""
    op = ab3dmot(cyclist=CyclistConfig(min_hits=1))
    play(op, header, [detections((CYCLIST, 0, 0), (CYCLIST, 10, 0))])
    (tracks,) = play(op, header, [detections((CYCLIST, 1, 0), (CYCLIST, 0.5, 0.2))], start=1)
    at = dict(zip(tracks.track_ids.tolist(), tracks.boxes3d[:, 0].tolist(), strict=True))
    assert at[1] == pytest.approx(0.5, abs=0.05)
    assert at[2] == pytest.approx(10.0)
    assert at[3] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("threshold", "apart", "matched", "why"),
    [
        (2.0, 2.0, True, "2 m exactly: stays"),
        (2.0, 2.01, False, "beyond"),
    ],
)
def test_a_pair_exactly_at_the_limit_stays(ab3dmot, header, threshold, apart, matched, why):
    op = ab3dmot(car=ClassConfig(metric="distance_3d", threshold=threshold))
    tracks = play(op, header, [detections((CAR, 0, 0)), detections((CAR, apart, 0))])
    assert (len(tracks[1].labels) == 1) == matched, why


@pytest.mark.parametrize(
    ("metric", "threshold", "apart", "matched"),
    [("giou_3d", -0.2, 5.9, True), ("giou_3d", -0.2, 6.1, False), ("iou_3d", 0.01, 3.9, True), ("iou_3d", 0.01, 4.0, False)],
)
def test_overlap_metrics(ab3dmot, header, metric, threshold, apart, matched):
    op = ab3dmot(car=ClassConfig(metric=metric, threshold=threshold))
    tracks = play(op, header, [detections((CAR, 0, 0)), detections((CAR, apart, 0))])
    assert (len(tracks[1].labels) == 1) == matched


@pytest.mark.parametrize(
    ("config", "shown", "why"),
    [
        (ClassConfig(), [0, 0, 1, 1, 1, 0, 0], "third hit, then one frame coasted"),
        (ClassConfig(min_hits=1), [1, 1, 1, 1, 1, 0, 0], "at once"),
        (ClassConfig(max_age=1), [0, 0, 1, 1, 0, 0, 0], "dies at the first miss"),
        (ClassConfig(max_age=4), [0, 0, 1, 1, 1, 1, 1], "coasts three frames"),
    ],
)
def test_when_a_track_is_shown(ab3dmot, header, config, shown, why):
    """Seen in frames 4..7 of a recording (the first three frames show everything), then never again."""
    car = detections((CAR, 10, 0))
    tracks = play(ab3dmot(car=config), header, [detections()] * 4 + [car] * 4 + [detections()] * 3)
    assert [len(t.track_ids) for t in tracks[4:]] == shown, why


def test_hits_are_all_matches_ever(ab3dmot, header):
    """Two hits, a miss, a hit: shown, although there were never three in a row."""
    car, none = detections((CAR, 10, 0)), detections()
    tracks = play(ab3dmot(car=ClassConfig(max_age=3)), header, [none] * 4 + [car, car, none, car])
    assert [len(t.track_ids) for t in tracks[4:]] == [0, 0, 0, 1]


def test_a_coasting_track_moves_on_and_keeps_score_and_2d_box_of_the_last_match(ab3dmot, header):
    op = ab3dmot()
    for k in range(8):
        seen = detections((CAR, 10 + k, 0), score=0.1 * k)
        ((_, boxes2d),) = play_both(op, header, [seen], start=k, boxes2d=in_picture(seen, first=100 * k))
        assert boxes2d.boxes2d.tolist() == [[100 * k, 0, 100 * k + 10, 20]]
    ((tracks, boxes2d),) = play_both(op, header, [detections()], start=8, boxes2d=in_picture(detections()))
    assert tracks.boxes3d[0, 0] == pytest.approx(18, abs=0.1)
    assert tracks.scores[0] == np.float32(0.7)
    assert boxes2d.boxes2d.tolist() == [[700, 0, 710, 20]]


def test_without_2d_boxes_they_are_nan(ab3dmot, header):
    ((_, boxes2d),) = play_both(ab3dmot(), header, [detections((CAR, 10, 0))])
    assert np.isnan(boxes2d.boxes2d).all() and boxes2d.boxes2d.shape == (1, 4)


def test_missing_frames_are_steps_too(ab3dmot, header):
    """3 m per frame, two missing frames: the car is 9 m further and keeps its id, because of the stamps."""
    op = ab3dmot(car=ClassConfig(metric="distance_3d", threshold=3.5))
    tracks = [play(op, header, [detections((CAR, 3.0 * k, 0))], start=k)[0] for k in range(12) if k not in (8, 9)]
    assert ids(tracks) == [[1]] * 10


def drive(header, make, poses, **config):
    """The ego drives 2.5 m per frame past a parked car; without poses the parked car seems to move differently in each frame."""
    parked = detections((CAR, 20, 3)).boxes3d
    T = [rigid(rotation_z(0.03 * k), (0.08 * k * k, 0.3 * k, 0)) for k in range(14)]
    frames = []
    for T_world_velo in T:
        boxes3d = transform_boxes(parked, np.linalg.inv(T_world_velo))
        frames.append(Boxes3D(boxes3d, np.ones(1, np.float32), np.array([CAR], np.int32)))
    tracks = play(make(Tracker, preset="ab3dmot", **config), header, frames, [T[k] if poses(k) else None for k in range(14)])
    return tracks, frames


def test_ego_motion_makes_parked_cars_predictable(make, header):
    """Acceleration and a turn: with poses the prediction is right, without poses it lags."""
    off = {}
    for name, poses, config in (
        ("with", lambda k: True, {}),
        ("without", lambda k: False, {}),
        ("off", lambda k: True, {"use_ego_motion": False}),
    ):
        tracks, frames = drive(header, make, poses, **config)
        assert {i for frame in ids(tracks) for i in frame} == {1}
        off[name] = np.linalg.norm(tracks[-1].boxes3d[0, :3] - frames[-1].boxes3d[0, :3])
    assert off["with"] < 0.02 and off["without"] > 5 * off["with"] and off["off"] == off["without"]


def test_a_frame_without_pose_is_not_compensated_and_no_disaster(make, header):
    tracks, _ = drive(header, make, lambda k: k != 6)
    assert {i for frame in ids(tracks) for i in frame} == {1}


def test_the_pose_is_not_kept(ab3dmot, header):
    """Its memory goes back to the pool after process()."""
    op = ab3dmot()
    pose = np.eye(4)
    play(op, header, [detections((CAR, 5, 0))], [pose])
    pose[:] = np.nan
    assert np.isfinite(play(op, header, [detections((CAR, 5, 0))], [np.eye(4)], start=1)[0].boxes3d).all()


def test_the_originals_ego_motion_is_right_where_the_car_only_drives_and_turns_on_the_flat(calibration):
    """Rotations about one axis commute, so their order does not matter."""
    imu = Imu(rigid(t=(-0.8, 0.3, -0.8)), rigid(rotation_z(0.7)))
    before, now = rigid(rotation_z(0.2), (5, 1, 0)), rigid(rotation_z(0.5), (7, 2, 0))
    T = original_motion(before, now, calibration.T_cam_velo, imu)
    right = calibration.T_cam_velo @ invert(now) @ before @ invert(calibration.T_cam_velo)
    np.testing.assert_allclose(T, right, atol=1e-9)


def test_the_originals_ego_motion_is_its_own_where_the_car_pitches(calibration):
    """A nod by 0.02 rad while the car heads north: about the map's east axis before it is about the car's left one. At 40 m
    ahead the right one lifts a point by 0.8 m, the original's as much, but the other way round or aside."""
    nod = np.array([[np.cos(0.02), 0, np.sin(0.02)], [0, 1, 0], [-np.sin(0.02), 0, np.cos(0.02)]])
    imu = Imu(np.eye(4), rigid(rotation_z(np.pi / 2)))
    T = original_motion(np.eye(4), rigid(nod), calibration.T_cam_velo, imu)
    right = calibration.T_cam_velo @ invert(rigid(nod)) @ invert(calibration.T_cam_velo)
    assert np.abs(T[:3, :3] - right[:3, :3]).max() > 0.019
    R = invert(calibration.T_cam_velo) @ T @ calibration.T_cam_velo
    np.testing.assert_allclose(R[:3, :3], rotation_z(np.pi / 2) @ invert(rigid(nod))[:3, :3] @ rotation_z(-np.pi / 2), atol=1e-9)


@pytest.mark.parametrize(
    ("track", "seen", "turned", "why"),
    [
        (0.1, 0.3, 0.1, "near: as it is"),
        (0.1, 3.1, 0.1 - np.pi, "the detector sees the other end; it comes near as a number in the next step"),
        (-0.1, 3.1, -0.1 + np.pi, "the detector sees the other end"),
        (3.1, -3.1, 3.1 - 2 * np.pi, "near across the seam: near as a number too"),
        (-3.1, 3.1, -3.1 + 2 * np.pi, "from the other side"),
        (0.0, np.pi / 2, 0.0, "exactly 90 deg stays"),
    ],
)
def test_the_track_faces_as_the_detection(track, seen, turned, why):
    got = facing(track, seen)
    assert wrap_angle(np.float64(got - turned)) == pytest.approx(0, abs=1e-12), why
    assert abs(seen - got) <= np.pi / 2 + 1e-12


def test_a_detector_that_confuses_front_and_back(ab3dmot, header):
    yaws = [0.2, 0.2, 0.2 - np.pi, 0.2, 0.2, 0.2 - np.pi]
    tracks = play(ab3dmot(), header, [detections((CAR, 10, 0, yaw)) for yaw in yaws])
    np.testing.assert_allclose([t.boxes3d[0, 6] for t in tracks], yaws, atol=1e-5)


def test_yaw_is_filtered_across_the_seam(ab3dmot, header):
    """Detections wobble around -pi / +pi; the track must not swing through 0."""
    yaws = (3.1, -3.1, 3.12, -3.13, 3.1)
    for tracks in play(ab3dmot(), header, [detections((CAR, 10, 0, yaw)) for yaw in yaws]):
        assert abs(wrap_angle(np.float64(tracks.boxes3d[0, 6]) - np.pi)) < 0.1


@pytest.mark.parametrize(
    ("config", "tracked"),
    [
        ({}, [CAR, PEDESTRIAN, CYCLIST]),
        ({"cyclist": CyclistConfig(min_score=2.0)}, [CAR, PEDESTRIAN]),
        ({"car": ClassConfig(min_score=0.5), "pedestrian": PedestrianConfig(min_score=0.5)}, [PEDESTRIAN, CYCLIST]),
    ],
)
def test_min_score_of_a_class(ab3dmot, header, config, tracked):
    frame = detections((CAR, 0, 0), (PEDESTRIAN, 20, 0), (CYCLIST, 30, 0), score=(0.0, 0.5, 1.0))
    assert play(ab3dmot(**config), header, [frame])[0].labels.tolist() == tracked


@pytest.mark.parametrize("key", ["min_hits", "max_age"])
def test_wrong_settings(key):
    with pytest.raises(ValueError, match=f"^{key}: needs 1 frame or more, got 0$"):
        ClassConfig(**{key: 0})


def test_the_defaults_are_the_papers():
    config = Ab3dmotConfig()
    assert config.car == ClassConfig("giou_3d", -0.2, "hungarian", 3, 2)
    assert config.pedestrian == PedestrianConfig("giou_3d", -0.4, "greedy", 1, 4)
    assert config.cyclist == CyclistConfig("distance_3d", 2.0, "hungarian", 3, 4)
    assert config.other == config.car


def test_the_naive_twin_makes_the_same_tracks(ab3dmot, header):
    """Traffic without poses, all classes: in each frame equally many tracks, at equal positions to 2 cm in the camera frame."""
    config = {"frames": 60, "cars": 14, "pedestrians": 8, "cyclists": 4}
    seen = [Boxes3D(*reading.values["boxes3d"]) for reading in run_source(SyntheticTraffic, config, wanted=("boxes3d",))]
    calibration = Calibration(*statics_of(SyntheticTraffic, config)["calibration"])
    op, twins = ab3dmot(), [NaiveTracker(rule) for rule in of_labels(Ab3dmotConfig())]
    count = 0
    for k, boxes in enumerate(seen):
        op.header = header(k)
        ours = op.process(boxes3d=boxes, calibration=calibration)["tracks"]
        cam = velo_to_camera(boxes.boxes3d, calibration.T_cam_velo)[:, [3, 4, 5, 6, 2, 1, 0]]
        theirs = []
        for label, twin in enumerate(twins):
            mine = boxes.labels == label
            theirs += [(label, *box[:3]) for _, box, _ in twin.step(cam[mine], boxes.scores[mine], np.eye(3, 4))]
        found = velo_to_camera(ours.boxes3d, calibration.T_cam_velo)[:, [3, 4, 5]]
        rows = sorted((int(label), *np.round(row, 2)) for label, row in zip(ours.labels, found, strict=True))
        np.testing.assert_allclose(rows, sorted((t[0], *np.round(t[1:], 2)) for t in theirs), atol=0.021)
        count += len(rows)
    assert count > 500
