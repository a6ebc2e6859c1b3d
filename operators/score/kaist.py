"""KAIST's multispectral pedestrians: log-average miss rate in the settings of the published evaluation.

gt       KAIST_annotation.json of the test set (2,252 images), see kaist_files.py
results  a text file, COCO results, or a folder of text files, see kaist_files.py

Source: Dollar et al. 2012, sec. 4 (miss rate); Hwang et al. 2015 (settings); the rules are those of the evaluation script that
the MLPD, INSANet and later detectors publish (KAISTPedEval):
- A person counts if its height and occlusion are of the setting, its box is within 5 px of no border (x 5..635, y 5..507) and
  it is not marked `ignore`. Every other row, also people, cyclists and person?, is a region that forgives.
- From the highest score on, each result takes the free person with the largest overlap, IoU 0.5 or more; else it is forgiven
  if a region covers half of its area. Equal scores keep the order of the file. Heights of results do not matter.
- Miss rates at nine false positives per image, 0.01 .. 1, as the script rounds them; the geometric mean of the nine, each at
  least 1e-10. A rate that is exceeded by the first result is a miss rate of 1.
- Persons in an image without any result are not required, as in the script; a warning names the miss rate with them.
Two errors of the script are left out: it pairs overlaps with the wrong results where a file's rows of an image do not fall by
score (a warning says so), and takes a match with annotation 0 for none (KAIST's own: 50 px high, not of the setting reasonable).
Day: sets 00-02 and 06-08, night: 03-05 and 09-11; without names of images the first 1,455 are by day.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from operators.score.kaist_files import Found, Persons, read
from operators.score.tables import aligned, percent

WHO = "eval kaist"
IOU = 0.5
FPPI = (0.01, 0.0178, 0.0316, 0.0562, 0.1, 0.1778, 0.3162, 0.5623, 1.0)
BORDER = (5.0, 5.0, 635.0, 507.0)  # x0 y0 x1 y1 [px]
LEAST = 1e-10


class Setting(NamedTuple):
    """Persons that count: heights [px], both included; levels of occlusion (0 none, 1 partial, 2 heavy)."""

    heights: tuple[float, float]
    occluded: tuple[int, ...]


SETTINGS = {
    "reasonable": Setting((55, np.inf), (0, 1)),
    "near": Setting((115, np.inf), (0,)),
    "medium": Setting((45, 115), (0,)),
    "far": Setting((1, 45), (0,)),
    "occ. none": Setting((1, np.inf), (0,)),
    "occ. partial": Setting((1, np.inf), (1,)),
    "occ. heavy": Setting((1, np.inf), (2,)),
    "reasonable small": Setting((50, 75), (0, 1)),
    "reasonable heavy": Setting((50, np.inf), (2,)),
    "all persons": Setting((20, np.inf), (0, 1, 2)),
}


class Pairs(NamedTuple):
    """Results and persons of the same image: rows found, persons (K,) int64; iou, covered (K,), the share of the result that the
    person's box covers. By image and falling score of the result, for one result in the order of the persons."""

    found: np.ndarray
    persons: np.ndarray
    iou: np.ndarray
    covered: np.ndarray


def evaluate(gt: Path, results: Path) -> dict[str, Any]:
    """Per setting, over all images, by day and by night: miss rate, counts and the curve's nine points."""
    truth, found, notes = read(gt, results)
    pairs = overlaps(truth, found)
    times = {"all": np.ones(truth.num_images, bool)}
    if truth.night is not None:
        times |= {"day": ~truth.night, "night": truth.night}
    settings: dict[str, Any] = {}
    for name, setting in SETTINGS.items():
        aside = set_aside(truth, setting)
        right, forgiven = match(pairs, aside, len(found.scores))
        settings[name] = {time: scored(truth, found, aside, right, forgiven, of) for time, of in times.items()}
    return {
        "images": truth.num_images,
        "results_rows": len(found.scores),
        "settings": settings,
        "notes": notes + _notes(settings),
    }


def lines(found: Mapping[str, Any]) -> list[str]:
    """A table of the settings, miss rates in per cent."""
    times = list(found["settings"]["reasonable"])
    table = [["miss rate", *times, "persons", "found", "wrong"]]
    for name, of_times in found["settings"].items():
        counts = of_times["all"]
        rates = [percent(of_times[time]["miss_rate"]) for time in times]
        table.append([name, *rates, *(str(counts[key]) for key in ("persons", "found", "wrong"))])
    return aligned(table)


# ---- the rules


