"""Identity: truth objects and tracks paired once for the whole sequence.     Source: Ristani et al. 2016, sec. 4

in   Overlaps of one sequence and class
out  a dict: IDTP IDFN IDFP, and IDF1 IDR IDP as fractions; sums over sequences by `combine`
A frame counts for a pair when their similarity is at least 0.5. Without truth or tracks: 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from operators.kernels.tracking_metrics import frames_in_common
from operators.score.overlaps import Overlaps

THRESHOLD = 0.5
COUNTS = ("IDTP", "IDFN", "IDFP")


def identity(data: Overlaps) -> dict[str, Any]:
    """One sequence.

    IDF1 is 0 if the sequence has no truth or no tracks, as in TrackEval. Minimal IDFN + IDFP means maximal IDTP, so the
    assignment needs no rows and columns for unmatched objects and tracks.
    """
    common = np.zeros((data.G, data.T))
    frames_in_common(*data.lists, THRESHOLD, common)
    num_common = int(common[linear_sum_assignment(common, maximize=True)].sum())
    return finish({"IDTP": num_common, "IDFN": len(data.truth_ids) - num_common, "IDFP": len(data.track_ids) - num_common})


def combine(sequences: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Several sequences as one; none: all 0."""
    listed = list(sequences)
    return finish({key: sum(one[key] for one in listed) for key in COUNTS})


def finish(sums: dict[str, Any]) -> dict[str, Any]:
    tp, fn, fp = (sums[key] for key in COUNTS)
    return sums | {"IDF1": tp / max(1, tp + fp / 2 + fn / 2), "IDR": tp / max(1, tp + fn), "IDP": tp / max(1, tp + fp)}
