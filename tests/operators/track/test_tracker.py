import re
from dataclasses import replace

import numpy as np
import pytest

from operators.geometry.transforms import rigid, rotation_z, transform_boxes
from operators.streams import CLASSES, TRACKS, Boxes3D
from operators.track.tracker import ClassConfig, CyclistConfig, PedestrianConfig, Tracker, TrackerConfig
from pipeline.errors import FrameError
from pipeline.operator import Resume

CAR, PEDESTRIAN, CYCLIST = (CLASSES.index(name) for name in ("Car", "Pedestrian", "Cyclist"))
SIZE = {CAR: (4.0, 1.8, 1.5), PEDESTRIAN: (0.8, 0.6, 1.8), CYCLIST: (1.8, 0.6, 1.7)}


def detections(*objects, score=0.9):
    """(label, x, y[, yaw]) each, the score the same or one per object"""
    rows = [(x, y, -1.0, *SIZE[label], *(yaw or (0.0,))) for label, x, y, *yaw in objects]
    labels = np.array([o[0] for o in objects], np.int32)
    scores = np.broadcast_to(np.float32(score), len(objects)).copy()
    return Boxes3D(np.array(rows, np.float32).reshape(-1, 7), scores, labels)


def play(op, header, frames, poses=None, start=0):
    """A list of detections in, a list of tracks out"""
    out = []
    for k, boxes3d in enumerate(frames):
        op.header = header(start + k)
        pose = None if poses is None else poses[k]
        out.append(op.process(boxes3d=boxes3d, **({} if pose is None else {"pose": pose})))
        TRACKS.check(out[-1]._asdict(), "tracker")
    return out


def ids(tracks):
    return [t.track_ids.tolist() for t in tracks]


def test_empty_frames_are_ordinary_frames(make, header):
    op = make(Tracker)
    assert ids(play(op, header, [detections()] * 3)) == [[], [], []]
    assert op.frame == 3


def test_one_detection_is_one_track_where_it_was_seen(make, header):
    (tracks,) = play(make(Tracker), header, [detections((CAR, 10, 2, 0.3), score=0.7)])
    np.testing.assert_allclose(tracks.boxes3d, [[10, 2, -1, 4, 1.8, 1.5, 0.3]], rtol=1e-6)
    assert (tracks.scores.tolist(), tracks.labels.tolist(), tracks.track_ids.tolist()) == ([np.float32(0.7)], [CAR], [1])


@pytest.mark.parametrize("label", [CAR, PEDESTRIAN, CYCLIST])
def test_constant_velocity_keeps_one_id_for_50_frames_with_10_percent_dropped(make, header, label):
    """Every tenth detection is missing, the rest are 10 cm off; the track is there in all frames once it has begun."""
    rng = np.random.default_rng(0)
    frames = []
    for k in range(50):
        x, y = 5 + 0.6 * k + rng.normal(0, 0.1), 3 - 0.1 * k + rng.normal(0, 0.1)
        frames.append(detections() if k % 10 == 7 else detections((label, x, y)))
    tracks = play(make(Tracker), header, frames)
    assert ids(tracks) == [[1]] * 50
    late = np.array([t.boxes3d[0, :2] for t in tracks[15:]])
    true = np.stack([5 + 0.6 * np.arange(15, 50), 3 - 0.1 * np.arange(15, 50)], 1)
    assert np.abs(late - true).max() < 0.3


