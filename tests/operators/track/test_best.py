import numpy as np
import pytest
from tracking import CAR, CYCLIST, PEDESTRIAN, detections, ids, play, play_both

from operators.geometry.project import boxes_to_image
from operators.geometry.transforms import invert, rigid, rotation_z, transform_boxes, transform_points
from operators.streams import Boxes3D
from operators.track import models
from operators.track.best import BestClassConfig, BestConfig, model
from operators.track.tracker import Tracker

NONE = detections()


@pytest.fixture
def best(make):
    """best(car=BestClassConfig(...)) -> the tracker with this preset; scores are probabilities"""
    return lambda unsure="drop", **config: make(Tracker, preset="best", best=BestConfig(**config), unsure=unsure)


def test_one_sure_detection_is_a_track_at_once(best, header):
    (tracks,) = play(best(), header, [detections((CAR, 10, 2, 0.3), score=0.95)])
    assert (tracks.scores.tolist(), tracks.labels.tolist(), tracks.track_ids.tolist()) == ([np.float32(0.95)], [CAR], [1])
    np.testing.assert_allclose(tracks.boxes3d[0, [0, 1, 2, 6]], [10, 2, -1, 0.3], rtol=1e-5)
    assert (np.abs(tracks.boxes3d[0, 3:6] - [4.0, 1.8, 1.5]) < [0.05, 0.1, 0.05]).all(), "between what is seen and a usual size"


def test_a_doubtful_detection_has_to_come_again(best, header):
    """0.6 is more likely true than false, but not enough for a new track, except in the first frames of a recording."""
    car = detections((CAR, 10, 0), score=0.6)
    tracks = play(best(), header, [NONE] * 3 + [car] * 3)
    assert ids(tracks)[3:] == [[], [1], [1]]
    assert ids(play(best(), header, [car])) == [[1]]


def test_an_unlikely_detection_never_shows_but_keeps_a_track(best, header):
    """0.2 alone gives no track. As the continuation of a track it is a match of the second stage."""
    weak, sure = detections((CAR, 10, 0), score=0.2), detections((CAR, 10, 0), score=0.95)
    assert ids(play(best(), header, [weak] * 8)) == [[]] * 8
    op = best(car=BestClassConfig(max_coast=0))
    assert ids(play(op, header, [sure] * 6 + [weak] * 3)) == [[1]] * 9


def test_what_gets_unlikely_is_hidden_and_what_is_hidden_may_come_back_as_itself(best, header):
    weak, sure = detections((CAR, 10, 0), score=0.1), detections((CAR, 10, 0), score=0.95)
    shown = ids(play(best(), header, [sure] * 3 + [weak] * 14 + [sure] * 8))
    assert shown[:3] == [[1]] * 3
    assert shown[16] == []
    assert shown[-1] == [1]


@pytest.mark.parametrize("label", [CAR, PEDESTRIAN, CYCLIST])
def test_constant_velocity_keeps_one_id_for_50_frames_with_10_percent_dropped(best, header, label):
    rng = np.random.default_rng(0)
    frames = []
    for k in range(50):
        x, y = 5 + 0.15 * k + rng.normal(0, 0.05), 3 - 0.05 * k + rng.normal(0, 0.05)
        frames.append(NONE if k % 10 == 7 else detections((label, x, y)))
    tracks = play(best(), header, frames)
    assert {i for frame in ids(tracks) for i in frame} == {1}
    assert all(ids(tracks)[15:]), "shown also where it was not seen"
    late = np.array([t.boxes3d[0, :2] for t in tracks[15:]])
    true = np.stack([5 + 0.15 * np.arange(15, 50), 3 - 0.05 * np.arange(15, 50)], 1)
    assert np.abs(late - true).max() < 0.2


@pytest.mark.parametrize(
    ("label", "gap", "speed"),
    [(CAR, 3.0, 1.5), (PEDESTRIAN, 1.2, 0.15), (CYCLIST, 3.0, 0.6)],
    ids=["car", "pedestrian", "cyclist"],
)
def test_objects_that_pass_each_other_keep_their_ids(best, header, label, gap, speed):
    rng = np.random.default_rng(1)
    op, homes = best(), []
    for k in range(40):
        both = [(label, 10 + speed * k, 0.0), (label, 10 + speed * (39 - k), gap)]
        (tracks,) = play(op, header, [detections(*[both[i] for i in rng.permutation(2)])], start=k)
        homes.append({int(i): bool(y > gap / 2) for i, y in zip(tracks.track_ids, tracks.boxes3d[:, 1], strict=True)})
    assert all(home == homes[0] for home in homes) and sorted(homes[0]) == [1, 2]


