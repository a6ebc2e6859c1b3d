"""Two trackers, one id per object. The camera faces along x, 100 px per unit slope, 200 x 100 around (100, 50)."""

import re

import numpy as np
import pytest

from operators.fuse.tracks import FuseTracks, FuseTracksConfig, Side, Ties
from operators.streams import TRACKS, TRACKS2D, Boxes2D, Tracks, Tracks2D
from pipeline.errors import FrameError
from pipeline.operator import Resume

CAR, PEDESTRIAN = 0, 1
SIZE = 40.0


def solid(*objects, label=CAR):
    """(id, x of the left edge in the image) each; with 2D boxes given, so 3D positions do not matter"""
    n = len(objects)
    boxes3d = np.tile(np.array([10, 0, 0, 4, 2, 1.5, 0], np.float32), (n, 1))
    tracks = Tracks(
        boxes3d, np.full(n, 0.5, np.float32), np.full(n, label, np.int32), np.array([o[0] for o in objects], np.int64)
    )
    return tracks, Boxes2D(rectangles(objects), tracks.scores, tracks.labels)


def flat(*objects, label=CAR):
    n = len(objects)
    ids = np.array([o[0] for o in objects], np.int64)
    return Tracks2D(rectangles(objects), np.full(n, 0.5, np.float32), np.full(n, label, np.int32), ids)


def rectangles(objects):
    return np.array([(x, 20, x + SIZE, 60) for _, x in objects], np.float32).reshape(-1, 4)


@pytest.fixture
def play(header, straight):
    """play(op, [(3D objects, 2D objects), ...]) -> [(ids of the 3D tracks, ids of the 2D tracks), ...]"""

    def run(op, frames, start=0, **kinds):
        out = []
        for k, (in_space, in_picture) in enumerate(frames):
            op.header = header(start + k)
            tracks, boxes2d = solid(*in_space)
            got = op.process(tracks=tracks, boxes2d=boxes2d, tracks2d=flat(*in_picture, **kinds), calibration=straight)
            TRACKS.check(got["tracks"]._asdict(), "fuse.tracks")
            TRACKS2D.check(got["tracks2d"]._asdict(), "fuse.tracks2d")
            np.testing.assert_array_equal(got["tracks"].boxes3d, tracks.boxes3d)
            np.testing.assert_array_equal(got["tracks2d"].boxes2d, rectangles(in_picture))
            out.append((got["tracks"].track_ids.tolist(), got["tracks2d"].track_ids.tolist()))
        return out

    return run


A, B, LEFT, RIGHT = 71, 72, 20.0, 120.0


