import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from track_files import random_scene, scene

from operators.kernels import tracking_metrics
from operators.score import clear


@pytest.mark.parametrize(
    ("data", "expected", "why"),
    [
        (scene(), {"CLR_FN": 0, "CLR_FP": 0, "ML": 0}, "no frames"),
        (scene(([], [], [])), {"CLR_FN": 0, "CLR_FP": 0, "ML": 0}, "an empty frame"),
        (scene(([1, 2], [], []), ([1], [], [])), {"CLR_FN": 3, "CLR_FP": 0, "ML": 2}, "no tracks"),
        (scene(([], [5], [])), {"CLR_FN": 0, "CLR_FP": 1, "ML": 0}, "no truth"),
    ],
)
def test_empty(data, expected, why):
    got = clear.clear(data)
    assert {key: got[key] for key in expected} == expected, why
    assert got["MOTA"] == got["MOTP"] == got["CLR_Re"] == got["FP_per_frame"] == 0 and got["MLR"] == 1, why


def frames(*tracks, similarity=0.8):
    """One truth object; per frame the id of the track on it, or None."""
    return scene(*(([1], [], []) if t is None else ([1], [t], [[similarity]]) for t in tracks))


@pytest.mark.parametrize(
    ("data", "ids", "frag", "state", "why"),
    [
        (frames(7, 7, 7), 0, 0, "MT", "one track"),
        (frames(7, 7, 9), 1, 0, "MT", "another track takes over at once"),
        (frames(7, None, 9, 9), 1, 0, "PT", "a frame without any track is no interruption, but the switch is remembered"),
        (frames(7, 7, 7, 7, None), 0, 0, "PT", "80 % is not mostly"),
        (frames(7, None, None, None, None), 0, 0, "PT", "20 % is not lost"),
        (frames(7, None, None, None, None, None), 0, 0, "ML", "less is"),
        (frames(7, 7, similarity=0.5), 0, 0, "MT", "exactly the threshold matches"),
    ],
)
def test_one_object(data, ids, frag, state, why):
    got = clear.clear(data)
    assert (got["IDS"], got["FRAG"], got[state]) == (ids, frag, 1), why
    assert got["CLR_TP"] + got["CLR_FN"] == len(data.truth_ids)


def test_lost_and_found_while_others_are_tracked():
    one = ([1, 2], [7, 8], [[0.9, 0], [0, 0.9]])
    without = ([1, 2], [8], [[0], [0.9]])
    got = clear.clear(scene(one, without, one, without, one))
    assert (got["FRAG"], got["IDS"], got["CLR_TP"], got["CLR_FN"]) == (2, 0, 8, 2)


def test_the_pair_of_the_frame_before_stays_though_another_overlaps_more():
    got = clear.clear(scene(([1], [7], [[0.6]]), ([1], [7, 8], [[0.5, 0.9]])))
    assert (got["IDS"], got["CLR_TP"], got["CLR_FP"]) == (0, 2, 1)
    assert got["MOTP"] == pytest.approx(0.55)


def test_all_numbers_by_hand():
    """3 frames, 2 objects: 4 pairs of 0.5, 0.5, 0.75, 1.0, one switch, 2 missed, 1 wrong."""
    data = scene(
        ([1, 2], [7, 8], [[0.5, 0], [0, 0.5]]),
        ([1, 2], [8, 9], [[0.1, 0], [0, 0.75]]),
        ([1, 2], [7], [[1.0], [0]]),
    )
    got = clear.clear(data)
    assert {k: got[k] for k in ("CLR_TP", "CLR_FN", "CLR_FP", "IDS", "FRAG")} == {
        "CLR_TP": 4, "CLR_FN": 2, "CLR_FP": 1, "IDS": 1, "FRAG": 1,
    }  # fmt: skip
    assert (got["MOTA"], got["MODA"], got["MOTAL"]) == pytest.approx(((4 - 1 - 1) / 6, 3 / 6, 3 / 6))
    assert (got["MOTP"], got["sMOTA"]) == pytest.approx((2.75 / 4, (2.75 - 2) / 6))
    assert (got["CLR_Re"], got["CLR_Pr"], got["CLR_F1"], got["FP_per_frame"]) == pytest.approx((4 / 6, 4 / 5, 4 / 5.5, 1 / 3))


def test_combined_is_the_sum_and_what_follows_from_it():
    one, two = clear.clear(frames(7, 9, 9)), clear.clear(frames(3, None))
    both = clear.combine([one, two])
    assert (both["CLR_TP"], both["CLR_FN"], both["IDS"], both["CLR_Frames"]) == (4, 1, 1, 5)
    assert both["MOTA"] == pytest.approx(3 / 5)
    assert clear.combine([])["MOTA"] == 0


@given(st.integers(0, 10_000))
def test_perfect_tracks_are_perfect(seed):
    found = random_scene(np.random.default_rng(seed))
    ids = [found.truth_ids[a:b].tolist() for a, b in zip(found.truth_starts, found.truth_starts[1:], strict=False)]
    got = clear.clear(scene(*((i, i, np.eye(len(i))) for i in ids)))
    if len(found.truth_ids):
        assert got["MOTA"] == got["MOTP"] == got["CLR_F1"] == 1 and got["MT"] == found.G
    assert got["IDS"] == got["CLR_FP"] == got["CLR_FN"] == 0


@given(st.integers(0, 10_000))
def test_counts_add_up(seed):
    data = random_scene(np.random.default_rng(seed))
    got = clear.clear(data)
    assert got["CLR_TP"] + got["CLR_FN"] == len(data.truth_ids)
    assert got["CLR_TP"] + got["CLR_FP"] == len(data.track_ids)
    assert got["MT"] + got["PT"] + got["ML"] == data.G or not data.T
    assert got["MOTA"] <= got["MODA"] <= 1


def test_plain_python_computes_the_same():
    data = random_scene(np.random.default_rng(5))
    results = []
    for function in (tracking_metrics.clear, getattr(tracking_metrics.clear, "py_func", tracking_metrics.clear)):
        counts, per_truth = np.zeros(4, np.int64), np.zeros((3, data.G), np.int64)
        total = function(*data.lists, 0.5, counts, *per_truth)
        results.append((total, counts.tolist(), per_truth.tolist()))
    assert results[0] == results[1]