def test_an_object_hidden_for_a_second_comes_back_as_itself(best, header):
    """It moves behind a truck for 10 frames; it is shown in a few of them, not in all."""
    frames = [detections((CAR, 5 + 0.8 * k, 0)) for k in range(20)]
    frames += [NONE] * 10 + [detections((CAR, 5 + 0.8 * k, 0)) for k in range(30, 35)]
    shown = ids(play(best(), header, frames))
    assert {i for frame in shown for i in frame} == {1}
    assert shown[20] == [1] and shown[29] == [] and shown[30] == [1]


def test_an_object_twice_detected_is_one(best, header):
    tracks = play(best(), header, [detections((CAR, 10, 0), (CAR, 10.6, 0.3))] * 8)
    assert ids(tracks)[-1] == [1]


def test_a_car_as_long_as_a_bus_needs_more_evidence(best, header):
    """A score of 0.6 twice shows a normal car, but not one of 9 m."""
    car, bus = detections((CAR, 10, 0), score=0.6), detections((CAR, 10, 0), score=0.6)
    bus.boxes3d[:, 3:6] = 9.0, 2.6, 3.2
    assert ids(play(best(), header, [NONE] * 3 + [car] * 4))[-1] == [1]
    assert ids(play(best(), header, [NONE] * 3 + [bus] * 4))[-1] == []


def test_front_and_back_are_decided_by_votes(best, header):
    """One detection in six has the reverse heading; a track born with the reverse heading is corrected."""
    yaws = [0.2, 0.2, 0.2 - np.pi, 0.2, 0.2, 0.2]
    tracks = play(best(), header, [detections((CAR, 10, 0, yaw)) for yaw in yaws])
    np.testing.assert_allclose([t.boxes3d[0, 6] for t in tracks], [0.2] * 6, atol=1e-5)
    yaws = [0.2 - np.pi] + [0.2] * 5
    tracks = play(best(), header, [detections((CAR, 10, 0, yaw)) for yaw in yaws])
    assert tracks[-1].boxes3d[0, 6] == pytest.approx(0.2, abs=1e-5)


def test_a_car_that_drives_backwards_in_all_detections_is_turned_by_its_speed(best, header):
    frames = [detections((CAR, 5 + k, 0, np.pi - 0.01)) for k in range(12)]
    tracks = play(best(), header, frames, [np.eye(4)] * 12)
    assert abs(tracks[-1].boxes3d[0, 6]) < 0.05


def parked_and_driven(num, turn=0.01):
    """Ten parked cars beside the road, seen from a car that speeds up to 1.5 m per frame and turns; its true poses."""
    spots = [(CAR, 8 + 7 * k, 5 * (-1) ** k, 0.1 * k) for k in range(10)]
    world = detections(*spots).boxes3d
    poses, T = [], np.eye(4)
    for k in range(num):
        poses.append(T)
        T = T @ rigid(rotation_z(turn), (min(0.15 * k, 1.5), 0, 0))
    rng = np.random.default_rng(3)
    frames = []
    for T in poses:
        seen = transform_boxes(world, invert(T))
        seen[:, :2] += rng.normal(0, 0.04, (10, 2)).astype(np.float32)
        ahead = seen[:, 0] > 1
        frames.append(Boxes3D(seen[ahead], np.full(ahead.sum(), 0.95, np.float32), np.zeros(ahead.sum(), np.int32)))
    return frames, poses, world


@pytest.mark.parametrize("is_known", [True, False], ids=["poses", "no poses"])
def test_parked_cars_keep_their_ids_and_places_while_the_car_drives(best, header, is_known):
    frames, poses, world = parked_and_driven(35)
    tracks = play(best(), header, frames, poses if is_known else None)
    assert {i for frame in ids(tracks) for i in frame} == set(range(1, 11))
    for T, frame in zip(poses, tracks, strict=True):
        places = transform_points(frame.boxes3d[:, :3], T)[:, :2]
        off = np.linalg.norm(places[:, None] - world[None, :, :2], axis=2).min(1)
        assert off.max() < 0.5


