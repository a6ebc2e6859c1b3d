"""KAIST's truth and the three forms of results.

gt       KAIST_annotation.json: COCO truth whose images have an `im_name` (set06/V000/I00019) and whose annotations have
         `height` [px], `occlusion` (0 none, 1 partial, 2 heavy) and `ignore`; category 1 is person, every other one is ignored
results  F.txt: image, x, y, w, h, score; comma-separated; images from 1 in the order of their ids
         F.json: COCO results with the truth's image ids; rows of another category than 1 are left out
         DIR with setSS_VVVV_IIIIII.txt of every image: class, x1, y1, x2, y2, score, separated by blanks, pixels from 0; the
         published wrapper adds 1 to the corner x1, y1, and so does this reader
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from operators import folders, textfile
from operators.score.coco_files import CocoTruth, number, read_results, read_truth
from operators.score.tables import several
from pipeline.errors import InputError

WHO = "eval kaist"
PERSON = 1
MAX_PER_IMAGE = 1000
NIGHT_SETS, DAY_IMAGES, TEST_IMAGES = (3, 4, 5, 9, 10, 11), 1455, 2252


class Persons(NamedTuple):
    """night (I,) bool, None: unknown. Rows: images (P,) int64, index of the image; boxes (P, 4) x y w h, heights (P,) [px];
    occluded (P,) int64; ignore (P,) bool."""

    num_images: int
    night: np.ndarray | None
    images: np.ndarray
    boxes: np.ndarray
    heights: np.ndarray
    occluded: np.ndarray
    ignore: np.ndarray


class Found(NamedTuple):
    """Rows by image, within one by falling score, at most 1,000: images (D,) int64, index of the image; boxes (D, 4) x y w h
    [px]; scores (D,)."""

    images: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray


def read(gt: Path, results: Path) -> tuple[Persons, Found, list[str]]:
    """Truth, results, warnings. Raises InputError."""
    coco = read_truth(gt)
    names = [str(image.get("im_name") or image.get("file_name") or "") for image in coco.images.values()]
    ids = np.array(list(coco.images), np.int64)
    persons = _persons(coco, ids, names)
    if folders.is_folder(results):
        found = _from_folder(results, names)
    elif results.suffix == ".json":
        rows = read_results(results, coco)
        of_persons = rows.category_ids == PERSON
        images = np.searchsorted(ids, rows.image_ids)
        found = Found(images[of_persons], rows.boxes[of_persons], rows.scores[of_persons])
    else:
        found = _from_text(results, len(names))
    found, unsorted = _best(found)
    notes = []
    if unsorted:
        notes.append(
            f"--results {results}: the rows of {unsorted} images do not fall by score; the published script pairs overlaps with "
            "the wrong results there, so its number differs"
        )
    return persons, found, notes


def _best(found: Found) -> tuple[Found, int]:
    """The rows by image, within one by falling score, at most MAX_PER_IMAGE; number of images whose rows did not fall."""
    order = np.lexsort((-found.scores, found.images))
    by_image = np.argsort(found.images, kind="stable")
    out_of_order = len(np.unique(found.images[order][order != by_image]))
    images = found.images[order]
    rank = np.arange(len(order)) - np.searchsorted(images, images)
    order = order[rank < MAX_PER_IMAGE]
    return Found(*(column[order] for column in found)), out_of_order


def _persons(coco: CocoTruth, ids: np.ndarray, names: list[str]) -> Persons:
    occluded, heights = np.zeros(len(coco.boxes)), coco.boxes[:, 3].copy()
    ignore = coco.category_ids != PERSON
    for i, row in enumerate(coco.annotations):
        for key, column in (("occlusion", occluded), ("height", heights)):
            if key in row:
                column[i] = number(coco.path, f"annotations[{i}].{key}", row[key])
        ignore[i] |= "ignore" in row and bool(number(coco.path, f"annotations[{i}].ignore", row["ignore"]))
    sets = [re.search(r"set(\d\d)[/_]", name) for name in names]
    night = None
    if names and all(sets):
        night = np.array([int(found[1]) in NIGHT_SETS for found in sets if found])
    elif len(names) == TEST_IMAGES:
        night = np.arange(TEST_IMAGES) >= DAY_IMAGES
    images = np.searchsorted(ids, coco.image_ids)
    return Persons(len(names), night, images, coco.boxes, heights, occluded.astype(np.int64), ignore)


def _from_text(path: Path, num_images: int) -> Found:
    table = textfile.read_table(path, (6,), 6, comma=True, names="image, x, y, w, h, score")
    textfile.check_finite(table, slice(0, 6), "numbers")
    images = textfile.whole(table, 0, "image", least=1)
    if (images > num_images).any():
        row = int(np.argmax(images > num_images))
        table.refuse(row, f"an image 1..{num_images} of the truth in column 1", str(images[row]))
    boxes = table.values[:, 1:5]
    _check_size(table, boxes[:, 2:])
    return Found(images - 1, boxes, table.values[:, 5])


def _from_folder(path: Path, names: list[str]) -> Found:
    files = [path / f"{name.removesuffix('.jpg').replace('/', '_')}.txt" for name in names]
    missing = [file.name for name, file in zip(names, files, strict=True) if not name or not folders.is_file(file)]
    if missing:
        hint = "an empty file means no person"
        raise InputError(
            f"{WHO}: --results {path}: needs a file of every image of the truth, got none of {several(missing)}; {hint}"
        )
    images, boxes, scores = [], [], []
    for i, file in enumerate(files):
        table = textfile.read_table(file, (6,), 6, word_column=0, words=("person",), names="class, x1, y1, x2, y2, score")
        textfile.check_finite(table, slice(0, 6), "numbers")
        corner, size = table.values[:, 1:3], table.values[:, 3:5] - table.values[:, 1:3]
        _check_size(table, size)
        images.append(np.full(len(size), i))
        boxes.append(np.concatenate([corner + 1, size], 1))
        scores.append(table.values[:, 5])
    none = Found(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0))
    return Found(*(np.concatenate(rows) for rows in (images, boxes, scores))) if files else none


def _check_size(table: textfile.Table, size: np.ndarray) -> None:
    bad = (size < 0).any(1)
    if bad.any():
        row = int(np.argmax(bad))
        w, h = size[row]
        table.refuse(row, "a box with width >= 0 and height >= 0", f"{w:g} x {h:g}")
