"""Slow twins of the panoptic scores: sets of pixels, one pair of segments after the other; tracks frame by frame."""

from collections import defaultdict


def segments(map_):
    """Id -> the set of its pixels."""
    out = defaultdict(set)
    for pixel, own in enumerate(map_.reshape(-1).tolist()):
        out[own].add(pixel)
    return out


def quality(pairs, num_classes, void, max_instances):
    """Of `panoptic_quality`: per class [TP, FP, FN, sum of the IoU]; pq, sq, rq over the classes that occur."""
    rows = {c: [0, 0, 0, 0.0] for c in range(num_classes)}
    for truth_map, found_map in pairs:
        truths, founds = segments(truth_map), segments(found_map)
        nowhere = truths.get(void * max_instances, set())
        class_of = {own: own // max_instances for own in (*truths, *founds)}
        right_truth, right_found = set(), set()
        for t, mine in truths.items():
            for f, theirs in founds.items():
                if class_of[t] != class_of[f] or class_of[t] == void:
                    continue
                iou = len(mine & theirs) / len((mine | theirs) - (theirs & nowhere))
                if iou > 0.5:
                    right_truth.add(t)
                    right_found.add(f)
                    rows[class_of[t]][0] += 1
                    rows[class_of[t]][3] += iou
        for f in founds:
            if f not in right_found and class_of[f] != void and 2 * len(founds[f] & nowhere) <= len(founds[f]):
                rows[class_of[f]][1] += 1
        for t in truths:
            if t not in right_truth and class_of[t] != void:
                rows[class_of[t]][2] += 1
    there = []
    for tp, fp, fn, total in rows.values():
        if tp + fp + fn:
            there.append((total / (tp + fp / 2 + fn / 2), total / tp if tp else 0.0, tp / (tp + fp / 2 + fn / 2)))
    means = [sum(column) / len(there) for column in zip(*there, strict=True)] if there else [None] * 3
    return rows, dict(zip(("pq", "sq", "rq"), means, strict=True))


def tracked(frames, thing):
    """PTQ, sPTQ, MOTSA, sMOTSA of one class of things.

    frames: (sequence, truth track -> (predicted track or None, IoU above 0.5), FP, FN). A switch: not the id of the last match.
    """
    tp = fp = fn = 0
    total = hard = soft = 0.0
    last = {}
    for sequence, matches, extra, missed in frames:
        fp, fn = fp + extra, fn + missed
        for truth, (found, iou) in matches.items():
            tp, total = tp + 1, total + iou
            if thing and (sequence, truth) in last and (found is None or last[sequence, truth] != found):
                hard, soft = hard + 1, soft + iou
            last[sequence, truth] = found
    weight = tp + fp / 2 + fn / 2
    return {
        "pq": total / weight, "ptq": (total - hard) / weight, "sptq": (total - soft) / weight,
        "motsa": (tp - fp - hard) / (tp + fn), "smotsa": (total - fp - hard) / (tp + fn),
    }  # fmt: skip
