"""Odometry: KITTI's t_rel and r_rel over 100 to 800 m, absolute trajectory error (ATE), error at the end.

gt, results  a file of poses, or a folder of SEQ.txt; KITTI or TUM, see trajectory_files.py

Both trajectories begin at their first common pose. KITTI: poses of the same frame number. TUM: times at most 0.01 s apart.
align  none (default): the first common poses are laid on each other; se3 (6 degrees of freedom) and sim3 (7: scale, too): the
       best fit of all positions (Umeyama 1991). t_rel and r_rel are not changed by se3; sim3 scales the translations
t_rel and r_rel are means over all segments of all lengths, as in KITTI's devkit; ATE is the root of the mean square [m].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from operators import folders
from operators.score.tables import aligned, percent, several
from operators.score.trajectories import Align, scores
from operators.score.trajectory_files import Trajectory, read
from pipeline.errors import InputError

WHO = "eval odometry"
APART_S = 0.01
_COLUMNS = ("poses", "path m", "t_rel %", "r_rel deg/100 m", "ATE m", "end m", "end %")


def evaluate(gt: Path, results: Path, sequences: Sequence[str] | None = None, align: Align = "none") -> dict[str, Any]:
    """The numbers that `pipe eval` prints and writes."""
    pairs = _pairs(gt, results, sequences)
    found = {name: scores(*matched(read(truth), read(result)), align) for name, (truth, result) in pairs.items()}
    short = [name for name, numbers in found.items() if not numbers["segments"]]
    notes = [f"--gt {gt}: needs 100 m for t_rel and r_rel: n/a for {several(short)}"] if short else []
    return {"align": align, "sequences": found, "notes": notes}


def lines(found: Mapping[str, Any]) -> list[str]:
    """A table of the sequences."""
    table = [[f"align {found['align']}", *_COLUMNS]]
    for name, numbers in found["sequences"].items():
        turned = numbers["r_rel_deg_100m"]
        table.append(
            [
                name,
                str(numbers["poses"]),
                f"{numbers['path_m']:.1f}",
                percent(numbers["t_rel"], 3),
                "n/a" if turned is None else f"{turned:.3f}",
                f"{numbers['ate_m']:.3f}",
                f"{numbers['end_error_m']:.3f}",
                percent(numbers["end_share"]),
            ]
        )
    return aligned(table)


def matched(truth: Trajectory, found: Trajectory) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Poses of truth and result (K, 4, 4), row by row of one instant; (K,) bool: rows that the result has."""
    if len(truth.keys) and len(found.keys) and truth.timed != found.timed:
        kinds = ["TUM" if trajectory.timed else "KITTI" for trajectory in (truth, found)]
        raise InputError(f"{WHO}: {found.path}: needs the layout of {truth.path} ({kinds[0]}), got {kinds[1]}")
    if truth.timed:
        return _by_time(truth, found)
    rows = np.searchsorted(truth.keys, found.keys)
    there = rows < len(truth.keys)
    there[there] = truth.keys[rows[there]] == found.keys[there]
    known = np.zeros(len(truth.keys), bool)
    known[rows[there]] = True
    poses = np.tile(np.eye(4), (len(truth.keys), 1, 1))
    poses[rows[there]] = found.poses[there]
    if not known.any():
        raise InputError(f"{WHO}: {found.path}: needs a pose of a frame of {truth.path}, got none")
    return truth.poses, poses, known


def _by_time(truth: Trajectory, found: Trajectory) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each result with the nearest truth; of several results with one truth the nearest."""
    after = np.clip(np.searchsorted(truth.keys, found.keys), 1, max(len(truth.keys) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(truth.keys) - 1)
    nearer = np.abs(truth.keys[after] - found.keys) < np.abs(truth.keys[before] - found.keys)
    rows = np.where(nearer, after, before)
    apart = np.abs(truth.keys[rows] - found.keys)
    order = np.lexsort((apart, rows))
    first = np.concatenate([[True], np.diff(rows[order]) > 0])[: len(order)]
    chosen = np.sort(order[first])
    chosen = chosen[apart[chosen] <= APART_S]
    if not len(chosen):
        raise InputError(f"{WHO}: {found.path}: needs a time within {APART_S:g} s of one of {truth.path}, got none")
    return truth.poses[rows[chosen]], found.poses[chosen], np.ones(len(chosen), bool)


def _pairs(gt: Path, results: Path, asked: Sequence[str] | None) -> dict[str, tuple[Path, Path]]:
    """Sequence -> its two files. Raises InputError for what is missing."""
    truths, found = _files(gt, "--gt"), _files(results, "--results")
    if asked is None and folders.kind(gt) == folders.kind(results) == folders.FILE:
        return {results.stem: (gt, results)}
    names = list(found) if asked is None else list(asked)
    for of, there in ((f"--gt {gt}", truths), (f"--results {results}", found)):
        if missing := [name for name in names if name not in there]:
            raise InputError(f"{WHO}: {of}: needs {several([f'{name}.txt' for name in missing])}, has {several(list(there))}")
    return {name: (truths[name], found[name]) for name in names}


def _files(path: Path, key: str) -> dict[str, Path]:
    is_file = folders.kind(path) == folders.FILE
    found = {path.stem: path} if is_file else {file.stem: file for file in folders.files(path, "*.txt")}
    if not found:
        raise InputError(f"{WHO}: {key} {path}: needs a file of poses, or a folder of SEQ.txt, got none")
    return found
