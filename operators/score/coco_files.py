"""COCO's files: truth (instances_*.json) and results, both checked here.

truth    {"images": [{"id", ...}], "categories": [{"id", "name"}],
          "annotations": [{"image_id", "category_id", "bbox": [x, y, w, h], "area", "iscrowd"}]}
         area: w * h where missing; iscrowd: 0 where missing; ids of annotations are not used
results  [{"image_id", "category_id", "bbox": [x, y, w, h], "score"}]
Pixels. Ids are whole numbers. A box may have size 0. Errors name file and key: `F.json: annotations[7].bbox: needs ...`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from operators import textfile
from pipeline.errors import InputError, printable
from pipeline.outside import parse_json


class CocoTruth(NamedTuple):
    """images: id -> object as read, by rising id; categories: id -> name; rows in the order of the file: image_ids,
    category_ids (T,) int64; boxes (T, 4) x y w h, areas (T,) [px]; crowd (T,) bool; annotations: the objects as read."""

    path: Path
    images: dict[int, dict[str, Any]]
    categories: dict[int, str]
    image_ids: np.ndarray
    category_ids: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray
    annotations: list[dict[str, Any]]


class CocoResults(NamedTuple):
    """Rows in the order of the file: image_ids, category_ids (D,) int64; boxes (D, 4) x y w h [px]; scores (D,)."""

    path: Path
    image_ids: np.ndarray
    category_ids: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray


def read_truth(path: Path) -> CocoTruth:
    """Raises InputError."""
    data = _read(path)
    if not isinstance(data, dict) or not all(isinstance(data.get(key), list) for key in _LISTS):
        got = shown(data) if not isinstance(data, dict) else f"an object with {', '.join(list(data)[:6]) or 'nothing'}"
        hint = "; are these results? they go to --results" if isinstance(data, list) and data else ""
        refuse(path, "", f"COCO truth (an object with the lists {', '.join(_LISTS)})", got + hint)
    images, categories = (_by_id(path, key, data[key]) for key in ("images", "categories"))
    annotations = data["annotations"]
    for i, row in enumerate(annotations):
        if not isinstance(row, dict):
            refuse(path, f"annotations[{i}]", "an object", shown(row))
    image_ids, category_ids, boxes = _columns(path, "annotations", annotations, images, categories, "images of this file")
    areas = boxes[:, 2] * boxes[:, 3]
    crowd = np.zeros(len(annotations), bool)
    for i, row in enumerate(annotations):
        if "area" in row:
            areas[i] = number(path, f"annotations[{i}].area", row["area"])
        if "iscrowd" in row:
            crowd[i] = bool(number(path, f"annotations[{i}].iscrowd", row["iscrowd"]))
    return CocoTruth(
        path,
        dict(sorted(images.items())),
        {key: str(row.get("name", key)) for key, row in categories.items()},
        image_ids,
        category_ids,
        boxes,
        areas,
        crowd,
        annotations,
    )


def read_results(path: Path, truth: CocoTruth) -> CocoResults:
    """Raises InputError, also for an image or a category that the truth does not have."""
    data = _read(path)
    if not isinstance(data, list):
        got = f"an object with {', '.join(list(data)[:6]) or 'nothing'}" if isinstance(data, dict) else shown(data)
        hint = "; is it truth? it goes to --gt" if isinstance(data, dict) and "annotations" in data else ""
        refuse(path, "", "COCO results (a list of objects with image_id, category_id, bbox, score)", got + hint)
    for i, row in enumerate(data):
        if not isinstance(row, dict):
            refuse(path, f"[{i}]", "an object with image_id, category_id, bbox, score", shown(row))
    columns = _columns(path, "", data, truth.images, truth.categories, f"images of {truth.path}")
    scores = np.array([number(path, f"[{i}].score", row.get("score")) for i, row in enumerate(data)], np.float64)
    return CocoResults(path, *columns, scores)


_LISTS = ("images", "categories", "annotations")


def _read(path: Path) -> Any:
    text = textfile.read(path)
    try:
        return parse_json(text)
    except json.JSONDecodeError as error:
        refuse(path, "", f"JSON (line {error.lineno}, column {error.colno})", f"{error.msg[:1].lower()}{error.msg[1:]}")
    except ValueError as error:
        refuse(path, "", "JSON", str(error))


def _by_id(path: Path, key: str, rows: list[Any]) -> dict[int, dict[str, Any]]:
    out: dict[int, dict[str, Any]] = {}
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            refuse(path, f"{key}[{i}]", "an object", shown(row))
        own = _whole(path, f"{key}[{i}].id", row.get("id"))
        if own in out:
            refuse(path, f"{key}[{i}].id", "every id once", f"{own} again")
        out[own] = row
    return out


def _columns(
    path: Path,
    key: str,
    rows: list[dict[str, Any]],
    images: Collection[int],
    categories: Mapping[int, Any],
    known: str,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """image_ids, category_ids (N,), boxes (N, 4)."""
    ids = np.zeros((len(rows), 2), np.int64)
    boxes = np.zeros((len(rows), 4))
    for i, row in enumerate(rows):
        image, category = (_whole(path, f"{key}[{i}].{of}", row.get(of)) for of in ("image_id", "category_id"))
        if image not in images:
            refuse(path, f"{key}[{i}].image_id", f"one of the {len(images)} {known}", str(image))
        if category not in categories:
            some = ", ".join(map(str, list(categories)[:8])) or "none"
            refuse(path, f"{key}[{i}].category_id", f"one of the {len(categories)} categories ({some}, ..)", str(category))
        ids[i] = image, category
        boxes[i] = _box(path, f"{key}[{i}].bbox", row.get("bbox"))
    return ids[:, 0], ids[:, 1], boxes


def _box(path: Path, at: str, value: Any) -> list[float]:
    if not isinstance(value, list) or len(value) != 4:
        refuse(path, at, "[x, y, w, h]", shown(value))
    box = [number(path, at, each) for each in value]
    if box[2] < 0 or box[3] < 0:
        refuse(path, at, "[x, y, w, h] with w >= 0 and h >= 0", shown(value))
    return box


def number(path: Path, at: str, value: Any) -> float:
    """The value of a key, if it is a finite number. Raises InputError."""
    fits = isinstance(value, (int, float)) and math.isfinite(value) and abs(value) <= textfile.MAX_SIZE
    if not fits:
        refuse(path, at, "a finite number", shown(value))
    return float(value)


def _whole(path: Path, at: str, value: Any) -> int:
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or value != int(value) or abs(value) >= 2**62:
        refuse(path, at, "a whole number", shown(value))
    return int(value)


def shown(value: Any) -> str:
    return "nothing" if value is None else printable(repr(value), 60)


def refuse(path: Path, at: str, needs: str, got: str) -> NoReturn:
    raise InputError(f"{path}: {at}{': ' if at else ''}needs {needs}, got {got}")