@pytest.mark.parametrize(
    ("frames", "expected", "why"),
    [
        ([([], [])] * 2, [([], [])] * 2, "empty frames are ordinary frames"),
        ([([(A, LEFT)], [])], [([1], [])], "one alone"),
        ([([], [(5, LEFT)])], [([], [1])], "the other alone"),
        ([([(A, LEFT)], [(5, LEFT)])], [([1], [1])], "both at once"),
        ([([(A, LEFT)], [(5, LEFT + 12)])], [([1], [1])], "an overlap of 0.54 is enough"),
        ([([(A, LEFT)], [(5, LEFT + 14)])], [([1], [2])], "one of 0.48 is not"),
        ([([(A, LEFT)], [(5, LEFT)]), ([(A, LEFT)], [(5, LEFT + 14)])], [([1], [1])] * 2, "but it keeps a tie"),
        ([([(A, LEFT)], [(5, LEFT)]), ([(A, LEFT)], [(5, LEFT + 18)])], [([1], [1]), ([1], [2])], "0.38 does not"),
        (
            [([(A, LEFT), (B, RIGHT)], [(5, RIGHT), (6, LEFT)])],
            [([1, 2], [2, 1])],
            "rows stay where they are",
        ),
        (
            [([], [(5, LEFT)]), ([(A, LEFT)], [(5, LEFT)])],
            [([], [1]), ([1], [1])],
            "whom the camera saw first keeps that id",
        ),
        (
            [([(A, LEFT)], []), ([(A, LEFT)], [(5, LEFT)])],
            [([1], []), ([1], [1])],
            "whom the LiDAR saw first, too",
        ),
        (
            [([(A, LEFT)], [(5, RIGHT)]), ([(A, LEFT)], [(5, LEFT)])],
            [([1], [2]), ([1], [1])],
            "tied late: the 3D track leads",
        ),
        (
            [([(A, LEFT)], [(5, LEFT)]), ([], [(5, LEFT)]), ([], []), ([(A, RIGHT)], [])],
            [([1], [1]), ([], [1]), ([], []), ([1], [])],
            "a tie outlasts that one is not seen",
        ),
        (
            [([(A, LEFT)], [(5, LEFT)]), ([(A, LEFT)], []), ([(A, LEFT)], [(6, LEFT)])],
            [([1], [1]), ([1], []), ([1], [1])],
            "a 2D track that begins anew gets the old id from the 3D track",
        ),
        (
            [([(A, LEFT)], [(5, LEFT)]), *[([], [(5, LEFT)])] * 5, ([(B, LEFT)], [(5, LEFT)])],
            [([1], [1]), *[([], [1])] * 5, ([1], [1])],
            "a 3D track that begins anew gets it from the 2D track",
        ),
        (
            [([(A, LEFT)], [(5, LEFT)]), ([(A, LEFT), (B, RIGHT)], [(5, RIGHT)])],
            [([1], [1]), ([1, 2], [2])],
            "the camera went over to somebody else: so does its id",
        ),
        (
            [([(A, LEFT), (B, RIGHT)], [(5, LEFT), (6, RIGHT)]), ([(A, LEFT), (B, RIGHT)], [(6, LEFT), (5, RIGHT)])],
            [([1, 2], [1, 2]), ([1, 2], [1, 2])],
            "the camera took one for the other: nobody notices",
        ),
        (
            [([(A, LEFT)], [(5, LEFT)]), ([], [(5, LEFT)]), ([(B, LEFT)], [(5, LEFT)]), ([(A, LEFT)], [])],
            [([1], [1]), ([], [1]), ([2], [2]), ([1], [])],
            "lost a moment ago, it may come back: the newborn does not inherit",
        ),
    ],
)
def test_who_has_which_id(make, play, frames, expected, why):
    got = play(make(FuseTracks), frames)
    assert got[: len(expected)] == expected, why


def test_an_heir_keeps_the_id_and_who_comes_back_late_gets_another(make, play):
    frames = [([(A, LEFT)], [(5, LEFT)]), *[([], [(5, LEFT)])] * 6, ([(B, LEFT)], [(5, LEFT)]), ([(A, RIGHT), (B, LEFT)], [])]
    assert play(make(FuseTracks), frames)[-1] == ([2, 1], [])


def test_classes_do_not_mix(make, play):
    assert play(make(FuseTracks), [([(A, LEFT)], [(5, LEFT)])], label=PEDESTRIAN) == [([1], [2])]


@pytest.mark.parametrize("seed", range(5))
def test_ids_are_unique_in_either_stream_whatever_comes(seed):
    rng = np.random.default_rng(seed)
    ties = Ties(FuseTracksConfig(gone=2, forget=6), 1)
    for _ in range(400):
        ids3d, ids2d = (rng.choice(9, rng.integers(0, 7), replace=False) + first for first in (100, 200))
        a, b = ties.step(ids3d, ids2d, rng.random((len(ids3d), len(ids2d))))
        assert len(set(a.tolist())) == len(a) == len(ids3d)
        assert len(set(b.tolist())) == len(b) == len(ids2d)
        for own, other in ties.lidar.partner.items():
            assert ties.camera.partner[other] == own
            assert ties.lidar.joint[own] == ties.camera.joint[other]


def test_memory_is_flat():
    ties = Ties(FuseTracksConfig(forget=10), 1)
    for k in range(1000):
        ties.step(np.array([k]), np.array([k]), np.ones((1, 1)))
    for side in (ties.lidar, ties.camera):
        assert isinstance(side, Side)
        assert max(len(table) for table in (side.joint, side.owner, side.partner, side.seen)) <= 12


