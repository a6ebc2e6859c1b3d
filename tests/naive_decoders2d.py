"""Slow, obvious decoders of detection nets, a loop over the places of a grid; and encoders, their inverses.

All give a list of (x1, y1, x2, y2, score, class) in pixels of the input, of every place whose best score is above the threshold.
"""

import math

import numpy as np


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def softmax(values):
    top = max(values)
    raised = [math.exp(v - top) for v in values]
    return [v / sum(raised) for v in raised]


def logit(p):
    return math.log(p / (1 - p))


def best(scores):
    k = int(np.argmax(scores))
    return scores[k], k


def places(size, strides):
    """(stride, row, column) of each place, in the order of the rows."""
    for stride in strides:
        for row in range(math.ceil(size[1] / stride)):
            for column in range(math.ceil(size[0] / stride)):
                yield stride, row, column


def centred(cx, cy, w, h):
    return cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2


def grid(output, size, threshold, power=0.6):
    """FastestDet, output (1, 5 + C, H, W)"""
    _, _, height, width = output.shape
    found = []
    for i in range(height):
        for j in range(width):
            v = output[0, :, i, j].astype(float)
            sure, k = best(v[5:])
            score = v[0] ** power * sure ** (1 - power)
            if score > threshold:
                cx, cy = (j + math.tanh(v[1])) / width * size[0], (i + math.tanh(v[2])) / height * size[1]
                found.append((*centred(cx, cy, sigmoid(v[3]) * size[0], sigmoid(v[4]) * size[1]), score, k))
    return found


def anchors(maps, strides, sizes, threshold, square=True, scale=2.0):
    """YOLOv5 (square) or v3; maps: (A, H, W, 5 + C) logits of each stride; sizes: [[(w, h), ..], ..]"""
    found = []
    for values, stride, own in zip(maps, strides, sizes, strict=True):
        for a in range(values.shape[0]):
            for i in range(values.shape[1]):
                for j in range(values.shape[2]):
                    v = values[a, i, j].astype(float)
                    sure, k = best([sigmoid(x) for x in v[5:]])
                    score = sigmoid(v[4]) * sure
                    if score > threshold:
                        cx = (j + scale * sigmoid(v[0]) - (scale - 1) / 2) * stride
                        cy = (i + scale * sigmoid(v[1]) - (scale - 1) / 2) * stride
                        grow = (lambda x: (2 * sigmoid(x)) ** 2) if square else math.exp
                        found.append((*centred(cx, cy, own[a][0] * grow(v[2]), own[a][1] * grow(v[3])), score, k))
    return found


def decoded(rows, threshold, objectness):
    """YOLOv8 (4 + C) or YOLOv5 (5 + C), rows (N, K): centre and size in pixels, probabilities"""
    found = []
    for v in rows.astype(float):
        sure, k = best(v[5:] if objectness else v[4:])
        score = sure * v[4] if objectness else sure
        if score > threshold:
            found.append((*centred(*v[:4]), score, k))
    return found


def yolox(rows, size, strides, threshold):
    """rows (N, 5 + C): offsets, logarithms of sizes, probabilities"""
    found = []
    for v, (stride, row, column) in zip(rows.astype(float), places(size, strides), strict=True):
        sure, k = best(v[5:])
        if v[4] * sure > threshold:
            box = centred((column + v[0]) * stride, (row + v[1]) * stride, math.exp(v[2]) * stride, math.exp(v[3]) * stride)
            found.append((*box, v[4] * sure, k))
    return found


def distribution(scores, boxes, size, strides, threshold, point=0.5, shift=0.0):
    """scores (N, C) probabilities, boxes (N, 4 * bins) logits"""
    bins, found = boxes.shape[1] // 4, []
    for s, b, (stride, row, column) in zip(scores.astype(float), boxes.astype(float), places(size, strides), strict=True):
        sure, k = best(s)
        if sure > threshold:
            sides = []
            for side in range(4):
                shares = softmax(list(b[side * bins : (side + 1) * bins]))
                sides.append(sum(i * p for i, p in enumerate(shares)) * stride)
            x, y = (column + point) * stride + shift, (row + point) * stride + shift
            found.append((x - sides[0], y - sides[1], x + sides[2], y + sides[3], sure, k))
    return found


def detr(logits, boxes, size, threshold):
    """logits (Q, C + 1), "no object" last; boxes (Q, 4) centre and size as shares"""
    found = []
    for row, (cx, cy, w, h) in zip(logits.astype(float), boxes.astype(float), strict=True):
        sure, k = best(softmax(list(row))[:-1])
        if sure > threshold:
            found.append((*centred(cx * size[0], cy * size[1], w * size[0], h * size[1]), sure, k))
    return found


def centres(heat, sizes, offsets, stride, threshold):
    """heat (C, H, W) logits, sizes and offsets (2, H, W) in cells"""
    found = []
    for c in range(heat.shape[0]):
        for i in range(heat.shape[1]):
            for j in range(heat.shape[2]):
                near = heat[c, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
                score = sigmoid(float(heat[c, i, j]))
                if heat[c, i, j] >= near.max() and score > threshold:
                    cx, cy = (j + offsets[0, i, j]) * stride, (i + offsets[1, i, j]) * stride
                    found.append((*centred(cx, cy, sizes[0, i, j] * stride, sizes[1, i, j] * stride), score, c))
    return found


def nms(found, max_iou, over_all=False):
    """(x1, y1, x2, y2, score, class) rows -> those that stay, best first; of equal scores the first."""

    def iou(a, b):
        across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        both = max(across, 0) * max(down, 0)
        area = sum((x[2] - x[0]) * (x[3] - x[1]) for x in (a, b))
        return both / (area - both)

    kept = []
    for row in sorted(found, key=lambda row: -row[4]):
        if all(iou(row, other) <= max_iou for other in kept if over_all or other[5] == row[5]):
            kept.append(row)
    return kept
