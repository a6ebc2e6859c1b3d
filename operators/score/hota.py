"""HOTA: detection and association in one number, at 19 localisation thresholds.     Source: Luiten et al. 2020 (IJCV)

in   Overlaps of one sequence and class
out  a dict of arrays over ALPHAS, (19,) float64: HOTA DetA AssA DetRe DetPr AssRe AssPr LocA OWTA, HOTA_TP HOTA_FN HOTA_FP;
     sums over sequences by `combine`, the usual numbers (means over ALPHAS) by `summary`
All thresholds share one matching per frame, so the sums over pairs of truth object and track are taken for all thresholds at
once. Without truth or tracks: 0, LocA 1, as in TrackEval.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from operators.kernels.overlaps import EPS
from operators.kernels.tracking_metrics import aligned_pairs, soft_common
from operators.score.overlaps import Overlaps

ALPHAS = np.arange(0.05, 0.99, 0.05)
MEANS = ("HOTA", "DetA", "AssA", "DetRe", "DetPr", "AssRe", "AssPr", "LocA", "OWTA")
_COUNTS = ("HOTA_TP", "HOTA_FN", "HOTA_FP")
_PER_TP = ("AssA", "AssRe", "AssPr")


def hota(data: Overlaps) -> dict[str, np.ndarray]:
    """One sequence."""
    num_truth, num_tracks = len(data.truth_ids), len(data.track_ids)
    if not num_truth or not num_tracks:
        zero = np.zeros(len(ALPHAS))
        counts = {"HOTA_TP": zero, "HOTA_FN": zero + num_truth, "HOTA_FP": zero + num_tracks}
        return finish(counts, dict.fromkeys(_PER_TP, zero), zero)
    in_frames_g = np.bincount(data.truth_ids, minlength=data.G).astype(np.float64)
    in_frames_t = np.bincount(data.track_ids, minlength=data.T).astype(np.float64)
    common = np.zeros((data.G, data.T))
    soft_common(*data.lists, common)
    alignment = common / (in_frames_g[:, None] + in_frames_t - common)  # eq. 7
    track, value = np.empty(num_truth, np.int64), np.zeros(num_truth)
    aligned_pairs(*data.lists, alignment, track, value)

    # the number of thresholds that each match reaches, then matches per pair of ids and threshold
    matched = track >= 0
    truth, track, value = data.truth_ids[matched], track[matched], value[matched]
    level = np.searchsorted(ALPHAS - EPS, value, side="right")
    pairs, pair = np.unique(truth * data.T + track, return_inverse=True)
    histogram = np.bincount(pair * (len(ALPHAS) + 1) + level, minlength=len(pairs) * (len(ALPHAS) + 1))
    reached = np.cumsum(histogram.reshape(len(pairs), len(ALPHAS) + 1)[:, ::-1], 1)[:, -2::-1].astype(np.float64)  # (pairs, 19)
    tp = reached.sum(0)
    of_truth, of_track = in_frames_g[pairs // data.T, None], in_frames_t[pairs % data.T, None]
    sums = {  # eq. 10-13, each pair weighted by its true positives
        "AssA": (reached * (reached / np.maximum(1, of_truth + of_track - reached))).sum(0),
        "AssRe": (reached * (reached / of_truth)).sum(0),
        "AssPr": (reached * (reached / of_track)).sum(0),
    }
    per_level = np.bincount(level, value, minlength=len(ALPHAS) + 1)
    located = np.cumsum(per_level[::-1])[-2::-1]
    return finish({"HOTA_TP": tp, "HOTA_FN": num_truth - tp, "HOTA_FP": num_tracks - tp}, sums, located)


def combine(sequences: Iterable[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Several sequences as one; none: all 0."""
    listed, zero = list(sequences), np.zeros(len(ALPHAS))
    counts = {key: sum((one[key] for one in listed), zero) for key in _COUNTS}
    sums = {key: sum((one[key] * one["HOTA_TP"] for one in listed), zero) for key in _PER_TP}
    return finish(counts, sums, sum((one["LocA"] * one["HOTA_TP"] for one in listed), zero))


def finish(counts: dict[str, np.ndarray], sums: dict[str, np.ndarray], located: np.ndarray) -> dict[str, np.ndarray]:
    """Counts, sums over true positives of the three association scores and of the similarity -> all numbers."""
    tp, fn, fp = (counts[key] for key in _COUNTS)
    out = counts | {key: value / np.maximum(1, tp) for key, value in sums.items()}
    out |= {"DetRe": tp / np.maximum(1, tp + fn), "DetPr": tp / np.maximum(1, tp + fp), "DetA": tp / np.maximum(1, tp + fn + fp)}
    out["LocA"] = np.maximum(1e-10, located) / np.maximum(1e-10, tp)
    out["HOTA"], out["OWTA"] = np.sqrt(out["DetA"] * out["AssA"]), np.sqrt(out["DetRe"] * out["AssA"])  # eq. 14
    return out


def summary(result: dict[str, np.ndarray]) -> dict[str, float]:
    """Means over the thresholds, and the three numbers at the lowest one."""
    out = {key: float(result[key].mean()) for key in MEANS}
    out |= {"HOTA(0)": float(result["HOTA"][0]), "LocA(0)": float(result["LocA"][0])}
    return out | {"HOTALocA(0)": out["HOTA(0)"] * out["LocA(0)"]}
