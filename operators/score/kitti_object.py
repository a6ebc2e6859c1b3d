"""KITTI object detection: AP of 2D, bird's-eye view and 3D boxes and orientation similarity, easy, moderate and hard.

gt, results  kitti_folders.py, object layout; only frames with a result file count, an empty file is one
A result: type truncated occluded alpha x1 y1 x2 y2 h w l x y z ry score; labels have no score. Camera frame, bottom centre.

Numbers and rules are those of KITTI's devkit (ap.py; ../shared/data/golden/kitti_object): IoU above 0.7 for cars, 0.5 for
pedestrians and cyclists. A detection in a DontCare region is ignored in 2D; in bird's-eye view and 3D it is a false positive. One
result with alpha -10: no orientation similarity. A class without a result is absent.
AP is given for at least 40 truth boxes that count, since n < 40 boxes reach (n-1)/40 at most; else right, wrong and missed boxes.
Intervals: 95 % of a bootstrap over the frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from operators import textfile
from operators.geometry.boxes3d import upright
from operators.score import kitti_folders
from operators.score.ap import IOU, KITTI_LEVELS, AveragePrecision
from operators.score.kitti_folders import OBJECT
from operators.score.kitti_rows import TYPES
from operators.score.tables import aligned, several
from operators.score.tally import r11, r40
from operators.streams import CLASSES, DONT_CARE, Boxes3D, Truth
from pipeline.errors import InputError

WHO = "eval kitti-object"
METRICS = ("2d", "aos", "bev", "3d")
LEAST_TRUTH = 40
BOOTSTRAPS, SEED = 1000, 0
NO_ALPHA, NO_BOX = -10.0, -1000.0
"""How a result file says that it has no orientation, no 3D box."""

_OTHER = len(CLASSES)
_LABELS = np.array([{name.lower(): k for k, name in enumerate(CLASSES)}.get(name, _OTHER) for name in TYPES])
_LABELS[TYPES.index("dontcare")] = DONT_CARE
_TRUNCATED, _OCCLUDED, _ALPHA, _BOX2D, _BOX3D, _SCORE = 1, 2, 3, slice(4, 8), slice(8, 15), 15


def evaluate(gt: Path, results: Path) -> dict[str, Any]:
    """The numbers that `pipe eval` prints and writes; AP of fewer than LEAST_TRUTH boxes is None."""
    files, notes = _chosen(gt, results)
    classes = _score(files, BOOTSTRAPS)
    for metrics in classes.values():
        for levels in metrics.values():
            for row in levels.values():
                if row["truth"] < LEAST_TRUTH:
                    row.update({key: None for key in row if key.startswith(("r40", "r11"))})
    if missing := [name.lower() for name in IOU if name.lower() not in classes]:
        notes.append(f"--results {results}: no result of type {several(missing)}: not scored, as in the devkit")
    if classes and not any(levels["hard"]["truth"] for metrics in classes.values() for levels in metrics.values()):
        notes.append(f"--gt {gt}: no label of {several(list(classes))} counts: no AP")
    about = {"frames": len(files), "least_truth": LEAST_TRUTH, "bootstraps": BOOTSTRAPS, "seed": SEED}
    return {"notes": notes, **about} | {"iou": {name.lower(): limit for name, limit in IOU.items()}, "classes": classes}


def score(gt: str | Path, results: str | Path, bootstraps: int = 0) -> dict[str, dict[str, Any]]:
    """Class -> metric -> level -> numbers: r40, r11 [per cent], curve (41 points), truth, tp, fp, fn of all results, and with
    bootstraps r40_interval, r11_interval. Also for fewer than LEAST_TRUTH boxes. Raises InputError."""
    return _score(_chosen(Path(gt), Path(results))[0], bootstraps)


def lines(found: Mapping[str, Any]) -> list[str]:
    """A table; a cell: R40 [its interval] R11."""
    levels = [level.name for level in KITTI_LEVELS]
    table = [[f"AP of {found['frames']} frames", *levels]]
    is_short = False
    for name, metrics in found["classes"].items():
        num_truth = {level: next(iter(metrics.values()))[level]["truth"] for level in levels}
        table.append([f"{name}, IoU > {found['iou'][name]:g}", *(f"{n} truths" for n in num_truth.values())])
        is_short = is_short or min(num_truth.values()) < LEAST_TRUTH
        table += [[f"  {metric}", *(_cell(metric, of[level]) for level in levels)] for metric, of in metrics.items()]
    if len(table) == 1:
        return [f"{found['frames']} frames, no results of {', '.join(found['iou'])}"]
    out = aligned(table)
    out.append(f"per cent: R40 [95 % of {found['bootstraps']} bootstraps over the frames] R11")
    if is_short:
        out.append(
            f"tp fp fn of all results where fewer than {LEAST_TRUTH} truths count: n truths reach an AP of (n-1)/40 at most"
        )
    return out


def _cell(metric: str, row: Mapping[str, Any]) -> str:
    if row["r40"] is None:
        return "-" if metric == "aos" else f"tp {row['tp']} fp {row['fp']} fn {row['fn']}"
    low, high = row["r40_interval"]
    return f"{row['r40']:.2f} [{low:.1f} .. {high:.1f}] {row['r11']:.2f}"


def _chosen(gt: Path, results: Path) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Label and result file of each frame that is scored, and warnings."""
    layout, labels = kitti_folders.labels(WHO, gt)
    if layout is not OBJECT:
        hint = "for tracks: pipe eval kitti-tracking or kitti-centres"
        raise InputError(f"{WHO}: --gt {gt}: needs the object layout (label_2/NNNNNN.txt), got the tracking layout; {hint}")
    found, notes = kitti_folders.chosen(WHO, layout, labels, kitti_folders.result_files(WHO, results), None, results)
    return [(labels[name], path) for name, path in found.items()], notes


