"""CLEAR MOT: are objects found, and do they keep their track?     Source: Bernardin & Stiefelhagen 2008, counted as by TrackEval

in   Overlaps of one sequence and class
out  a dict; sums over sequences by `combine`
     CLR_TP CLR_FN CLR_FP  pairs with a similarity of at least 0.5; truth and tracks without a partner
     IDS FRAG              (TrackEval: IDSW, Frag) matched by another track than last time; lost and found again
     MT PT ML              truth objects found in more than 80 % of their frames; the rest; in less than 20 %; MTR PTR MLR: shares
     MOTA MODA MOTP sMOTA MOTAL CLR_Re CLR_Pr CLR_F1  fractions; MOTP: mean similarity of the pairs
No tracks: all truth is missed, MOTA 0. No truth: MOTA 0, as in TrackEval, not undefined.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from operators.kernels.tracking_metrics import FN, FP, IDS, TP
from operators.kernels.tracking_metrics import clear as _clear
from operators.score.overlaps import Overlaps

THRESHOLD = 0.5
COUNTS = ("CLR_TP", "CLR_FN", "CLR_FP", "IDS", "FRAG", "MT", "PT", "ML", "CLR_Frames")


def clear(data: Overlaps) -> dict[str, Any]:
    """One sequence."""
    out: dict[str, Any] = dict.fromkeys(COUNTS, 0) | {"MOTP_sum": 0.0}
    if not len(data.track_ids) or not len(data.truth_ids):
        out |= {"CLR_FN": len(data.truth_ids), "CLR_FP": len(data.track_ids)}
        if not len(data.track_ids):
            out["ML"] = data.G
        return finish(out) | {"MLR": 1.0} | dict.fromkeys(("MOTA", "MODA", "MOTAL", "sMOTA", "FP_per_frame"), 0.0)
    counts = np.zeros(4, np.int64)
    present, found, begun = np.zeros((3, data.G), np.int64)
    out["MOTP_sum"] = _clear(*data.lists, THRESHOLD, counts, present, found, begun)
    share = found / present
    num_mostly, num_partly = int((share > 0.8).sum()), int((share >= 0.2).sum())
    out |= {"CLR_TP": int(counts[TP]), "CLR_FN": int(counts[FN]), "CLR_FP": int(counts[FP]), "IDS": int(counts[IDS])}
    out |= {"FRAG": int((begun[begun > 0] - 1).sum()), "CLR_Frames": data.frames}
    out |= {"MT": num_mostly, "PT": num_partly - num_mostly, "ML": data.G - num_partly}
    return finish(out)


def combine(sequences: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Several sequences as one; none: all 0."""
    listed = list(sequences)
    return finish({key: sum(one[key] for one in listed) for key in (*COUNTS, "MOTP_sum")})


def finish(sums: dict[str, Any]) -> dict[str, Any]:
    """The counts and the numbers derived from them."""
    tp, fn, fp, ids = (sums[key] for key in ("CLR_TP", "CLR_FN", "CLR_FP", "IDS"))
    num_truth, num_objects = max(1, tp + fn), max(1, sums["MT"] + sums["PT"] + sums["ML"])
    return sums | {
        "MOTA": (tp - fp - ids) / num_truth,
        "MODA": (tp - fp) / num_truth,
        "MOTAL": (tp - fp - (float(np.log10(ids)) if ids else 0.0)) / num_truth,
        "MOTP": sums["MOTP_sum"] / max(1, tp),
        "sMOTA": (sums["MOTP_sum"] - fp - ids) / num_truth,
        "CLR_Re": tp / num_truth,
        "CLR_Pr": tp / max(1, tp + fp),
        "CLR_F1": tp / max(1, tp + fn / 2 + fp / 2),
        "FP_per_frame": fp / max(1, sums["CLR_Frames"]),
        "MTR": sums["MT"] / num_objects,
        "PTR": sums["PT"] / num_objects,
        "MLR": sums["ML"] / num_objects,
    }
