import naive_hota
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from track_files import as_trackeval, random_scene, scene

from operators.kernels import tracking_metrics
from operators.score import hota


def test_nineteen_thresholds():
    assert np.allclose(hota.ALPHAS, np.linspace(0.05, 0.95, 19)) and len(hota.ALPHAS) == 19


@pytest.mark.parametrize(
    ("data", "fn", "fp"), [(scene(), 0, 0), (scene(([1, 2], [], [])), 2, 0), (scene(([], [1], []), ([], [1], [])), 0, 2)]
)
def test_empty(data, fn, fp):
    got = hota.hota(data)
    assert got["HOTA_FN"].tolist() == [fn] * 19 and got["HOTA_FP"].tolist() == [fp] * 19
    assert hota.summary(got) == dict.fromkeys(hota.summary(got), 0.0) | {"LocA": 1.0, "LocA(0)": 1.0}


def test_one_pair_counts_up_to_its_similarity():
    """0.5 reaches the thresholds 0.05 .. 0.5, ten of 19, bounds included."""
    got = hota.summary(hota.hota(scene(([1], [7], [[0.5]]))))
    assert got["HOTA"] == got["DetA"] == got["AssA"] == pytest.approx(10 / 19)
    assert (got["HOTA(0)"], got["LocA(0)"]) == (1, 0.5)


def test_a_switch_by_hand():
    """4 frames, 3 of them by one track: each of its pairs has 3 / 4, the other's 1 / 4; DetA 1."""
    got = hota.hota(scene(*[([1], [7], [[1]])] * 3, ([1], [8], [[1]])))
    assert got["DetA"].tolist() == [1] * 19
    assert got["AssA"] == pytest.approx(np.full(19, (3 * 3 / 4 + 1 / 4) / 4))
    assert got["AssRe"] == pytest.approx(got["AssA"]) and got["AssPr"].tolist() == [1] * 19
    assert got["HOTA"] == pytest.approx(np.sqrt(got["AssA"]))


def test_the_longer_companion_wins_over_the_larger_overlap():
    """Track 8 lies better on object 1 in one frame, but track 7 follows it in all the others."""
    usual = ([1], [7], [[0.8]])
    got = hota.hota(scene(*[usual] * 5, ([1], [7, 8], [[0.8, 0.9]]), *[usual] * 5))
    assert got["AssA"][0] == 1 and got["HOTA_FP"][0] == 1


@given(st.integers(0, 10_000))
def test_equal_to_the_naive_one(seed):
    data = as_trackeval(random_scene(np.random.default_rng(seed), frames=8, objects=4, tracks=4))
    frames = [
        (g.tolist(), t.tolist(), s.tolist())
        for g, t, s in zip(data["gt_ids"], data["tracker_ids"], data["similarity_scores"], strict=True)
    ]
    got = hota.hota(scene(*frames))
    for k in (0, 9, 18):
        expected = naive_hota.hota(frames, hota.ALPHAS[k])
        assert {key: got[key][k] for key in expected} == pytest.approx(expected, abs=1e-9)


@given(st.integers(0, 10_000))
def test_perfect_tracks_are_perfect(seed):
    found = as_trackeval(random_scene(np.random.default_rng(seed)))
    data = scene(*((i.tolist(), (i + 3).tolist(), np.eye(len(i))) for i in found["gt_ids"]))
    got = hota.summary(hota.hota(data))
    assert got == pytest.approx(dict.fromkeys(got, 1.0)) or not len(data.truth_ids)


def test_combined_weighs_by_matches():
    whole, half = hota.hota(scene(*[([1], [7], [[1]])] * 3)), hota.hota(scene(([1], [7], [[1]]), ([1], [8], [[1]])))
    both = hota.combine([whole, half])
    assert both["AssA"] == pytest.approx(np.full(19, (3 * 1 + 2 * 0.5) / 5)) and both["HOTA_TP"].tolist() == [5] * 19
    assert hota.summary(hota.combine([]))["HOTA"] == 0


def test_plain_python_computes_the_same():
    data = random_scene(np.random.default_rng(5))
    commons = np.zeros((2, data.G, data.T))
    tracks, values = np.zeros((2, len(data.truth_ids)), np.int64), np.zeros((2, len(data.truth_ids)))
    for k, pick in enumerate((lambda f: f, lambda f: getattr(f, "py_func", f))):
        pick(tracking_metrics.soft_common)(*data.lists, commons[k])
        pick(tracking_metrics.aligned_pairs)(*data.lists, commons[k], tracks[k], values[k])
    assert np.array_equal(commons[0], commons[1]) and np.array_equal(tracks[0], tracks[1]) and np.array_equal(*values)