@pytest.mark.parametrize(("restarts", "first"), [(0, 1), (2, 2_000_001)])
def test_ids_carry_the_restart_count(make, play, restarts, first):
    op = make(FuseTracks, resume=Resume(restarts, 5, "0000/000005") if restarts else None)
    assert play(op, [([(A, LEFT)], [(5, LEFT)])]) == [([first], [first])]


def test_another_sequence_ends_all_ties_and_ids_run_on(make, play, header, straight):
    op = make(FuseTracks)
    play(op, [([(A, LEFT)], [(5, LEFT)])] * 2)
    op.header = header(2, item="0001/000000")
    tracks, boxes2d = solid((A, LEFT))
    got = op.process(tracks=tracks, boxes2d=boxes2d, tracks2d=flat((5, LEFT)), calibration=straight)
    assert got["tracks"].track_ids.tolist() == got["tracks2d"].track_ids.tolist() == [2]


def test_a_frame_without_the_camera(make, play, header, straight):
    op = make(FuseTracks)
    play(op, [([(A, LEFT)], [(5, LEFT)])])
    op.header = header(1)
    tracks, boxes2d = solid((A, LEFT))
    got = op.process(tracks=tracks, boxes2d=boxes2d, tracks2d=None, calibration=straight)
    assert list(got) == ["tracks"]
    assert got["tracks"].track_ids.tolist() == [1]


def test_projected_where_no_2d_box_is_known(make, header, straight):
    """A car 10 m ahead lies at 87.5..112.5 x 40..60 px; behind the camera it matches nothing."""
    op = make(FuseTracks)
    op.header = header(0)
    tracks, boxes2d = solid((A, 0.0), (B, 0.0))
    tracks.boxes3d[1, 0] = -10
    boxes2d.boxes2d[:] = np.nan
    there = Tracks2D(np.array([[87, 40, 113, 60]], np.float32), *flat((5, 0.0))[1:])
    for known in (boxes2d, None):
        got = op.process(tracks=tracks, boxes2d=known, tracks2d=there, calibration=straight)
        assert (got["tracks"].track_ids.tolist(), got["tracks2d"].track_ids.tolist()) == ([1, 2], [1])


def test_wrong_input(make, header, straight):
    op = make(FuseTracks, name="fuse")
    op.header = header(3)
    tracks, boxes2d = solid((A, LEFT), (A, RIGHT))
    message = "fuse at dets:3: tracks: needs every track id once per frame, got 71 twice"
    with pytest.raises(FrameError, match=f"^{re.escape(message)}$"):
        op.process(tracks=tracks, boxes2d=boxes2d, tracks2d=flat(), calibration=straight)
    message = "fuse at dets:3: tracks2d: needs every track id once per frame, got 5 twice"
    with pytest.raises(FrameError, match=f"^{re.escape(message)}$"):
        op.process(tracks=solid()[0], boxes2d=solid()[1], tracks2d=flat((5, LEFT), (5, RIGHT)), calibration=straight)
    message = "fuse at dets:3: boxes2d: needs a row for each of 2 tracks, got 0; of another tracker?"
    with pytest.raises(FrameError, match=f"^{re.escape(message)}$"):
        op.process(tracks=tracks, boxes2d=solid()[1], tracks2d=flat(), calibration=straight)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"min_iou": 0.3}, "min_iou_tied, min_iou: needs 0 < min_iou_tied <= min_iou <= 1, got 0.4, 0.3"),
        ({"gone": 0}, "gone: needs 1 or more, got 0"),
    ],
)
def test_wrong_config(config, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        FuseTracksConfig(**config)


def test_names_of_the_detectors_own(make, header, straight):
    op = make(FuseTracks, name="fuse")
    op.meta = {"tracks2d": {"class_names": ["car"]}}
    with pytest.raises(
        FrameError, match=r"^fuse at .*: tracks2d: needs our classes, as the 3D tracks have, got the detector's own"
    ):
        op.process(tracks=solid()[0], boxes2d=solid()[1], tracks2d=flat(), calibration=straight)
