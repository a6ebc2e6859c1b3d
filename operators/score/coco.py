"""COCO's detection metric: AP and AR of 2D boxes, by pycocotools (`pip install 'perception-pipe[eval]'`).

gt, results  coco_files.py

The numbers are COCOeval's: IoU 0.50:0.05:0.95, 101 points of recall, areas small (up to 32 x 32 px), medium (up to 96 x 96),
large; -1 becomes null. Three of its properties that change a score:
- The best 100 results of an image and category count, for AP too; a warning names the images that have more.
- Equal scores keep the order of the images and of the file: the same files give the same numbers.
- Truth outside of an area range, and results outside of it that match nothing, are neither right nor wrong there.
Ids of annotations are numbered anew from 1: pycocotools takes a match with annotation 0 for none, and reads equal ids as one.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from operators.score.coco_files import CocoResults, CocoTruth, read_results, read_truth
from operators.score.tables import aligned
from pipeline.errors import InputError

WHO = "eval coco"
MOST = 100  # results of an image and category
_AP = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large")
STATS = (*_AP, "AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large")


def evaluate(gt: Path, results: Path) -> dict[str, Any]:
    """The twelve numbers over all categories, and AP, AP50, AP75, AR100 of each one that has truth or results."""
    truth = read_truth(gt)
    found = read_results(results, truth)
    counts = {
        category: (int((truth.category_ids == category).sum()), int((found.category_ids == category).sum()))
        for category in truth.categories
    }
    notes = _notes(found)
    if not len(truth.boxes):
        notes.append(f"--gt {gt}: has no annotation: n/a instead of scores")
    stats, of_category = _coco_eval(truth, found) if len(truth.boxes) else (dict.fromkeys(STATS), {})
    classes = {}
    for category, (num_truth, num_found) in counts.items():
        if num_truth or num_found:
            numbers = of_category.get(category, dict.fromkeys(("AP", "AP50", "AP75", "AR100")))
            named = {"name": truth.categories[category], "truth": num_truth, "results": num_found}
            classes[str(category)] = named | numbers
    return {"images": len(truth.images), **stats, "classes": classes, "notes": notes}


def lines(found: Mapping[str, Any]) -> list[str]:
    """A line of the numbers per area, then a table of the categories."""
    areas = [["area", "AP", "AP50", "AP75", "AR1", "AR10", "AR100"]]
    areas.append(["all", *(_shown(found[name]) for name in areas[0][1:])])
    for area in ("small", "medium", "large"):
        ap, ar = _shown(found[f"AP_{area}"]), _shown(found[f"AR_{area}"])
        areas.append([area, ap, "", "", "", "", ar])
    table = [["category", "AP", "AP50", "AP75", "AR100", "truth", "results"]]
    for of_class in found["classes"].values():
        numbers = [_shown(of_class[name]) for name in table[0][1:5]]
        table.append([of_class["name"], *numbers, str(of_class["truth"]), str(of_class["results"])])
    return [*aligned(areas), "", *aligned(table)]


def _coco_eval(truth: CocoTruth, found: CocoResults) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise InputError(f"{WHO}: needs pycocotools, which is not installed; pip install 'perception-pipe[eval]'") from None
    boxes, areas = found.boxes, found.boxes[:, 2] * found.boxes[:, 3]
    gt_rows = _rows(truth.image_ids, truth.category_ids, truth.boxes, truth.areas, "iscrowd", truth.crowd.astype(int))
    dt_rows = _rows(found.image_ids, found.category_ids, boxes, areas, "score", found.scores)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        sides = []
        for rows in (gt_rows, dt_rows):
            side = COCO()
            side.dataset = {
                "images": [{"id": image} for image in truth.images],
                "categories": [{"id": category} for category in truth.categories],
                "annotations": rows,
            }
            side.createIndex()
            sides.append(side)
        coco_eval = COCOeval(*sides, "bbox")
        coco_eval.evaluate()
        coco_eval.accumulate()
        coco_eval.summarize()
    precision = coco_eval.eval["precision"][..., 0, -1]  # (IoU, recall, category), all areas, 100 results
    recall = coco_eval.eval["recall"][..., 0, -1]  # (IoU, category)
    of_category = {
        category: {
            "AP": _mean(precision[..., k]),
            "AP50": _mean(precision[0, :, k]),
            "AP75": _mean(precision[5, :, k]),
            "AR100": _mean(recall[:, k]),
        }
        for k, category in enumerate(coco_eval.params.catIds)
    }
    return {name: _mean(np.array([value])) for name, value in zip(STATS, coco_eval.stats, strict=True)}, of_category


def _rows(
    image_ids: np.ndarray, category_ids: np.ndarray, boxes: np.ndarray, areas: np.ndarray, key: str, values: np.ndarray
) -> list[dict[str, Any]]:
    columns = (column.tolist() for column in (image_ids, category_ids, boxes, areas, values))
    return [
        {"id": i, "image_id": image, "category_id": category, "bbox": box, "area": area, "iscrowd": 0, key: value}
        for i, (image, category, box, area, value) in enumerate(zip(*columns, strict=True), start=1)
    ]


def _mean(values: np.ndarray) -> float | None:
    """pycocotools' -1: without truth there is no value."""
    there = values[values > -1]
    return float(there.mean()) if len(there) else None


def _notes(found: CocoResults) -> list[str]:
    places, sizes = np.unique(np.stack([found.image_ids, found.category_ids]), axis=1, return_counts=True)
    more = np.flatnonzero(sizes > MOST)
    if not len(more):
        return []
    image, category = places[:, more[0]].tolist()
    return [
        f"--results {found.path}: image {image} has {sizes[more[0]]} results of category {category}, the first of {len(more)} "
        f"such cases; COCO counts the best {MOST}"
    ]


def _shown(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"