def set_aside(truth: Persons, setting: Setting) -> np.ndarray:
    """(P,) bool: the rows that do not count but forgive."""
    x, y, w, h = truth.boxes.T
    low, high = setting.heights
    outside = (x < BORDER[0]) | (y < BORDER[1]) | (x + w > BORDER[2]) | (y + h > BORDER[3])
    wrong_size = (truth.heights < low) | (truth.heights > high)
    return truth.ignore | outside | wrong_size | ~np.isin(truth.occluded, setting.occluded)


def overlaps(truth: Persons, found: Found) -> Pairs:
    """The pairs that can match in some setting."""
    by_image = np.argsort(truth.images, kind="stable")
    starts = np.searchsorted(truth.images[by_image], np.arange(truth.num_images + 1))
    first, count = starts[found.images], np.diff(starts)[found.images]
    of_found = np.repeat(np.arange(len(count)), count)
    before = np.repeat(np.cumsum(count) - count, count)
    of_persons = by_image[np.repeat(first, count) + np.arange(len(of_found)) - before]
    a, b = found.boxes[of_found], truth.boxes[of_persons]
    size = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    shared = np.where((size > 0).all(1), size[:, 0] * size[:, 1], 0.0)
    area_a, area_b = a[:, 2] * a[:, 3], b[:, 2] * b[:, 3]
    covered = _share(shared, area_a)
    iou = _share(shared, area_a + area_b - shared)
    near = np.maximum(covered, iou) >= IOU
    return Pairs(of_found[near], of_persons[near], iou[near], covered[near])


def match(pairs: Pairs, aside: np.ndarray, num_found: int) -> tuple[np.ndarray, np.ndarray]:
    """(D,), (D,) bool: results that found a person; results that a row set aside forgives."""
    right, forgiven = np.zeros(num_found, bool), np.zeros(num_found, bool)
    region = aside[pairs.persons]
    forgiven[pairs.found[region & (pairs.covered >= IOU)]] = True
    use = np.flatnonzero(~region & (pairs.iou >= IOU))
    rows = zip(pairs.found[use].tolist(), pairs.persons[use].tolist(), pairs.iou[use].tolist(), strict=True)
    taken: set[int] = set()
    for result, of_result in itertools.groupby(rows, key=operator.itemgetter(0)):
        free = [(iou, at, person) for at, (_, person, iou) in enumerate(of_result) if person not in taken]
        if free:  # of equal overlaps the last
            right[result] = True
            taken.add(max(free)[2])
    return right, forgiven & ~right


def scored(
    truth: Persons, found: Found, aside: np.ndarray, right: np.ndarray, forgiven: np.ndarray, chosen: np.ndarray
) -> dict[str, Any]:
    """The numbers of one setting over the chosen images (I,) bool. Without a person that counts: miss rate None."""
    silent = np.ones(truth.num_images, bool)
    silent[found.images] = False
    persons = ~aside & chosen[truth.images]
    num_persons, required = int(persons.sum()), int((persons & ~silent[truth.images]).sum())
    use = chosen[found.images] & ~forgiven
    hits = right[use][np.argsort(-found.scores[use], kind="stable")]
    num_images = int(chosen.sum())
    points = miss_rates(hits, required or num_persons, num_images)  # without any result all are missed; the script has no number
    return {
        "miss_rate": log_average(points),
        "miss_rate_silent_images_too": log_average(miss_rates(hits, num_persons, num_images)),
        "miss_rates": None if points is None else points.tolist(),
        "persons": num_persons,
        "persons_in_silent_images": num_persons - required,
        "found": int(hits.sum()),
        "wrong": int((~hits).sum()),
    }


def miss_rates(hits: np.ndarray, num_persons: int, num_images: int) -> np.ndarray | None:
    """hits (D,) bool by falling score -> miss rate at each of FPPI; None without persons."""
    if not num_persons:
        return None
    missed = np.concatenate([[1.0], 1 - np.cumsum(hits) / num_persons])
    per_image = np.concatenate([[-np.inf], np.cumsum(~hits) / num_images])
    return missed[np.searchsorted(per_image, FPPI, side="right") - 1]


def log_average(points: np.ndarray | None) -> float | None:
    return None if points is None else float(np.exp(np.log(np.maximum(points, LEAST)).mean()))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def _notes(settings: Mapping[str, Any]) -> list[str]:
    reasonable = settings["reasonable"]["all"]
    if reasonable["miss_rate"] is None:
        return ["--gt: no person counts in the setting reasonable: n/a instead of miss rates"]
    if 0 < reasonable["persons_in_silent_images"] < reasonable["persons"]:
        return [
            f"--results: {reasonable['persons_in_silent_images']} of {reasonable['persons']} persons (reasonable) are in images "
            "without any result; the published script does not count these, with them the miss rate is "
            f"{percent(reasonable['miss_rate_silent_images_too'])}"
        ]
    return []
