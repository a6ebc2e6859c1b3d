"""Panoptic scores of frames grouped by drive, with intervals; the best constant map. For panoptic_world.py, panoptic_scans.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from operators.score.panoptic import scored
from operators.score.panoptic_pairs import pairs_of
from operators.score.panoptic_scores import Frame, Scores
from operators.streams import Panoptic

DRAWS = 200
KEYS = (("all", "pq"), ("things", "pq"), ("stuff", "pq"), ("stuff", "miou"), ("things", "ptq"), ("things", "sptq"))
Frames = dict[str, list[Frame]]
"""Drive -> its frames."""


def constant(truths: Sequence[tuple[str, Panoptic, tuple[str, ...]]], frames: Frames) -> None:
    """Fill `frames` with those of the best constant map."""
    names, shape = truths[0][2], truths[0][1].panoptic.shape
    votes = np.zeros((len(names), *shape), np.int32)
    for _, truth, _ in truths:
        table = np.full(int(truth.panoptic.max()) + 1, -1)
        table[truth.segment_ids] = truth.labels
        labels = table[truth.panoptic]
        for label in range(len(names)):
            votes[label] += labels == label
    best = (votes.argmax(0) + 1).astype(np.int32)
    ids = np.unique(best).astype(np.int32)
    prediction = Panoptic(best, ids, ids - 1, np.ones(len(ids), np.float32), np.full(len(ids), -1))
    for drive, truth, of_truth in truths:
        frames.setdefault(drive, []).append(scored(pairs_of(truth.panoptic, best), truth, of_truth, prediction, names))


def interval(frames: Frames, things: set[str]) -> dict[str, tuple[float, float, float]]:
    """Score -> value, ends of its interval; NaN where no track is found."""
    found = bootstrap(lambda drives: values(frames, drives, things), list(frames))
    return {f"{group} {key}": row for (group, key), row in zip(KEYS, found, strict=True)}


def bootstrap(values_of: Callable[[Sequence[str]], list[float]], drives: list[str]) -> list[tuple[float, float, float]]:
    """values_of: drives, of which one may come twice -> scores. Of each score its value and the ends of its 95 % interval."""
    rng, out = np.random.default_rng(0), []
    draws = np.array([values_of(rng.choice(drives, len(drives)).tolist()) for _ in range(DRAWS)])
    for value, column in zip(values_of(drives), draws.T, strict=True):
        known = column[~np.isnan(column)]
        low, high = np.quantile(known, (0.025, 0.975)).tolist() if len(known) else (np.nan, np.nan)
        out.append((value, low, high))
    return out


def values(frames: Frames, drives: Sequence[str], things: set[str]) -> list[float]:
    scores = Scores(things)
    for number, drive in enumerate(drives):
        for frame in frames[drive]:
            scores.add(f"{number}", frame)
    names = sorted({name for frame in frames.values() for row in frame for name in row.counts}, key=str)
    found = scores.result(names)
    return [np.nan if found[group][key] is None else 100 * found[group][key] for group, key in KEYS]


def lines(figures: dict[str, dict[str, tuple[float, float, float]]]) -> list[str]:
    out = [f"{'':>12} | " + " | ".join(f"{key:^20}" for key in next(iter(figures.values())))]
    for way, row in figures.items():
        cells = [f"{value:5.1f} ({low:.1f}..{high:.1f})" for value, low, high in row.values()]
        out.append(f"{way:>12} | " + " | ".join(f"{cell:^20}" for cell in cells))
    return out