def _score(files: Iterable[tuple[Path, Path]], bootstraps: int) -> dict[str, dict[str, Any]]:
    labels, results = zip(*((_read(a, 15), _read(b, 16)) for a, b in files), strict=True)
    truth_rows, rows = np.concatenate(labels), np.concatenate(results)
    starts = tuple(np.cumsum([0, *map(len, tables)]) for tables in (results, labels))
    truth = Truth(
        upright(truth_rows[:, _BOX3D]), truth_rows[:, _BOX2D], _LABELS[truth_rows[:, 0].astype(np.int64)],
        np.full(len(truth_rows), -1), truth_rows[:, _OCCLUDED], truth_rows[:, _TRUNCATED],
    )  # fmt: skip
    found = Boxes3D(upright(rows[:, _BOX3D]), rows[:, _SCORE], _LABELS[rows[:, 0].astype(np.int64)])
    draws = _draws(len(starts[0]) - 1, bootstraps)
    out: dict[str, dict[str, Any]] = {}
    for metric in ("2d", "bev", "3d"):
        ap = AveragePrecision(metric=metric, dontcare=metric == "2d")
        ap.add(found, truth, rows[:, _BOX2D], starts=(starts[0], starts[1]), angles=(rows[:, _ALPHA], truth_rows[:, _ALPHA]))
        for name, levels in ap.result().items():
            if not _has(metric, rows[found.labels == CLASSES.index(name)]):
                continue
            mine = out.setdefault(name.lower(), {})
            intervals = ap.intervals(draws)[name] if bootstraps else {}
            mine[metric], similarity = {}, {}
            for level, of in levels.items():
                counts = {"truth": of.num_truth, "tp": of.right, "fp": of.wrong, "fn": of.missed}
                got = intervals.get(level)
                mine[metric][level] = _means(of.curve) | counts
                similarity[level] = _means(of.similarity) | counts
                if got is not None:
                    mine[metric][level] |= {"r40_interval": list(got.r40), "r11_interval": list(got.r11)}
                    similarity[level] |= {
                        "r40_interval": list(got.similarity_r40),
                        "r11_interval": list(got.similarity_r11),
                    }
            if metric == "2d" and not (rows[:, _ALPHA] == NO_ALPHA).any():
                mine["aos"] = similarity
    return out


def _read(path: Path, columns: int) -> np.ndarray:
    """(N, columns) float64; column 0 is an index into TYPES."""
    table = textfile.read_table(path, (columns,), columns, word_column=0, words=TYPES)
    textfile.check_finite(table, slice(1, columns), "numbers")
    return table.values


def _has(metric: str, rows: np.ndarray) -> bool:
    """One result of the class has such a box: the devkit's rule for scoring a metric."""
    if metric == "2d":
        return bool((rows[:, 4] >= 0).any())
    h, w, length, x, y, z = rows[:, 8:14].T
    flat = (x != NO_BOX) & (z != NO_BOX) & (w > 0) & (length > 0)
    return bool((flat if metric == "bev" else flat & (y != NO_BOX) & (h > 0)).any())


def _draws(num_frames: int, bootstraps: int) -> np.ndarray:
    """(B, F) int64: how often each resample draws each frame."""
    rng = np.random.default_rng(SEED)
    drawn = [np.bincount(rng.integers(0, num_frames, num_frames), minlength=num_frames) for _ in range(bootstraps)]
    return np.array(drawn, np.int64).reshape(bootstraps, num_frames)


def _means(curve: np.ndarray) -> dict[str, Any]:
    return {"r40": r40(curve), "r11": r11(curve), "curve": curve.tolist()}
