import numpy as np
import pytest
from tracking import CAR, detections, ids, play

from operators.streams import HISTORY
from operators.track.tracker import Tracker
from pipeline.operator import attach

NONE = detections()


@pytest.fixture
def told(make, header):
    """told(frames, ...) -> tracks shown during the run, history at the end"""

    def run(frames, op=None, **inputs):
        op = op or make(Tracker, preset="best_offline")
        op.meta, shown = {}, play(op, header, frames[:-1], **inputs)
        op.header, op.meta = header(len(frames) - 1), {"boxes3d": {"last": True}}
        described = {}
        attach(op, describe=described.setdefault)
        out = op.process(boxes3d=frames[-1], **inputs)
        HISTORY.check(out["history"]._asdict(), "tracker.history")
        assert described == {"history": {"first": 0}}
        return [*shown, out["tracks"]], out["history"]

    return run


def frames_of(history, track_id=1):
    return history.frames[history.track_ids == track_id].tolist()


def test_nothing_ever_seen(told):
    shown, history = told([NONE] * 5)
    assert ids(shown) == [[]] * 5
    assert len(history.frames) == 0


def test_on_the_way_it_shows_what_best_shows(told, make, header):
    rng = np.random.default_rng(2)
    frames = [detections((CAR, 5 + k, 0), (CAR, 30, 5), score=rng.uniform(0.2, 0.95, 2)) for k in range(20)]
    shown, _ = told(frames)
    for a, b in zip(shown, play(make(Tracker, preset="best"), header, frames), strict=True):
        for mine, theirs in zip(a, b, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_a_track_is_told_from_its_first_detection_to_its_last_with_its_gap_filled(told):
    """It was doubtful at first, undetected from 12 to 19, and gone from 30 on."""
    frames = [NONE] * 4
    frames += [detections((CAR, 5 + 0.5 * k, 0), score=0.4 if k < 6 else 0.95) for k in range(4, 12)]
    frames += [NONE] * 8 + [detections((CAR, 5 + 0.5 * k, 0), score=0.95) for k in range(20, 30)] + [NONE] * 6
    shown, history = told(frames)
    assert ids(shown)[4] == [] and ids(shown)[32] == [1]
    assert frames_of(history) == list(range(4, 30))
    at = history.boxes3d[:, 0]
    np.testing.assert_allclose(at, 5 + 0.5 * np.arange(4, 30), atol=0.1)
    assert len(set(history.scores.tolist())) == 1


def test_a_gap_longer_than_15_stays_open(told):
    car = detections((CAR, 10, 0), score=0.95)
    _, history = told([car] * 6 + [NONE] * 16 + [car] * 6)
    assert frames_of(history) == [*range(6), *range(22, 28)]
    _, history = told([car] * 6 + [NONE] * 14 + [car] * 6)
    assert frames_of(history) == list(range(26))


@pytest.mark.parametrize(
    ("score", "times", "is_told", "why"),
    [
        (0.95, 4, True, "four sure ones"),
        (0.95, 3, False, "three are too few"),
        (0.5, 10, False, "as likely as not"),
        (0.6, 10, True, "likelier than not"),
    ],
)
def test_who_is_real(told, score, times, is_told, why):
    _, history = told([detections((CAR, 10, 0), score=score)] * times + [NONE] * 3)
    assert (len(history.frames) > 0) == is_told, why


def test_rows_are_by_frame_then_by_birth(told):
    _, history = told([detections((CAR, 10, 0), (CAR, 20, 5), score=0.9)] * 6)
    assert history.frames.tolist() == sorted(history.frames.tolist())
    assert history.track_ids.tolist() == [1, 2] * 6


def test_out_of_the_picture_a_gap_is_not_filled(told, calibration):
    car, aside = detections((CAR, 10, 0), score=0.95), detections((CAR, 10, 30), score=0.95)
    assert frames_of(told([car] * 5 + [NONE] * 4 + [car] * 5, calibration=calibration)[1]) == list(range(14))
    frames = frames_of(told([aside] * 5 + [NONE] * 4 + [aside] * 5, calibration=calibration)[1])
    assert frames == [*range(5), *range(9, 14)]


def test_a_new_recording_is_told_alone(told, make, header):
    """10 frames of an interrupted recording, then a complete one."""
    car = detections((CAR, 10, 0), score=0.95)
    op = make(Tracker, preset="best_offline")
    op.meta = {}
    play(op, lambda k: header(k, f"0007/{k:06d}", 10**12 + k * 10**8), [car] * 10)
    _, history = told([car] * 5, op)
    assert history.frames.tolist() == list(range(5))
    assert set(history.track_ids.tolist()) == {2}


def test_without_the_word_that_it_is_the_last_nothing_is_told(make, header):
    op = make(Tracker, preset="best_offline")
    op.meta, op.header = {"boxes3d": {"last": False}}, header(0)
    assert "history" not in op.process(boxes3d=NONE)


def test_kept_tracks_are_told_where_they_were_seen(make, told):
    """One sure track, one of three detections, one too weak to begin a track: all three, the sure one with the highest score."""
    both = detections((CAR, 10, 0), (CAR, 30, 0), (CAR, 20, 8), score=(0.95, 0.9, 0.2))
    sure = detections((CAR, 10, 0), score=0.95)
    frames = [both] * 3 + [sure] * 7
    op = make(Tracker, preset="best_offline", unsure="keep")
    _, history = told(frames, op)
    by_track = {int(i): history.frames[history.track_ids == i].tolist() for i in set(history.track_ids.tolist())}
    assert sorted(by_track.values(), key=len) == [[0, 1, 2], [0, 1, 2], list(range(10))]
    scores = {len(by_track[int(i)]): float(s) for i, s in zip(history.track_ids, history.scores, strict=True)}
    assert scores[10] > scores[3]
    assert len(told(frames)[1].frames) == 10, "drop tells the sure one only"
