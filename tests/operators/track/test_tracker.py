"""Behaviour of the tracker under every preset: input, time, ids, memory."""

import re

import numpy as np
import pytest
from tracking import CAR, PEDESTRIAN, detections, ids, in_picture, play

from operators.streams import Boxes3D
from operators.track.tracker import Tracker
from pipeline.errors import FrameError
from pipeline.operator import Resume

PRESETS = ("best", "best_offline", "ab3dmot")


@pytest.fixture(params=PRESETS)
def preset(request):
    return request.param


def test_empty_frames_are_ordinary_frames(make, header, preset):
    assert ids(play(make(Tracker, preset=preset), header, [detections()] * 3)) == [[], [], []]


@pytest.mark.parametrize(
    ("second", "why"),
    [
        ({"item": "0001/000000", "stamp_ns": 10**9}, "another sequence"),
        ({"stamp_ns": 0}, "back in time"),
        ({"stamp_ns": 900_000_000 + 11 * 100_000_000}, "a long gap"),
    ],
)
def test_another_recording_ends_all_tracks_and_ids_run_on(make, header, preset, second, why):
    op = make(Tracker, preset=preset)
    car = detections((CAR, 10, 0))
    before = {i for frame in ids(play(op, header, [car] * 10)) for i in frame}
    op.header = header(10, **second)
    after = set(op.process(boxes3d=car)["tracks"].track_ids.tolist())
    for k in range(1, 10):
        op.header = header(
            10 + k, **({} if "item" not in second else {"item": f"0001/{k:06d}"}), stamp_ns=op.header.stamp_ns + 10**8
        )
        after |= set(op.process(boxes3d=car)["tracks"].track_ids.tolist())
    assert before == {1}
    assert after == {2}, why


@pytest.mark.parametrize(("restarts", "first"), [(0, 1), (1, 1_000_001), (3, 3_000_001)])
def test_ids_carry_the_restart_count(make, header, preset, restarts, first):
    resume = Resume(restarts, 5, "0000/000005") if restarts else None
    tracks = play(make(Tracker, preset=preset, resume=resume), header, [detections((CAR, 1, 0), (CAR, 19, 0))] * 10)
    assert sorted(ids(tracks)[-1]) == [first, first + 1]


def test_outputs_and_state_are_independent_of_the_inputs(make, header, preset):
    """Inputs are slots of a pool, which are given back after process()."""
    frames = [detections((CAR, 5 + k, 0), (PEDESTRIAN, 9, 0)) for k in range(12)]
    expected = play(make(Tracker, preset=preset), header, frames)
    op = make(Tracker, preset=preset)
    for k, frame in enumerate(frames):
        lent, picture = Boxes3D(*(a.copy() for a in frame)), in_picture(frame)
        (tracks,) = play(op, header, [lent], start=k, boxes2d=picture)
        assert not any(np.shares_memory(ours, theirs) for ours in tracks for theirs in (*lent, *picture))
        for array in (*lent, *picture):
            array[:] = 0
        for ours, theirs in zip(tracks, expected[k], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_same_input_same_bytes(make, header, preset):
    rng = np.random.default_rng(5)
    frames = [detections(*[(int(rng.integers(3)), *rng.uniform(0, 40, 2)) for _ in range(12)]) for _ in range(20)]
    first, second = (
        [b"".join(a.tobytes() for a in t) for t in play(make(Tracker, preset=preset), header, frames)] for _ in range(2)
    )
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
def test_wrong_boxes_are_refused(make, header, preset, change, message):
    good = {"boxes3d": [BOX], "scores": [0.5], "labels": [CAR]}
    types = {"boxes3d": np.float32, "scores": np.float32, "labels": np.int32}
    frame = Boxes3D(**{k: np.array(good[k] + change.get(k, good[k]), types[k]) for k in types})
    op = make(Tracker, name="tracker", preset=preset)
    op.header = header(3)
    with pytest.raises(FrameError, match=f"^{re.escape(message)}$"):
        op.process(boxes3d=frame)


def test_2d_boxes_of_something_else_are_refused(make, header, preset):
    op = make(Tracker, name="tracker", preset=preset)
    op.header = header(3)
    message = "tracker at dets:3: boxes2d: needs a row for each of 1 boxes3d, got 2; of another detector?"
    with pytest.raises(FrameError, match=f"^{re.escape(message)}$"):
        op.process(boxes3d=detections((CAR, 1, 0)), boxes2d=in_picture(detections((CAR, 1, 0), (CAR, 9, 0))))
