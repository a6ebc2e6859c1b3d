"""The curve and its bootstrap against slow code; the devkit's own curves are in test_kitti_object.py."""

import numpy as np
import pytest

from operators.kernels.precision import POINTS, average, curves, recall_thresholds, resampled


def counts(rng, frames, events):
    """Random counts of `frames` frames: an event is a right or a wrong detection; the first pass found every right one."""
    scores = np.sort(rng.integers(0, 50, events) / 50.0)[::-1].copy()
    of, right = rng.integers(0, frames, events), rng.random(events) < 0.6
    steps = np.column_stack([right, ~right, right * rng.random(events)]).astype(float)
    num_truth = np.bincount(of[right], minlength=frames) + rng.integers(0, 3, frames)
    return scores[right].copy(), of[right].copy(), scores, of, steps, num_truth


def slow_curve(right_scores, right_frames, scores, frames, steps, num_truth, weights):
    """Every frame repeated as often as its weight says."""
    found = np.sort(np.repeat(right_scores, weights[right_frames]))[::-1]
    total, recall, thresholds = int((num_truth * weights).sum()), 0.0, []
    for i, score in enumerate(found):
        if i < len(found) - 1 and (i + 2) / total - recall < recall - (i + 1) / total:
            continue
        thresholds.append(score)
        recall += 1 / 40
    out = np.zeros((2, POINTS))
    for k, threshold in enumerate(thresholds):
        right, wrong, similar = (steps * weights[frames][:, None])[scores >= threshold].sum(0)
        out[:, k] = right / (right + wrong), similar / (right + wrong)
    return np.array([[row[k:].max() for k in range(POINTS)] for row in out])


def fast_curve(right_scores, right_frames, scores, frames, steps, num_truth, weights):
    thresholds, out = np.empty(POINTS), np.empty((2, POINTS))
    n = recall_thresholds(right_scores, right_frames, weights, int((num_truth * weights).sum()), thresholds)
    curves(scores, frames, steps, weights, thresholds[:n], out)
    return out


def test_no_truth_and_no_detection():
    none, nobody = np.empty(0), np.empty(0, np.int64)
    assert recall_thresholds(none, nobody, np.ones(3, np.int64), 5, np.empty(POINTS)) == 0
    out = np.ones((2, POINTS))
    assert curves(none, nobody, np.empty((0, 3)), np.ones(3, np.int64), none, out) == 0
    assert not out.any()
    means = np.zeros((2, 4))
    resampled(none, nobody, none, nobody, np.empty((0, 3)), np.zeros(3, np.int64), np.ones((2, 3), np.int64), means)
    assert np.isnan(means).all()


@pytest.mark.parametrize("frames", [1, 7, 60])
def test_weights_are_repetitions(frames):
    rng = np.random.default_rng(frames)
    for events in (1, 5, 400):
        case = counts(rng, frames, events)
        for weights in (np.ones(frames, np.int64), np.bincount(rng.integers(0, frames, frames), minlength=frames)):
            if (case[-1] * weights).sum():
                np.testing.assert_allclose(fast_curve(*case, weights), slow_curve(*case, weights), atol=1e-12)


def test_a_resample_is_a_curve():
    rng = np.random.default_rng(1)
    case = counts(rng, 30, 200)
    draws = np.stack([np.bincount(rng.integers(0, 30, 30), minlength=30) for _ in range(5)])
    got = np.empty((5, 4))
    resampled(*case, draws, got)
    for row, weights in zip(got, draws, strict=True):
        of = fast_curve(*case, weights)
        np.testing.assert_allclose(row, [*average(of[0]), *average(of[1])])
        assert average(of[0]) == pytest.approx((of[0, 1:].mean(), of[0, ::4].mean()))
