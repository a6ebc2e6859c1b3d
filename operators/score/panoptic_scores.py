"""Panoptic scores over frames: PQ, SQ, RQ; PTQ, sPTQ, MOTSA, sMOTSA, MOTSP of tracked things; mIoU.

Sources: Kirillov et al. 2019 (PQ); PanopticTrackNet (PTQ); Voigtlaender et al. 2019 (MOTS).

Of a class, with TP, FP, FN of panoptic_match.py and S the sum of the IoU of its matches:
    PQ = SQ RQ, SQ = S / TP, RQ = TP / (TP + FP / 2 + FN / 2)
    sPTQ, PTQ = (S - their IoU, S - their number) of the id switches / (TP + FP / 2 + FN / 2); of stuff: PQ
    MOTSA, sMOTSA = (TP, S - FP - switches) / (TP + FN), MOTSP = S / TP
A switch is a match whose truth had another predicted id at its last match, in the same sequence. A prediction without an id (-1)
is another each time; where no prediction has one, or no truth, there are no such scores.
IoU of a class counts pixels, of all truth but void. Means are over classes that occur: with TP + FP + FN > 0, with truth for the
MOTS scores, in truth or prediction for mIoU. None: no class occurs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from operators.score.panoptic_match import Matches, Segments
from operators.score.panoptic_pairs import Pairs, Rows
from operators.score.tables import aligned, percent

QUALITY, TRACKED = ("pq", "sq", "rq"), ("sptq", "ptq", "smotsa", "motsa", "motsp")


class Frame(NamedTuple):
    """What the scores of one frame need, as plain numbers.

    counts   class -> [TP, FP, FN, sum of the IoU]
    switched rows [class, track of the truth, predicted track, IoU], one per match of a truth with a track
    pixels   rows [class of the truth, predicted class or None, pixels]
    """

    counts: dict[Any, list[float]]
    switched: list[tuple[Any, int, int, float]]
    pixels: list[tuple[Any, Any, int]]


def frame_of(
    pairs: Pairs,
    rows: Rows,
    truth: Segments,
    found: Segments,
    matches: Matches,
    names: Mapping[int, Any],
    truth_tracks: np.ndarray,
    found_tracks: np.ndarray,
) -> Frame:
    """names: class -> its key in the scores; tracks (S,) int64, -1 = none."""
    kinds, of_all = np.unique(np.concatenate([truth.classes, found.classes]), return_inverse=True)
    keys, num = [*(names[c] for c in kinds.tolist()), None], len(kinds)
    t_kinds, f_kinds = np.append(of_all[: len(truth.ids)], num), np.append(of_all[len(truth.ids) :], num)  # [-1]: none
    right = t_kinds[matches.truth]
    columns = [np.bincount(of, minlength=num) for of in (right, f_kinds[matches.wrong], t_kinds[matches.missed])]
    sums = np.bincount(right, matches.iou, minlength=num)
    table = zip(keys[:-1], *(column.tolist() for column in (*columns, sums)), strict=True)
    counts = {key: [tp, fp, fn, total] for key, tp, fp, fn, total in table if tp + fp + fn}
    tracked = np.flatnonzero(truth_tracks[matches.truth] >= 0)
    t, f = matches.truth[tracked], matches.found[tracked]
    of_match = (t_kinds[t], truth_tracks[t], found_tracks[f], matches.iou[tracked])
    switched = [(keys[c], a, b, iou) for c, a, b, iou in zip(*(values.tolist() for values in of_match), strict=True)]
    both = t_kinds[rows.truth] * (num + 1) + f_kinds[rows.found]
    shared = np.bincount(both, pairs.pixels, minlength=(num + 1) ** 2).astype(np.int64).reshape(num + 1, num + 1)
    t, f = shared[:num].nonzero()  # without those that have no segment of the truth
    pixels = [(keys[a], keys[b], n) for a, b, n in zip(t.tolist(), f.tolist(), shared[t, f].tolist(), strict=True)]
    return Frame(counts, switched, pixels)


class Scores:
    """things: keys of the classes that are things; the others are stuff."""

    def __init__(self, things: Collection[Any]) -> None:
        self.things = set(things)
        self.num_frames = 0
        self.counts: dict[Any, list[float]] = defaultdict(lambda: [0, 0, 0, 0.0])
        self.switches: dict[Any, list[float]] = defaultdict(lambda: [0, 0.0])  # number, sum of the IoU
        self.pixels: dict[tuple[Any, Any], int] = defaultdict(int)
        self.is_tracked = False
        self._last: dict[tuple[str, Any, int], int] = {}  # sequence, class, track of the truth -> predicted track

    def add(self, sequence: str, frame: Frame) -> None:
        self.num_frames += 1
        for name, row in frame.counts.items():
            own = self.counts[name]
            for column, value in enumerate(row):
                own[column] += value
        for name, truth, found, iou in frame.switched:
            if name not in self.things:
                continue
            self.is_tracked |= found >= 0
            before = self._last.get((sequence, name, truth))
            if before is not None and (found < 0 or found != before):
                self.switches[name][0] += 1
                self.switches[name][1] += iou
            self._last[sequence, name, truth] = found
        for t, f, pixels in frame.pixels:
            self.pixels[t, f] += pixels

    def result(self, names: Sequence[Any]) -> dict[str, Any]:
        """names: all classes, in the order of the table. Fractions, counts; None where there is nothing to divide by."""
        classes = {name: self._of_class(name) for name in names}
        groups = {
            "all": list(names),
            "things": [name for name in names if name in self.things],
            "stuff": [name for name in names if name not in self.things],
        }
        means = {}
        for group, members in groups.items():
            there = [classes[name] for name in members if sum(classes[name][key] for key in ("tp", "fp", "fn"))]
            of_group = {key: _mean(row[key] for row in there) for key in (*QUALITY, "sptq", "ptq")}
            if group == "things":
                of_group |= {key: _mean(row[key] for row in there if row["tp"] + row["fn"]) for key in TRACKED[2:]}
            of_group["miou"] = _mean(classes[name]["iou"] for name in members)
            means[group] = of_group | {"classes": len(there)}
        return {"frames": self.num_frames, **means, "per_class": {str(name): row for name, row in classes.items()}}

    def _of_class(self, name: Any) -> dict[str, Any]:
        tp, fp, fn, total = self.counts.get(name, (0, 0, 0, 0.0))
        weight, num_truth = tp + fp / 2 + fn / 2, tp + fn
        sq, rq = (total / tp if tp else 0.0), (tp / weight if weight else 0.0)
        row: dict[str, Any] = {"is_thing": name in self.things, "tp": tp, "fp": fp, "fn": fn, "iou_sum": total}
        row |= {"pq": sq * rq, "sq": sq, "rq": rq} if weight else dict.fromkeys(QUALITY)
        row["iou"] = self._iou(name)
        row |= dict.fromkeys(TRACKED)
        if self.is_tracked and weight:
            ids, soft = self.switches.get(name, (0, 0.0))
            row |= {"sptq": (total - soft) / weight, "ptq": (total - ids) / weight} if ids else {"sptq": sq * rq, "ptq": sq * rq}
            if name in self.things:
                row |= {"switches": ids, "motsp": total / tp if tp else None}
                if num_truth:
                    row |= {"smotsa": (total - fp - ids) / num_truth, "motsa": (tp - fp - ids) / num_truth}
        return row

    def _iou(self, name: Any) -> float | None:
        both = self.pixels.get((name, name), 0)
        either = sum(pixels for (t, f), pixels in self.pixels.items() if name in (t, f))
        return both / either if either else None


def _mean(values: Any) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def lines(found: Mapping[str, Any]) -> list[str]:
    """A table of the groups and the classes, in per cent."""
    is_tracked = found["all"]["ptq"] is not None
    keys = (*QUALITY, "iou", *(TRACKED if is_tracked else ()))
    table = [["class", *(key.upper().replace("SMOTSA", "sMOTSA").replace("SPTQ", "sPTQ") for key in keys), "TP", "FP", "FN"]]
    for group in ("all", "things", "stuff"):
        of_group = found[group]
        cells = [percent(of_group.get("miou" if key == "iou" else key)) for key in keys]
        table.append([f"{group} ({of_group['classes']})", *cells, "", "", ""])
    for name, row in found["per_class"].items():
        if row["tp"] + row["fp"] + row["fn"]:
            counts = [str(round(row[key])) for key in ("tp", "fp", "fn")]
            table.append([f"  {row.get('name', name)}", *(percent(row[key]) for key in keys), *counts])
    return aligned(table)


def summary(found: Mapping[str, Any]) -> str:
    """`PQ 45.1 (things 40.2, stuff 49.0), mIoU 60.3, PTQ 44.2 (200 frames)`"""
    all_, tracked = found["all"], ""
    if all_["ptq"] is not None:
        tracked = f", PTQ {percent(all_['ptq'], 1)}"
    groups = ", ".join(f"{group} {percent(found[group]['pq'], 1)}" for group in ("things", "stuff"))
    return f"PQ {percent(all_['pq'], 1)} ({groups}), mIoU {percent(all_['miou'], 1)}{tracked} ({found['frames']} frames)"
