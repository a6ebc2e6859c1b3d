"""The tracker of boxes in the image: stages, track life, ids, embeddings, wrong input."""

import re

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from operators.kernels import tracker2d as kernel
from operators.streams import TRACKS2D, Boxes2D
from operators.track.tracker2d import ByteConfig, FairmotConfig, Tracker2d, Tracks
from pipeline.errors import FrameError
from pipeline.operator import Resume, attach

CAR, PEDESTRIAN = 0, 1
PRESETS = ("byte", "fairmot")


@pytest.fixture(params=PRESETS)
def preset(request):
    return request.param


def boxes(*rows, label=PEDESTRIAN, score=0.9):
    """x1 y1 x2 y2[, score] each"""
    table = np.array([row[:4] for row in rows], np.float32).reshape(-1, 4)
    scores = np.array([row[4] if len(row) > 4 else score for row in rows], np.float32)
    return Boxes2D(table, scores, np.full(len(rows), label, np.int32))


def at(x, score=0.9, y=50.0):
    return (x, y, x + 20, y + 40, score)


def naive_iou(a, b):
    across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(across, 0) * max(down, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def play(op, header, frames, looks=None, start=0, **inputs):
    out = []
    for k, frame in enumerate(frames):
        op.header = header(start + k)
        tracks = op.process(boxes2d=frame, **({"embeddings": looks[k]} if looks else {}), **inputs)
        TRACKS2D.check(tracks._asdict(), "tracker.tracks2d")
        out.append(tracks)
    return out


def ids(tracks):
    return [t.track_ids.tolist() for t in tracks]


def test_empty_frames_are_ordinary_frames(make, header, preset):
    assert ids(play(make(Tracker2d, preset=preset), header, [boxes()] * 3)) == [[], [], []]


def test_one_object_keeps_its_id_through_missing_boxes(make, header, preset):
    """50 frames at constant speed, each tenth box missing; an undetected object is not shown."""
    frames = [boxes() if k % 10 == 5 else boxes(at(10.0 + 4 * k)) for k in range(50)]
    tracks = play(make(Tracker2d, preset=preset), header, frames)
    assert [len(t.track_ids) for t in tracks] == [len(f.labels) for f in frames]
    assert {i for t in tracks for i in t.track_ids.tolist()} == {1}
    assert np.abs(tracks[-1].boxes2d - frames[-1].boxes2d).max() < 2


@pytest.mark.parametrize(
    ("frames", "expected", "why"),
    [
        ([[at(0)], [at(1)]], [[1], [1]], "in the first frame of a recording at once"),
        ([[], [at(0)], [at(1)]], [[], [], [1]], "later from the second box on"),
        ([[], [at(0)], [], [at(1)], [at(2)]], [[], [], [], [], [2]], "two boxes in a row"),
        ([[at(0)], [at(1, 0.2)], [at(2, 0.05)]], [[1], [1], []], "a low score continues a track, a very low one does not"),
        ([[], [at(0, 0.3)], [at(1, 0.3)]], [[], [], []], "a low score begins none"),
        ([[at(0)], [], [at(1, 0.3)]], [[1], [], []], "nor does it bring a lost one back"),
        ([[at(0)], [], [at(1)]], [[1], [], [1]], "a high one does"),
        ([[at(0)], *[[]] * 31, [at(1)]], [[1], *[[]] * 32], "not after more than max_age frames"),
        ([[at(0)], *[[]] * 30, [at(1)]], [[1], *[[]] * 30, [1]], "up to then"),
    ],
)
def test_life(make, header, preset, frames, expected, why):
    op = make(Tracker2d, preset=preset)
    assert ids(play(op, header, [boxes(*frame) for frame in frames])) == expected, why


def test_classes_do_not_mix(make, header, preset):
    op = make(Tracker2d, preset=preset)
    assert ids(play(op, header, [boxes(at(0)), boxes(at(1), label=CAR), boxes(at(2), label=CAR)])) == [[1], [], [2]]


@pytest.mark.parametrize("seed", range(20))
def test_assignment_equals_scipys(seed):
    """Second frame: the pairs of the largest total of (IoU - min_iou), none below min_iou."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 60, (8, 2))
    first = boxes(*np.concatenate([corners, corners + rng.uniform(15, 30, (8, 2))], 1).tolist())
    moved = first.boxes2d + np.tile(rng.uniform(-8, 8, (8, 2)), 2).astype(np.float32)
    second = Boxes2D(moved[rng.permutation(8)], first.scores, first.labels)
    tracks = Tracks(ByteConfig(), 1)
    tracks.step(first, np.ones(8), None, 1)
    shown = tracks.step(second, np.ones(8), None, 1)
    iou = np.array([[naive_iou(a, b) for b in first.boxes2d.astype(float)] for a in second.boxes2d.astype(float)])
    gain = np.where(iou > 0.2, iou - 0.2, 0)
    pairs = {(r, c) for r, c in zip(*linear_sum_assignment(-gain), strict=True) if gain[r, c] > 0}
    rows = [int(np.abs(second.boxes2d - box).sum(1).argmin()) for box in shown.boxes2d]
    took = {(row, i - 1) for row, i in zip(rows, shown.track_ids.tolist(), strict=True)}
    assert len(took) == len(pairs)
    assert sum(gain[r, c] for r, c in took) == pytest.approx(sum(gain[r, c] for r, c in pairs))


def test_iou_without_area():
    box = np.array([5.0, 5.0, 4.0, 4.0])
    assert kernel.iou(box, box) == pytest.approx(1)
    assert kernel.iou(box, np.array([5.0, 5.0, 0.0, 4.0])) == 0
    assert kernel.iou(box, np.array([9.0, 5.0, 4.0, 4.0])) == 0  # they touch


@pytest.mark.parametrize(
    ("second", "why"),
    [
        ({"item": "0001/000000", "stamp_ns": 10**9}, "another sequence"),
        ({"stamp_ns": 0}, "back in time"),
        ({"stamp_ns": 900_000_000 + 31 * 100_000_000}, "a long gap"),
    ],
)
def test_another_recording_ends_all_tracks_and_ids_run_on(make, header, preset, second, why):
    op = make(Tracker2d, preset=preset)
    assert {i for frame in ids(play(op, header, [boxes(at(0))] * 10)) for i in frame} == {1}
    op.header = header(10, **second)
    assert op.process(boxes2d=boxes(at(0))).track_ids.tolist() == [2], why


def test_time_is_counted_in_periods(make, header):
    """Two frames are missing: the prediction is three steps ahead, at the box."""
    op = make(Tracker2d, rate_hz=10)
    play(op, header, [boxes(at(10.0 * k)) for k in range(10)])
    op.header = header(12)
    assert op.process(boxes2d=boxes(at(120.0))).track_ids.tolist() == [1]


@pytest.mark.parametrize(("restarts", "first"), [(0, 1), (1, 1_000_001), (3, 3_000_001)])
def test_ids_carry_the_restart_count(make, header, preset, restarts, first):
    resume = Resume(restarts, 5, "0000/000005") if restarts else None
    tracks = play(make(Tracker2d, preset=preset, resume=resume), header, [boxes(at(0), at(90))] * 3)
    assert ids(tracks) == [[first, first + 1]] * 3


def crowd(seed, count=20):
    rng = np.random.default_rng(seed)
    frames = [boxes(*[at(*rng.uniform((0, 0.05, 0), (200, 1, 60))) for _ in range(rng.integers(0, 12))]) for _ in range(count)]
    return frames, [rng.normal(size=(len(f.labels), 6)).astype(np.float32) for f in frames]


def raw(tracks):
    return [b"".join(a.tobytes() for a in t) for t in tracks]


def test_same_input_same_bytes_and_a_cut_changes_nothing_before_it(make, header, preset):
    frames, looks = crowd(5)
    whole = raw(play(make(Tracker2d, preset=preset), header, frames, looks))
    assert any(whole)
    for cut in (1, 7, 20):
        assert raw(play(make(Tracker2d, preset=preset), header, frames[:cut], looks[:cut])) == whole[:cut]


def test_outputs_and_state_are_independent_of_the_inputs(make, header, preset):
    """Inputs are slots of a pool, which are given back after process()."""
    frames, looks = crowd(6)
    expected = raw(play(make(Tracker2d, preset=preset), header, frames, looks))
    op = make(Tracker2d, preset=preset)
    for k, frame in enumerate(frames):
        lent, look = Boxes2D(*(a.copy() for a in frame)), looks[k].copy()
        (tracks,) = play(op, header, [lent], [look], start=k)
        for array in (*lent, look):
            array[...] = 0
        assert raw([tracks]) == [expected[k]]


def test_cut_to_the_picture(make, header, straight):
    """200 x 100: a box half outside is clipped, one outside is not shown; without calibration nothing is clipped."""
    frames = [boxes(at(-10.0), at(190.0), (50.0, 110.0, 70.0, 150.0))] * 2
    shown = play(make(Tracker2d), header, frames, calibration=straight)[-1]
    assert shown.boxes2d.tolist() == [[0, 50, 10, 90], [190, 50, 199, 90]]
    assert shown.track_ids.tolist() == [1, 2]
    assert len(play(make(Tracker2d), header, frames)[-1].track_ids) == 3


def test_logits(make, header):
    """0 is even odds, 0.5; 3 is 0.95"""
    op = make(Tracker2d, score_kind="logit")
    assert ids(play(op, header, [boxes(at(0, 3.0), at(90, 0.0))])) == [[1]]
    assert play(op, header, [boxes(at(0, -2.0))], start=1)[0].scores.tolist() == [-2.0]


# ---- looks


RED, GREEN, BLUE = np.eye(3, dtype=np.float32)


def test_looks_bring_back_whom_motion_lost(make, header):
    """Two objects leave and come back in each other's place: with overlap only, they would swap ids."""
    there, back = boxes(at(20), at(60)), boxes(at(20), at(60))
    frames = [there] * 5 + [boxes()] * 3 + [back] * 3
    swapped = [np.stack([RED, BLUE])] * 5 + [np.zeros((0, 3), np.float32)] * 3 + [np.stack([BLUE, RED])] * 3
    wide = {"fairmot": FairmotConfig(motion_gate=1e9, motion_share=0.0)}
    by_motion = play(make(Tracker2d), header, frames, swapped)[-1]
    by_looks = play(make(Tracker2d, preset="fairmot", **wide), header, frames, swapped)[-1]
    assert by_motion.track_ids.tolist() == by_looks.track_ids.tolist() == [1, 2]
    np.testing.assert_allclose(by_motion.boxes2d[:, 0], [20, 60], atol=1)
    np.testing.assert_allclose(by_looks.boxes2d[:, 0], [60, 20], atol=5)


def test_pairs_outside_the_gate_never_match(make, header):
    """The same embedding 300 px away is another object."""
    op = make(Tracker2d, preset="fairmot")
    frames = [boxes(at(20))] * 3 + [boxes(at(320))] * 3
    assert ids(play(op, header, frames, [RED[None]] * 6)) == [[1], [1], [1], [], [2], [2]]


def test_another_look_in_the_same_place_is_somebody_else_once_the_first_was_lost(make, header):
    op = make(Tracker2d, preset="fairmot")
    frames = [boxes(at(20))] * 3 + [boxes()] + [boxes(at(20))] * 2
    looks = [RED[None]] * 3 + [np.zeros((0, 3), np.float32)] + [GREEN[None]] * 2
    assert ids(play(op, header, frames, looks)) == [[1], [1], [1], [], [], [2]]


def test_without_looks_it_is_byte(make, header):
    """Not connected, missing in some frames, rows of zeros: matches by overlap, lost tracks too."""
    frames = [boxes(at(20), at(60))] * 3 + [boxes()] + [boxes(at(20), at(60))] * 2
    none = [np.zeros((len(f.labels), 4), np.float32) for f in frames]
    config = {"fairmot": FairmotConfig(high=0.6, birth=0.7)}
    expected = raw(play(make(Tracker2d), header, frames))
    assert raw(play(make(Tracker2d, preset="fairmot", **config), header, frames)) == expected
    assert raw(play(make(Tracker2d, preset="fairmot", **config), header, frames, none)) == expected
    assert raw(play(make(Tracker2d, preset="fairmot", **config), header, frames, [*none[:2], None, *none[3:]])) == expected


def test_one_row_without_looks_among_others(make, header):
    op = make(Tracker2d, preset="fairmot")
    looks = [np.stack([RED, 0 * RED]), np.stack([RED, GREEN]), np.stack([RED, GREEN])]
    assert ids(play(op, header, [boxes(at(20), at(60))] * 3, looks)) == [[1, 2]] * 3
    np.testing.assert_allclose(op.tracks.rows.looks[:2], [RED, GREEN], atol=1e-6)


def test_looks_are_a_running_mean_of_unit_length(make, header):
    op = make(Tracker2d, preset="fairmot")
    play(op, header, [boxes(at(20))] * 2, [5 * RED[None], 3 * GREEN[None] + 4 * RED[None]])
    mean = 0.9 * RED + 0.1 * (0.6 * GREEN + 0.8 * RED)
    np.testing.assert_allclose(op.tracks.rows.looks[0], mean / np.linalg.norm(mean), atol=1e-6)


def test_a_low_score_teaches_no_looks(make, header):
    op = make(Tracker2d, preset="fairmot")
    assert ids(play(op, header, [boxes(at(20)), boxes(at(20, 0.2))], [RED[None], BLUE[None]])) == [[1], [1]]
    np.testing.assert_allclose(op.tracks.rows.looks[0], RED)


@pytest.mark.parametrize("width", [1, 3, 128])
def test_any_width(make, header, width):
    look = np.random.default_rng(0).normal(size=(2, width)).astype(np.float32)
    assert ids(play(make(Tracker2d, preset="fairmot"), header, [boxes(at(20), at(60))] * 3, [look] * 3)) == [[1, 2]] * 3


def test_another_recording_may_have_another_width(make, header):
    op = make(Tracker2d, preset="fairmot")
    play(op, header, [boxes(at(20))] * 2, [RED[None]] * 2)
    op.header = header(2, item="0001/000000")
    assert op.process(boxes2d=boxes(at(20)), embeddings=np.ones((1, 7), np.float32)).track_ids.tolist() == [2]


@pytest.mark.parametrize(
    ("looks", "message"),
    [
        (
            np.ones((2, 3), np.float32),
            "tracker at dets:1: embeddings: needs a row for each of 1 boxes2d, got 2; of another detector?",
        ),
        (
            np.ones((1, 4), np.float32),
            "tracker at dets:1: embeddings: needs width 3, as this recording began with, got 4; of another net, they cannot be "
            "compared",
        ),
        (
            np.array([[1, np.nan, 0]], np.float32),
            "tracker at dets:1: embeddings: needs finite numbers, got [1.0, nan, 0.0].. in row 0; zeros say that looks are not "
            "known",
        ),
    ],
)
def test_wrong_looks_are_refused_and_change_nothing(make, header, looks, message):
    op = make(Tracker2d, name="tracker", preset="fairmot")
    play(op, header, [boxes(at(20))], [RED[None]])
    op.header = header(1)
    with pytest.raises(FrameError, match=f"^{re.escape(message)}$"):
        op.process(boxes2d=boxes(at(20)), embeddings=looks)
    assert ids(play(op, header, [boxes(at(20))], [RED[None]], start=2)) == [[1]]


# ---- wrong input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"boxes2d": [[1, 2, np.nan, 4]]},
            "tracker at dets:3: boxes2d: needs finite x1 y1 x2 y2 with x2 > x1 and y2 > y1, got [1.0, 2.0, nan, 4.0] in row 1; "
            "a damaged detection file?",
        ),
        (
            {"boxes2d": [[1, 2, 1, 4]]},
            "tracker at dets:3: boxes2d: needs finite x1 y1 x2 y2 with x2 > x1 and y2 > y1, got [1.0, 2.0, 1.0, 4.0] in row 1; "
            "a damaged detection file?",
        ),
        (
            {"labels": [-1]},
            "tracker at dets:3: boxes2d: needs labels 0..7 and scores, got label -1 with score 0.5 in row 1; "
            "DontCare regions are no detections",
        ),
        (
            {"scores": [np.nan]},
            "tracker at dets:3: boxes2d: needs labels 0..7 and scores, got label 1 with score nan in row 1; DontCare regions are "
            "no detections",
        ),
        (
            {"scores": [1.5]},
            "tracker at dets:3: boxes2d: needs scores 0..1, since nobody says otherwise, got 1.5 in row 1; are they logits? set "
            "config.score_kind: logit",
        ),
    ],
)
def test_wrong_boxes_are_refused(make, header, preset, change, message):
    good = {"boxes2d": [[1, 2, 3, 4]], "scores": [0.5], "labels": [PEDESTRIAN]}
    types = {"boxes2d": np.float32, "scores": np.float32, "labels": np.int32}
    frame = Boxes2D(**{k: np.array(good[k] + change.get(k, good[k]), types[k]) for k in types})
    op = make(Tracker2d, name="tracker", preset=preset)
    op.header = header(3)
    with pytest.raises(FrameError, match=f"^{re.escape(message)}$"):
        op.process(boxes2d=frame)


