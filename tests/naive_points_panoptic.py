"""Slow twin of operators/score/point_segments.py: dicts and sets of points, class by class. Class 0 has no truth."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

Scan = tuple[str, Any, Any, Any, Any]
"""sequence, truth classes, truth instances, classes, instances: integers per point."""


def scores(scans: list[Scan], num_classes: int, things: tuple[int, ...], min_points: int) -> dict[str, Any]:
    every = range(1, num_classes)
    tp, fp, fn, total = (dict.fromkeys(every, 0) for _ in range(4))
    hits, misses, extras = (dict.fromkeys(range(num_classes), 0) for _ in range(3))
    tubes: dict[Any, int] = defaultdict(int)
    found: dict[Any, int] = defaultdict(int)
    common: dict[Any, int] = defaultdict(int)
    for sequence, *columns in scans:
        rows = [row for row in zip(*(column.tolist() for column in columns), strict=True) if row[0] != 0]
        for label, _, other, _ in rows:
            hits[label] += label == other
            misses[label] += label != other
            extras[other] += label != other
        for c in every:
            truths, others = defaultdict(set), defaultdict(set)
            for n, (label, instance, other, other_instance) in enumerate(rows):
                if label == c:
                    truths[instance].add(n)
                if other == c:
                    others[other_instance].add(n)
            pairs = [(a, b) for a in truths for b in others if len(truths[a] & others[b]) / len(truths[a] | others[b]) > 0.5]
            for a, b in pairs:
                tp[c] += 1
                total[c] += len(truths[a] & others[b]) / len(truths[a] | others[b])
            fn[c] += sum(len(truths[a]) >= min_points for a in truths if a not in {pair[0] for pair in pairs})
            fp[c] += sum(len(others[b]) >= min_points for b in others if b not in {pair[1] for pair in pairs})
            for instance, of_instance in truths.items():
                if instance == 0 or len(of_instance) <= min_points:
                    continue
                tubes[sequence, c, instance] += len(of_instance)
                for n in of_instance:
                    if rows[n][3]:
                        common[sequence, c, instance, rows[n][3]] += 1
            for instance, of_instance in others.items():
                if instance:
                    found[sequence, instance] += len(of_instance)
    association = 0.0
    for (sequence, c, instance), size in tubes.items():
        for (name, other), other_size in found.items():
            shared = common.get((sequence, c, instance, other), 0)
            if name == sequence and shared:
                association += shared * shared / (size + other_size - shared) / size
    num_tubes = sum(c in things for _, c, _ in tubes)
    iou = {c: hits[c] / n if (n := hits[c] + misses[c] + extras[c]) else 0.0 for c in range(num_classes)}
    came = sum(hits[c] + misses[c] + extras[c] > 0 for c in range(num_classes))
    pq = {c: total[c] / n if (n := tp[c] + fp[c] / 2 + fn[c] / 2) else 0.0 for c in every}
    s_cls = sum(iou.values()) / max(came, 1)
    s_assoc = association / num_tubes if num_tubes else None
    return {
        "tp": tp, "fp": fp, "fn": fn, "miou": sum(iou[c] for c in every) / len(every), "pq": sum(pq.values()) / len(every),
        "pq_things": sum(pq[c] for c in things) / len(things), "s_cls": s_cls, "s_assoc": s_assoc,
        "lstq": None if s_assoc is None else math.sqrt(s_assoc * s_cls),
    }  # fmt: skip