def test_random_10_percent_of_detections_dropped(make, header):
    """Pedestrians live through 3 misses in a row: none of 20 walks of 50 frames may lose its id."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        frames = [detections() if k and rng.random() < 0.1 else detections((PEDESTRIAN, 5 + 0.1 * k, 0)) for k in range(50)]
        seen = {i for frame in ids(play(make(Tracker), header, frames)) for i in frame}
        assert seen == {1}, seed


@pytest.mark.parametrize(
    ("label", "gap", "speed"),
    [(CAR, 3.0, 1.5), (PEDESTRIAN, 1.2, 0.15), (CYCLIST, 3.0, 0.6)],
    ids=["car", "pedestrian", "cyclist"],
)
def test_objects_that_pass_each_other_keep_their_ids(make, header, label, gap, speed):
    """One comes, one goes, side by side in the middle; the order of the detections changes at random."""
    rng = np.random.default_rng(1)
    tracks, homes = [], []
    op = make(Tracker)
    for k in range(40):
        both = [(label, 10 + speed * k, 0.0), (label, 10 + speed * (39 - k), gap)]
        order = rng.permutation(2)
        tracks += play(op, header, [detections(*[both[i] for i in order])], start=k)
        homes.append({int(i): bool(y > gap / 2) for i, y in zip(tracks[-1].track_ids, tracks[-1].boxes3d[:, 1], strict=True)})
    assert all(home == homes[0] for home in homes) and sorted(homes[0]) == [1, 2]


def test_many_objects_of_all_classes_have_ids_of_their_own(make, header):
    spots = [(label, 8 * n, 8 * label) for label in (CAR, PEDESTRIAN, CYCLIST) for n in range(5)]
    tracks = play(make(Tracker), header, [detections(*spots)] * 6)
    assert all(sorted(frame) == list(range(1, 16)) for frame in ids(tracks))
    assert tracks[-1].labels.tolist() == [label for label, *_ in spots]


def test_classes_do_not_take_each_others_tracks(make, header):
    """A box that changes its class is another track; the old one coasts."""
    frames = [detections((CAR, 10, 0))] * 3 + [detections((CYCLIST, 10, 0))]
    got = play(make(Tracker, cyclist=CyclistConfig(min_hits=1)), header, frames)[-1]
    assert dict(zip(got.track_ids.tolist(), got.labels.tolist(), strict=True)) == {1: CAR, 2: CYCLIST}


@pytest.mark.parametrize(
    ("config", "shown", "why"),
    [
        (ClassConfig(), [0, 0, 1, 1, 1, 0, 0], "third hit, then one frame coasted"),
        (ClassConfig(min_hits=1), [1, 1, 1, 1, 1, 0, 0], "at once"),
        (ClassConfig(max_age=1), [0, 0, 1, 1, 0, 0, 0], "dies at the first miss"),
        (ClassConfig(max_age=4), [0, 0, 1, 1, 1, 1, 1], "coasts three frames"),
    ],
)
def test_when_a_track_is_shown(make, header, config, shown, why):
    """Seen in frames 4..7 of a recording (the first three frames show everything), then never again."""
    car = detections((CAR, 10, 0))
    tracks = play(make(Tracker, car=config), header, [detections()] * 4 + [car] * 4 + [detections()] * 3)
    assert [len(t.track_ids) for t in tracks[4:]] == shown, why


def test_a_coasting_track_moves_on_and_keeps_its_score(make, header):
    frames = [detections((CAR, 10 + k, 0), score=0.1 * k) for k in range(8)] + [detections()]
    tracks = play(make(Tracker), header, frames)
    assert tracks[-1].boxes3d[0, 0] == pytest.approx(18, abs=0.1)
    assert tracks[-1].scores[0] == np.float32(0.7)


def test_missing_frames_are_steps_too(make, header):
    """3 m per frame, two frames gone: the car is 9 m further and still itself, because the stamps say so."""
    op = make(Tracker, car=ClassConfig(metric="distance_3d", threshold=3.5))
    tracks = [play(op, header, [detections((CAR, 3.0 * k, 0))], start=k)[0] for k in range(12) if k not in (8, 9)]
    assert ids(tracks) == [[1]] * 10


@pytest.mark.parametrize(
    ("second", "why"),
    [
        ({"item": "0001/000000", "stamp_ns": 10**9}, "another sequence"),
        ({"stamp_ns": 0}, "back in time"),
        ({"stamp_ns": 900_000_000 + 11 * 100_000_000}, "a long gap"),
    ],
)
def test_another_recording_ends_all_tracks_and_ids_run_on(make, header, second, why):
    op = make(Tracker)
    play(op, header, [detections((CAR, 10, 0))] * 10)
    op.header = header(10, **second)
    again = op.process(boxes3d=detections((CAR, 10, 0)))
    assert again.track_ids.tolist() == [2], why
    assert op.frame == 1, "its first frames show everything again"


def drive(header, make, poses, **config):
    """The car drives 2.5 m per frame past a parked car, for the tracker: it moves, differently, each frame."""
    parked = detections((CAR, 20, 3)).boxes3d
    T = [rigid(rotation_z(0.03 * k), (0.08 * k * k, 0.3 * k, 0)) for k in range(14)]
    frames = []
    for T_world_velo in T:
        boxes3d = transform_boxes(parked, np.linalg.inv(T_world_velo))
        frames.append(Boxes3D(boxes3d, np.ones(1, np.float32), np.array([CAR], np.int32)))
    tracks = play(make(Tracker, **config), header, frames, [T[k] if poses(k) else None for k in range(14)])
    return tracks, frames


def test_ego_motion_makes_parked_cars_predictable(make, header):
    """Speeding up and turning: with poses the prediction is right, without it lags behind."""
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


def test_the_pose_is_not_kept(make, header):
    """Its memory goes back to the pool after process()."""
    op = make(Tracker)
    pose = np.eye(4)
    play(op, header, [detections((CAR, 5, 0))], [pose])
    pose[:] = np.nan
    assert np.isfinite(play(op, header, [detections((CAR, 5, 0))], [np.eye(4)], start=1)[0].boxes3d).all()


def test_outputs_and_state_are_independent_of_the_inputs(make, header):
    op = make(Tracker)
    boxes3d = detections((CAR, 5, 0), (PEDESTRIAN, 9, 0))
    (tracks,) = play(op, header, [boxes3d])
    for ours in (*tracks, op.table.x, op.table.scores, op.table.labels):
        assert not any(np.shares_memory(ours, theirs) for theirs in boxes3d)
    for array in boxes3d:
        array[:] = 0
    assert play(op, header, [detections()], start=1)[0].labels.tolist() == [CAR, PEDESTRIAN]


def test_a_detector_that_confuses_front_and_back(make, header):
    yaws = [0.2, 0.2, 0.2 - np.pi, 0.2, 0.2, 0.2 - np.pi]
    tracks = play(make(Tracker), header, [detections((CAR, 10, 0, yaw)) for yaw in yaws])
    np.testing.assert_allclose([t.boxes3d[0, 6] for t in tracks], yaws, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "tracked"),
    [
        ({}, [CAR, PEDESTRIAN, CYCLIST]),
        ({"min_score": 0.5}, [PEDESTRIAN, CYCLIST]),
        ({"min_score": -1.0, "cyclist": CyclistConfig(min_score=2.0)}, [CAR, PEDESTRIAN]),
        ({"min_score": 9.0, "pedestrian": PedestrianConfig(min_score=0.5)}, [PEDESTRIAN]),
    ],
)
def test_min_score_of_all_and_of_a_class(make, header, config, tracked):
    frame = detections((CAR, 10, 0), (PEDESTRIAN, 20, 0), (CYCLIST, 30, 0), score=(0.0, 0.5, 1.0))
    assert play(make(Tracker, **config), header, [frame])[0].labels.tolist() == tracked


@pytest.mark.parametrize(("restarts", "first"), [(0, 1), (1, 1_000_001), (3, 3_000_001)])
def test_ids_carry_the_restart_count(make, header, restarts, first):
    resume = Resume(restarts, 5, "0000/000005") if restarts else None
    assert ids(play(make(Tracker, resume=resume), header, [detections((CAR, 1, 0), (CAR, 9, 0))])) == [[first, first + 1]]


def test_same_input_same_bytes(make, header):
    rng = np.random.default_rng(5)
    frames = [detections(*[(int(rng.integers(3)), *rng.uniform(0, 40, 2)) for _ in range(12)]) for _ in range(20)]
    first, second = ([b"".join(a.tobytes() for a in t) for t in play(make(Tracker), header, frames)] for _ in range(2))
    assert first == second


BOX = [10.0, 0.0, -1.0, 4.0, 1.5, 1.5, 0.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"boxes3d": [[*BOX[:6], np.nan]]},
            "tracker at dets:3: boxes3d: needs finite x y z l w h yaw with l, w, h > 0, "
            "got [10.0, 0.0, -1.0, 4.0, 1.5, 1.5, nan] in row 1; a damaged detection file?",
        ),
        (
            {"boxes3d": [[10.0, 0.0, -1.0, 4.0, 0.0, 1.5, 0.0]]},
            "tracker at dets:3: boxes3d: needs finite x y z l w h yaw with l, w, h > 0, "
            "got [10.0, 0.0, -1.0, 4.0, 0.0, 1.5, 0.0] in row 1; a damaged detection file?",
        ),
        (
            {"labels": [-1]},
            "tracker at dets:3: boxes3d: needs labels 0..7 and scores, got label -1 with score 0.5 in row 1; "
            "DontCare regions are no detections",
        ),
        (
            {"scores": [np.nan]},
            "tracker at dets:3: boxes3d: needs labels 0..7 and scores, got label 0 with score nan in row 1; "
            "DontCare regions are no detections",
        ),
    ],
)
def test_wrong_boxes_are_refused(make, header, change, message):
    good = {"boxes3d": [BOX], "scores": [0.5], "labels": [CAR]}
    types = {"boxes3d": np.float32, "scores": np.float32, "labels": np.int32}
    frame = Boxes3D(**{k: np.array(good[k] + change.get(k, good[k]), types[k]) for k in types})
    op = make(Tracker, name="tracker")
    op.header = header(3)
    with pytest.raises(FrameError, match=f"^{re.escape(message)}$"):
        op.process(boxes3d=frame)


@pytest.mark.parametrize("key", ["min_hits", "max_age"])
def test_wrong_settings(key):
    with pytest.raises(ValueError, match=f"^{key}: needs 1 frame or more, got 0$"):
        ClassConfig(**{key: 0})


def test_the_defaults_are_ab3dmots():
    config = TrackerConfig()
    assert config.car == ClassConfig("giou_3d", -0.2, "hungarian", 3, 2)
    assert config.pedestrian == PedestrianConfig("giou_3d", -0.4, "greedy", 1, 4)
    assert config.cyclist == CyclistConfig("distance_3d", 2.0, "hungarian", 3, 4)
    assert config.other == config.car and replace(config, min_score=1.0).car == config.car