@pytest.mark.parametrize(
    ("cls", "config", "message"),
    [
        (ByteConfig, {"high": 1.2, "birth": 1.3}, "high: needs 0..1, got 1.2"),
        (ByteConfig, {"low": 0.7}, "low, high, birth: needs low <= high <= birth, got 0.7, 0.6, 0.7"),
        (ByteConfig, {"min_hits": 0}, "min_hits: needs 1 or more, got 0"),
        (ByteConfig, {"change_noise": 0.0}, "change_noise: needs a number above 0, got 0.0"),
        (FairmotConfig, {"memory": 1.5}, "memory: needs 0..1, got 1.5"),
        (FairmotConfig, {"motion_gate": -1.0}, "motion_gate: needs a number above 0, got -1.0"),
    ],
)
def test_wrong_config(cls, config, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        cls(**config)


# ---- classes of a detector with names of its own


def test_own_names_go_on_with_the_tracks(make, header):
    op, sent = make(Tracker2d), []
    attach(op, describe=lambda port, meta: sent.append((port, meta)))
    op.meta = {"boxes2d": {"class_names": [f"class {i}" for i in range(80)]}}
    (tracks,) = play(op, header, [boxes(at(50), label=79)])
    assert tracks.labels.tolist() == [79] and sent == [("tracks2d", op.meta["boxes2d"])]
    with pytest.raises(FrameError, match=r"needs labels 0..79 and scores, got label 80"):
        play(op, header, [boxes(at(50), label=80)], start=1)


def test_our_names_are_no_facts(make, header):
    op, sent = make(Tracker2d), []
    attach(op, describe=lambda port, meta: sent.append(meta))
    play(op, header, [boxes(at(50))])
    assert sent == []
