"""AP50 of 2D boxes as COCO counts it, and how sure the difference of two detectors is: a bootstrap over their common images.

Source: COCOeval of pycocotools (IoU 0.5, all areas, the best 100 detections of an image and class, 101 points of recall, mean
over the classes with truth); paired bootstrap: Efron and Tibshirani 1993, ch. 16. Equal scores keep the order of the images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from operators.streams import Boxes2D

IOU, MOST = 0.5, 100
RECALLS = np.linspace(0, 1, 101)
_CELLS = 1 << 21  # draws x detections at a time: 16 MB an array


class Truth2D(NamedTuple):
    """One image: boxes2d (T, 4) x1 y1 x2 y2 [px]; labels (T,) int; crowd (T,) bool: forgives any number of detections of its
    class; None: none does."""

    boxes2d: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray | None = None


class Paired(NamedTuple):
    """AP50 0..1 of both detectors; loss = reference - candidate; upper95: 95 % of the draws have a smaller loss; low, high: the
    middle 95 %. NaN without truth."""

    reference: float
    candidate: float
    loss: float
    upper95: float
    low: float
    high: float


class Ranked(NamedTuple):
    """One class over all images, by falling score: images (D,) int64, hits (D,) bool; num_truth (I,) int64 of each image."""

    images: np.ndarray
    hits: np.ndarray
    num_truth: np.ndarray


def coco_ap50(truth: Sequence[Truth2D], detections: Sequence[Boxes2D]) -> float:
    """Both of the same images, in one order -> AP50 0..1; NaN without truth."""
    return float(_ap50(_ranked(truth, detections), np.ones((1, len(truth)), np.int64))[0])


def paired_ap50(
    truth: Sequence[Truth2D], reference: Sequence[Boxes2D], candidate: Sequence[Boxes2D], draws: int = 1000, seed: int = 0
) -> Paired:
    """Each draw takes as many images as there are, with repetition, the same ones for both detectors."""
    num_images = len(truth)
    if not num_images:
        return Paired(*[np.nan] * 6)
    drawn = np.random.default_rng(seed).multinomial(num_images, np.full(num_images, 1 / num_images), draws)
    once = np.ones((1, num_images), np.int64)
    of_each = [_ap50(_ranked(truth, of), np.concatenate([once, drawn])) for of in (reference, candidate)]
    losses = (of_each[0] - of_each[1])[1:]
    losses = losses[~np.isnan(losses)]  # of draws with truth
    upper95, low, high = np.quantile(losses, (0.95, 0.025, 0.975)).tolist() if len(losses) else (np.nan,) * 3
    before, after = (float(values[0]) for values in of_each)
    return Paired(before, after, before - after, upper95, low, high)


def _ap50(ranked: Sequence[Ranked], weights: np.ndarray) -> np.ndarray:
    """weights (B, I): how often each image counts -> (B,)"""
    total, classes = np.zeros(len(weights)), np.zeros(len(weights), np.int64)
    for one in ranked:
        needed = weights @ one.num_truth
        step = max(1, _CELLS // max(1, len(one.hits)))
        for start in range(0, len(weights), step):
            rows = slice(start, start + step)
            total[rows] += np.where(needed[rows] > 0, _average(one, weights[rows], needed[rows]), 0)
        classes += needed > 0
    return np.divide(total, classes, out=np.full(len(total), np.nan), where=classes > 0)


def _average(one: Ranked, weights: np.ndarray, needed: np.ndarray) -> np.ndarray:
    """(B, I), (B,) -> (B,): the mean of the largest precision at or beyond each of RECALLS."""
    if not len(one.hits):
        return np.zeros(len(weights))
    count = weights[:, one.images].astype(np.float64)
    right, all_ = np.cumsum(count * one.hits, axis=1), np.cumsum(count, axis=1)
    recall = right / np.maximum(needed, 1)[:, None]
    precision = np.maximum.accumulate((right / (all_ + np.spacing(1)))[:, ::-1], axis=1)[:, ::-1]
    padded = np.pad(precision, ((0, 0), (0, 1)))  # a recall that is never reached: 0
    at = np.array([np.searchsorted(row, RECALLS) for row in recall])
    return np.take_along_axis(padded, at, axis=1).mean(axis=1)


def _ranked(truth: Sequence[Truth2D], detections: Sequence[Boxes2D]) -> list[Ranked]:
    """One Ranked for each class of the truth."""
    if len(truth) != len(detections):
        raise ValueError(f"needs truth and detections of the same images, got {len(truth)} and {len(detections)} images")
    classes = sorted({int(label) for image in truth for label in image.labels})
    return [_of_class(label, truth, detections) for label in classes]


def _of_class(label: int, truth: Sequence[Truth2D], detections: Sequence[Boxes2D]) -> Ranked:
    images, scores, hits = [], [], []
    num_truth = np.zeros(len(truth), np.int64)
    for i, (of_image, found) in enumerate(zip(truth, detections, strict=True)):
        own = of_image.labels == label
        crowd = np.zeros(len(own), bool) if of_image.crowd is None else of_image.crowd
        mine = np.flatnonzero(found.labels == label)
        mine = mine[np.argsort(-found.scores[mine], kind="stable")][:MOST]
        num_truth[i] = (own & ~crowd).sum()
        hit, forgiven = _match(of_image.boxes2d[own & ~crowd], of_image.boxes2d[own & crowd], found.boxes2d[mine])
        images.append(np.full((~forgiven).sum(), i))
        scores.append(found.scores[mine][~forgiven])
        hits.append(hit[~forgiven])
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return Ranked(np.concatenate(images)[order], np.concatenate(hits)[order], num_truth)


def _match(boxes: np.ndarray, crowds: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(T, 4), (C, 4), (D, 4) by falling score -> (D,), (D,) bool: right; forgiven. Each takes the free box with the largest
    overlap, of equal ones the last."""
    right, free = np.zeros(len(found), bool), np.ones(len(boxes), bool)
    iou = _overlaps(found, boxes, False)
    for row in np.flatnonzero((iou >= IOU).any(1)).tolist():
        overlap = np.where(free, iou[row], 0)
        best = len(boxes) - 1 - int(np.argmax(overlap[::-1]))
        if overlap[best] >= IOU:
            right[row], free[best] = True, False
    return right, ~right & (_overlaps(found, crowds, True) >= IOU).any(1)


def _overlaps(found: np.ndarray, boxes: np.ndarray, crowd: bool) -> np.ndarray:
    """(D, 4), (T, 4) -> (D, T): IoU; with crowd the share of the detection that lies in the box."""
    a, b = found.astype(np.float64)[:, None], boxes.astype(np.float64)[None]
    size = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0)
    shared = size[..., 0] * size[..., 1]
    area_a, area_b = ((box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1]) for box in (a, b))
    united = np.broadcast_to(area_a, shared.shape) if crowd else area_a + area_b - shared
    return np.divide(shared, united, out=np.zeros(shared.shape), where=united > 0)