def test_without_poses_the_cars_own_motion_is_found(best, header):
    """35 frames: 30 m of travel to 0.5 m, the turn to 0.02 rad."""
    frames, poses, _ = parked_and_driven(35)
    op = best()
    play(op, header, frames)
    found = op.preset.T
    assert np.linalg.norm(found[:2, 3] - poses[-1][:2, 3]) < 0.5
    assert abs(np.arctan2(found[1, 0], found[0, 0]) - 0.01 * 34) < 0.02


def test_a_frame_without_pose_is_bridged(best, header):
    frames, poses, _ = parked_and_driven(30)
    some = [None if 12 <= k < 15 else T for k, T in enumerate(poses)]
    tracks = play(best(), header, frames, some)
    assert {i for frame in ids(tracks) for i in frame} == set(range(1, 11))


def test_missing_frames_are_steps_too(best, header):
    op = best()
    tracks = [play(op, header, [detections((CAR, 1.5 * k, 0))], start=k)[0] for k in range(20) if k not in (12, 13, 14)]
    assert ids(tracks) == [[1]] * 17
    assert tracks[-1].boxes3d[0, 0] == pytest.approx(28.5, abs=0.1)


def crowd(num=60):
    """A random scene: objects of three classes that are sometimes missed, and false detections."""
    rng = np.random.default_rng(7)
    frames = []
    for k in range(num):
        objects = [
            (label, 6 + 5 * n + 0.2 * k * (n % 3), 4 * label - 4) for label in range(3) for n in range(5) if rng.random() < 0.85
        ]
        objects += [(CAR, *rng.uniform(2, 40, 2))] * (rng.random() < 0.3)
        frames.append(detections(*objects, score=rng.uniform(0.2, 1, len(objects)).astype(np.float32)))
    return frames


@pytest.mark.parametrize("unsure", ["drop", "keep"])
def test_nothing_emitted_depends_on_what_comes_later(best, header, unsure):
    """A random scene truncated at 20 places: the same bytes up to there."""
    frames = crowd()
    whole = [b"".join(a.tobytes() for a in t) for t in play(best(unsure), header, frames)]
    for cut in np.random.default_rng(8).choice(60, 20, replace=False):
        part = [b"".join(a.tobytes() for a in t) for t in play(best(unsure), header, frames[:cut])]
        assert part == whole[:cut], cut


@pytest.mark.parametrize("poses", [None, [np.eye(4)] * 60], ids=["no poses", "poses"])
def test_keep_shows_what_drop_shows_and_more(best, header, poses):
    dropped, kept = (play(best(unsure), header, crowd(), poses) for unsure in ("drop", "keep"))
    for less, more in zip(dropped, kept, strict=True):
        boxes = {box.tobytes() for box in more.boxes3d}
        assert {box.tobytes() for box in less.boxes3d} <= boxes
        assert len(set(more.track_ids.tolist())) == len(more.track_ids)
    assert sum(len(t.labels) for t in kept) > sum(len(t.labels) for t in dropped) + 20


def test_an_unsure_track_is_kept_with_a_low_score_and_its_id_when_it_gets_sure(best, header):
    """0.2 begins no track with `drop`; it moves, is seen better later, and is then shown by `drop`, too."""
    frames = [NONE] * 3 + [detections((CAR, 10 + 0.5 * k, 0), score=0.2 if k < 5 else 0.95) for k in range(12)]
    assert ids(play(best(), header, frames)) == [[]] * 8 + [[1]] * 7
    tracks = play(best("keep"), header, frames)
    assert ids(tracks)[3:] == [[ids(tracks)[3][0]]] * 12
    scores = [float(t.scores[0]) for t in tracks[3:]]
    assert scores[0] < 0.1 and scores[4] < 0.3 < scores[6] and scores[-1] > 0.8


def test_keep_shows_one_step_without_a_detection(best, header):
    weak = detections((CAR, 10, 0), score=0.2)
    assert [len(i) for i in ids(play(best("keep"), header, [weak] * 3 + [NONE] * 3))] == [1, 1, 1, 1, 0, 0]


def test_keep_follows_no_second_detection_of_a_track(best, header):
    frames = [detections((CAR, 10, 0), (CAR, 10.6, 0.3), score=(0.95, 0.2))] * 8
    assert [len(i) for i in ids(play(best("keep"), header, frames))] == [1] * 8


