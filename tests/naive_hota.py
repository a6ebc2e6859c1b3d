"""HOTA as in the paper, one threshold and one pair at a time: the oracle of operators/score/hota.py."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment


def hota(frames: list[tuple[list[int], list[int], Any]], alpha: float) -> dict[str, float]:
    """A frame: ids of the truth, ids of the tracks, their similarities."""
    soft: Counter[tuple[int, int]] = Counter()
    of_truth, of_track = Counter(g for f in frames for g in f[0]), Counter(t for f in frames for t in f[1])
    for truth, tracks, similarity in frames:
        for i, g in enumerate(truth):
            for j, t in enumerate(tracks):
                either = sum(similarity[i]) + sum(row[j] for row in similarity) - similarity[i][j]
                soft[g, t] += similarity[i][j] / either if either else 0
    pairs: list[tuple[int, int]] = []
    located = 0.0
    for truth, tracks, similarity in frames:
        gain = np.array(
            [
                [similarity[i][j] * soft[g, t] / (of_truth[g] + of_track[t] - soft[g, t]) for j, t in enumerate(tracks)]
                for i, g in enumerate(truth)
            ]
        ).reshape(len(truth), len(tracks))
        for i, j in zip(*linear_sum_assignment(gain, maximize=True), strict=True):
            if similarity[i][j] >= alpha - np.finfo(float).eps:
                pairs.append((truth[i], tracks[j]))
                located += similarity[i][j]
    together = Counter(pairs)
    fn, fp = sum(of_truth.values()) - len(pairs), sum(of_track.values()) - len(pairs)
    n = max(1, len(pairs))
    det = len(pairs) / max(1, len(pairs) + fn + fp)
    ass = sum(together[g, t] / (of_truth[g] + of_track[t] - together[g, t]) for g, t in pairs) / n
    return {
        "HOTA": (det * ass) ** 0.5,
        "DetA": det,
        "AssA": ass,
        "AssRe": sum(together[g, t] / of_truth[g] for g, t in pairs) / n,
        "AssPr": sum(together[g, t] / of_track[t] for g, t in pairs) / n,
        "LocA": located / n if pairs else 1.0,
    }
