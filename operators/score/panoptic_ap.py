"""COCO's mask AP of the things of panoptic maps, by pycocotools (`pip install 'perception-pipe[eval]'`).

Masks are those of the maps, so none lies on another. Crowd regions of the truth forgive. The numbers are as in coco.py: IoU
0.50:0.05:0.95, 101 points of recall, 100 results of an image and class.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np

from pipeline.errors import InputError


class MaskAP:
    """Raises InputError where pycocotools is not installed."""

    def __init__(self) -> None:
        try:
            from pycocotools import mask
        except ImportError:
            what = "mask AP needs pycocotools, which is not installed; pip install 'perception-pipe[eval]'"
            raise InputError(f"eval panoptic: {what}") from None
        self._encode = mask.encode
        self._truth: list[dict[str, Any]] = []
        self._found: list[dict[str, Any]] = []
        self._images: list[dict[str, int]] = []

    def add(self, truth_map: np.ndarray, truth: list[tuple[int, int, bool]], found_map: np.ndarray, found: Any) -> None:
        """Maps (H, W); truth: rows of id, class, crowd; found: rows of id, class, score; things only."""
        height, width = truth_map.shape
        self._images.append({"id": len(self._images) + 1, "height": height, "width": width})
        for own, category, crowd in truth:
            self._truth.append(self._row(truth_map == own, category, self._truth) | {"iscrowd": int(crowd)})
        for own, category, score in found:
            self._found.append(self._row(found_map == own, category, self._found) | {"iscrowd": 0, "score": score})

    def _row(self, mask: np.ndarray, category: int, others: list[dict[str, Any]]) -> dict[str, Any]:
        encoded = self._encode(np.asfortranarray(mask, np.uint8))
        place = {"image_id": len(self._images), "category_id": category, "id": len(others) + 1}
        return place | {"segmentation": encoded, "area": float(mask.sum())}

    def result(self, categories: list[int]) -> tuple[dict[str, float | None], dict[int, float | None]]:
        """AP, AP50, AP75 over all categories; AP of each. None: without truth."""
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        if not self._truth:
            return dict.fromkeys(("ap", "ap50", "ap75")), dict.fromkeys(categories)
        sides = []
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
            for rows in (self._truth, self._found):
                side = COCO()
                side.dataset = {
                    "images": self._images,
                    "categories": [{"id": category} for category in categories],
                    "annotations": rows,
                }
                side.createIndex()
                sides.append(side)
            scored = COCOeval(*sides, "segm")
            scored.evaluate()
            scored.accumulate()
        precision = scored.eval["precision"][..., 0, -1]  # (IoU, recall, category), all areas, 100 results
        of_category = {category: _mean(precision[..., k]) for k, category in enumerate(scored.params.catIds)}
        return {"ap": _mean(precision), "ap50": _mean(precision[0]), "ap75": _mean(precision[5])}, of_category


def _mean(values: np.ndarray) -> float | None:
    """pycocotools' -1: without truth there is no value."""
    there = values[values > -1]
    return float(there.mean()) if len(there) else None