@pytest.mark.parametrize(("kind", "sure", "unsure"), [("logit", 9.0, 0.1), ("probability", 0.97, 0.2)])
def test_scores_of_keep_are_of_the_kind_of_the_detections(make, header, kind, sure, unsure):
    op = make(Tracker, score_kind=kind, unsure="keep")
    (*_, last) = play(op, header, [detections((CAR, 10, 0), (CAR, 30, 0), score=(sure, unsure))] * 6)
    high, low = last.scores.tolist()
    assert high > low + 0.5
    assert kind == "logit" or (0 <= low and high <= 1)


def test_another_recording_ends_unsure_tracks(best, header):
    op, weak = best("keep"), detections((CAR, 10, 0), score=0.2)
    (before,) = play(op, header, [weak])
    (after,) = play(op, lambda k: header(k, f"0007/{k:06d}", 10**12 + k * 10**8), [weak])
    assert set(ids([before])[0]).isdisjoint(ids([after])[0])


def test_in_the_picture_a_car_is_its_box_and_a_person_is_rounder(best, header, calibration):
    seen = detections((CAR, 12, 0, 0.4), (PEDESTRIAN, 9, 2, 0.4), (CAR, 10, 30), score=0.95)
    ((tracks, boxes2d),) = play_both(best(), header, [seen], calibration=calibration)
    boxes, _ = boxes_to_image(tracks.boxes3d, *calibration)
    np.testing.assert_array_equal(boxes2d.boxes2d[0], boxes[0])
    width = boxes2d.boxes2d[:, 2] - boxes2d.boxes2d[:, 0]
    assert width[1] < 0.8 * (boxes[1, 2] - boxes[1, 0])
    np.testing.assert_allclose(boxes2d.boxes2d[1, [1, 3]], boxes[1, [1, 3]], atol=3)
    assert np.isnan(boxes2d.boxes2d[2]).all(), "left of the picture"


def test_who_leaves_the_picture_does_not_coast(best, header, calibration):
    """It drives out to the left; undetected at the border of the image it is not shown, undetected in the middle it is."""
    leaving = [detections((CAR, 9, 4.0 + 0.35 * k), score=0.95) for k in range(6)] + [NONE]
    staying = [detections((CAR, 20, 0), score=0.95)] * 6 + [NONE]
    assert ids(play(best(), header, leaving, calibration=calibration))[5:] == [[1], []]
    assert ids(play(best(), header, staying, calibration=calibration))[5:] == [[1], [1]]


@pytest.mark.parametrize(("kind", "sure", "unsure"), [("logit", 9.0, 0.7), ("probability", 0.97, 0.3)])
def test_scores_of_both_kinds(make, header, kind, sure, unsure):
    """As a PointRCNN logit, 9 is a car and 0.7 is not. As probabilities, 9 would be invalid and 0.7 a car."""
    op = make(Tracker, score_kind=kind)
    frames = [NONE] * 3 + [detections((CAR, 10, 0), (CAR, 30, 0), score=(sure, unsure))] * 3
    tracks = play(op, header, frames)
    assert ids(tracks)[3:] == [[1]] * 3
    assert tracks[-1].scores.tolist() == [pytest.approx(sure)]


@pytest.mark.parametrize(
    ("config", "shown"),
    [
        ({"min_score": 0.97}, []),
        ({"even_score": 0.98}, []),
        ({"min_evidence": 4.0}, []),
        ({"max_coast": 0}, [1, 1, 0, 0]),
        ({"max_coast": 1}, [1, 1, 1, 0]),
    ],
)
def test_what_a_class_may_be_told(best, header, config, shown):
    car = detections((CAR, 10, 0), score=0.95)
    tracks = play(best(car=BestClassConfig(**config)), header, [car, car, NONE, NONE])
    assert [len(t.labels) for t in tracks] == (shown or [0] * 4)


def test_settings_of_a_class_change_its_model_only():
    config = BestConfig(car=BestClassConfig(min_evidence=1.0, min_hits=5, max_coast=7, max_age=9))
    told = model(CAR, config)
    assert (told.show, told.min_hits, told.max_coast, told.max_age) == (1.0, 5, 7, 9)
    assert model(PEDESTRIAN, config) == models.PEDESTRIAN


@pytest.mark.parametrize(("key", "value", "least"), [("min_hits", 0, 1), ("max_coast", -1, 0), ("max_age", 0, 1)])
def test_wrong_settings(key, value, least):
    with pytest.raises(ValueError, match=f"^{key}: needs {least} or more, got {value}$"):
        BestClassConfig(**{key: value})
