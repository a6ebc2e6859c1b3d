"""SemanticKITTI: mIoU and PQ of the points, LSTQ of the tracked instances.

gt, results  a folder with sequences/SS/labels/NNNNNN.label and one with sequences/SS/predictions/NNNNNN.label; each may also
             be one SS, or hold the files itself (operators/semantickitti.py)

Numbers and rules are those of semantic-kitti-api and 4D-PLS (point_segments.py): 19 classes, segments below 50 points are neither
false positives nor negatives, class 0 is left out. In the official means, classes that never come are 0; "present" leaves them
out. Every labelled scan of a scored sequence needs a result. Sequences without results are named and not scored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from operators import folders
from operators import semantickitti as format
from operators.score.point_segments import PointScores
from operators.score.tables import aligned, percent, several
from pipeline.errors import InputError

MIN_POINTS = 50
_WHO = "semantickitti"
_THINGS = tuple(format.NAMES.index(name) for name in format.THINGS)
_COLUMNS = ("iou", "pq", "sq", "rq", "tp", "fp", "fn", "truth")


def evaluate(gt: Path, results: Path, sequences: Sequence[str] | None = None) -> dict[str, Any]:
    """The numbers that `pipe eval` prints and writes."""
    truths, notes = pairs(gt, results, sequences)
    scores, scans = PointScores(len(format.NAMES), MIN_POINTS), {}
    for sequence, files in truths.items():
        scans[sequence] = len(files)
        for truth, result in files:
            of_truth = format.read_label(truth)
            scores.add(sequence, *of_truth, *format.read_label(result, len(of_truth[0])))
    found = scores.numbers(_THINGS)
    found["classes"] = {format.NAMES[number]: values for number, values in found["classes"].items()}
    if not scores.confusion.sum():
        notes.append(f"--gt {gt}: no point has a class: all scores are 0")
    return {"scans": scans, **found, "notes": notes}


def pairs(gt: Path, results: Path, asked: Sequence[str] | None) -> tuple[dict[str, list[tuple[Path, Path]]], list[str]]:
    """Sequence -> truth and result of each labelled scan, and warnings. Raises InputError for what is missing."""
    truths = _files(gt, "--gt", ("labels",))
    found = _files(results, "--results", ("predictions", "labels"))
    wanted = list(found) if asked is None else [name.zfill(2) if name.isdecimal() else name for name in asked]
    for of, there in ((f"--gt {gt}", truths), (f"--results {results}", found)):
        if missing := [name for name in wanted if name not in there]:
            raise InputError(f"{_WHO}: {of}: needs labels of sequences {several(missing)}, has {several(list(there))}")
    out, unlabelled = {}, 0
    for name in wanted:
        if missing := sorted(set(truths[name]) - set(found[name])):
            raise InputError(
                f"{_WHO}: --results {results}: needs a .label file of each labelled scan of sequence {name}, lacks "
                f"{several(missing)}"
            )
        unlabelled += len(set(found[name]) - set(truths[name]))
        out[name] = [(truths[name][file], found[name][file]) for file in sorted(truths[name])]
    rest = [name for name in truths if name not in wanted]
    notes = [f"sequences without results are not scored: {several(rest)}"] if rest and asked is None else []
    return out, notes + ([f"{unlabelled} results are of scans without labels and are not scored"] if unlabelled else [])


def _files(root: Path, key: str, kinds: Sequence[str]) -> dict[str, dict[str, Path]]:
    """Sequence -> name -> .label file. Raises InputError if there is none."""
    found = {
        sequence: {path.stem: path for path in folders.files(folder, "*.label")}
        for sequence, folder in format.sequences(root, *kinds, suffix=".label")
    }
    if not any(found.values()):
        got = "none" if folders.kind(root) else "no such folder"
        raise InputError(f"{_WHO}: {key} {root}: needs a folder with sequences/SS/{kinds[0]}/NNNNNN.label, got {got}")
    return found


def lines(found: Mapping[str, Any]) -> list[str]:
    """Per cent; tp, fp, fn in segments, truth in points."""
    table = [["class", *_COLUMNS]]
    for name, numbers in found["classes"].items():
        table.append([name, *(percent(numbers[key]) if key in _COLUMNS[:4] else str(numbers[key]) for key in _COLUMNS)])
    means = [["mean", "mIoU", "PQ", "SQ", "RQ"]]
    means.append(["19 classes", *(percent(found[key]) for key in ("miou", "pq", "sq", "rq"))])
    means.append(["things", "", *(percent(found[f"{key}_things"]) for key in ("pq", "sq", "rq"))])
    means.append(["stuff", "", *(percent(found[f"{key}_stuff"]) for key in ("pq", "sq", "rq"))])
    means.append(["present", *(percent(found["present"][key]) for key in ("miou", "pq", "sq", "rq"))])
    scans = ", ".join(f"{name}: {num}" for name, num in found["scans"].items())
    four = [f"{name} {percent(found[key])}" for name, key in (("LSTQ", "lstq"), ("S_assoc", "s_assoc"), ("S_cls", "s_cls"))]
    more = [f"accuracy {percent(found['accuracy'])}", f"PQ dagger {percent(found['pq_dagger'])}", *four]
    return [*aligned(table), "", *aligned(means), "", "   ".join(more), f"scans: {scans}"]
