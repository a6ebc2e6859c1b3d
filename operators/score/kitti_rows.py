"""Read KITTI tracking files for an evaluation: labels and results by sequence, in the camera frame, unconverted.

gt       DIR/label_02/SSSS.txt (or DIR/SSSS.txt), 17 columns: frame id type truncated occluded alpha x1 y1 x2 y2 h w l x y z ry
results  DIR/SSSS.txt, the same and a score as the 18th; a file for every sequence, an empty one where nothing was tracked
Number of frames of a sequence: from DIR/evaluate_tracking.seqmap.*, else the lines of DIR/oxts/SSSS.txt, else from the last row.
Rows with a negative id and results of type DontCare are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from operators.score import rows
from operators.score.tables import several
from pipeline.errors import InputError

WHO = "eval kitti-tracking"
TYPES = ("car", "van", "truck", "pedestrian", "person_sitting", "person", "cyclist", "tram", "misc", "dontcare")
"""Rows.types index into this table; files may use upper or lower case."""

_DONT_CARE = TYPES.index("dontcare")
_ID, _TYPE, _TRUNCATED, _OCCLUDED, _BOX2D, _BOX3D, _SCORE = 1, 2, 3, 4, slice(6, 10), slice(10, 17), 17
_GROUPS = np.array([0, 0, 1, 2, 2, 2, 3, 4, 5, -1])
"""Group of each type: an id is unique within a group and frame; -1: DontCare regions have no group."""


class Rows(NamedTuple):
    """One file, by frame.

    frames, ids, types, truncated, occluded, lines (N,) int64; boxes2d (N, 4) x1 y1 x2 y2 [px], boxes_cam (N, 7) h w l x y z ry,
    scores (N,) float64, -1 if the file has none
    """

    path: Path
    frames: np.ndarray
    ids: np.ndarray
    types: np.ndarray
    truncated: np.ndarray
    occluded: np.ndarray
    boxes2d: np.ndarray
    boxes_cam: np.ndarray
    scores: np.ndarray
    lines: np.ndarray

    def take(self, which: np.ndarray) -> Rows:
        return Rows(self.path, *(array[which] for array in self[1:]))

    def of(self, *types: str) -> Rows:
        return self.take(np.isin(self.types, [TYPES.index(name) for name in types]))


class Truth(NamedTuple):
    """rows: sequence -> its labels; frames: sequence -> number of frames, None if only the last row tells."""

    rows: dict[str, Rows]
    frames: dict[str, int | None]


def num_frames(truth: Truth, sequence: str, tracks: Rows) -> int:
    known = truth.frames[sequence]
    if known is not None:
        return known
    return max((int(of.frames[-1]) + 1 for of in (truth.rows[sequence], tracks) if len(of.frames)), default=0)


def read(gt: Path, results: Path, sequences: Sequence[str] | None = None) -> tuple[Truth, dict[str, Rows]]:
    truth = read_truth(gt, sequences)
    return truth, read_results(results, truth)


def read_truth(gt: str | Path, sequences: Sequence[str] | None = None) -> Truth:
    """The given sequences, else those of the seqmap, else all label files. Raises InputError."""
    gt = Path(gt)
    folder = gt / "label_02" if (gt / "label_02").is_dir() else gt
    there = sorted(p.stem for p in folder.glob("*.txt")) if folder.is_dir() else []
    lengths = _seqmap(gt)
    wanted = list(lengths or there) if sequences is None else list(sequences)
    if not there or not wanted:
        got = "no such folder" if not gt.is_dir() else "none"
        raise InputError(f"{WHO}: --gt {gt}: needs a folder with label_02/SSSS.txt or SSSS.txt, got {got}")
    missing = [name for name in wanted if name not in there]
    if missing:
        raise InputError(f"{WHO}: --gt {gt}: needs {folder.name}/SSSS.txt of {several(missing)}, has {several(there)}")
    out = {name: read_rows(folder / f"{name}.txt", truth=True) for name in wanted}
    frames = {name: lengths.get(name, _oxts(gt, name)) for name in wanted}
    for name, of_file in out.items():
        check_frames(of_file, frames[name])
    return Truth(out, frames)


def read_results(results: str | Path, truth: Truth) -> dict[str, Rows]:
    """A file per sequence of the truth. Raises InputError."""
    results = Path(results)
    there = {p.stem for p in results.glob("*.txt")} if results.is_dir() else set()
    missing = [name for name in truth.rows if name not in there]
    if missing:
        got = "no such folder" if not results.is_dir() else f"none of {several(missing)}"
        hint = "an empty file means no tracks; --sequences A,B scores fewer"
        raise InputError(f"{WHO}: --results {results}: needs SSSS.txt for every sequence of the truth, got {got}; {hint}")
    out = {name: read_rows(results / f"{name}.txt", truth=False) for name in truth.rows}
    for name, of_file in out.items():
        check_frames(of_file, truth.frames[name])
    return out


def read_rows(path: Path, truth: bool) -> Rows:
    """Raises InputError for an invalid line, an invalid number, an id twice in one frame."""
    table = rows.read_table(path, (17, 18), 18, word_column=_TYPE, words=TYPES)
    rows.check_finite(path, table, _BOX2D, "pixels of a box")
    rows.check_finite(path, table, _BOX3D, "numbers of a box")
    has_scores = len(table.values) > 0 and not np.isnan(table.values[:, _SCORE]).all()
    if has_scores:
        rows.check_finite(path, table, slice(_SCORE, _SCORE + 1), "scores")
    frames = rows.frames(path, table, first=0)
    ids = rows.whole(path, table, _ID, "track id")
    types = table.values[:, _TYPE].astype(np.int64)
    groups = np.where(ids < 0, -1, _GROUPS[types])
    rows.check_unique(path, frames, ids, groups, table.lines)
    if truth:
        rows.check_finite(path, table, slice(_TRUNCATED, _OCCLUDED + 1), "truncation and occlusion")
        state = table.values[:, _TRUNCATED : _OCCLUDED + 1].astype(np.int64)  # 0.4 becomes 0, as in the official tools
    else:
        state = np.zeros((len(frames), 2), np.int64)
    kept = np.flatnonzero((ids >= 0) | (truth & (types == _DONT_CARE)))
    kept = kept[np.argsort(frames[kept], kind="stable")]
    scores = table.values[:, _SCORE] if has_scores else np.full(len(frames), -1.0)
    boxes2d, boxes_cam = table.values[:, _BOX2D], table.values[:, _BOX3D]
    return Rows(path, frames, ids, types, state[:, 0], state[:, 1], boxes2d, boxes_cam, scores, table.lines).take(kept)


def check_frames(of_file: Rows, frames: int | None) -> None:
    if frames is not None and len(of_file.frames) and of_file.frames[-1] >= frames:
        row = int(np.argmax(of_file.frames >= frames))
        needs = f"a frame 0..{frames - 1} (so long is the sequence)"
        rows.refuse(of_file.path, int(of_file.lines[row]), needs, f"frame {of_file.frames[row]}")


def _seqmap(gt: Path) -> dict[str, int]:
    """Sequence -> number of frames from the seqmap file; empty without one. A line: 0002 empty 000000 000233."""
    found = sorted(gt.glob("evaluate_tracking.seqmap*"))
    if len(found) > 1:
        raise InputError(f"{WHO}: --gt {gt}: needs one evaluate_tracking.seqmap.*, got {', '.join(p.name for p in found)}")
    out = {}
    for path in found:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            cells = line.split()
            if len(cells) < 4 or not cells[3].isdecimal():
                rows.refuse(path, number, "SSSS empty 000000 NNNNNN", repr(line))
            out[cells[0]] = int(cells[3])
    return out


def _oxts(gt: Path, sequence: str) -> int | None:
    path = gt / "oxts" / f"{sequence}.txt"
    if not path.is_file():
        return None
    return len(path.read_bytes().rstrip().splitlines())


def notes(gt: Path, results: Path, truth: Truth, tracks: Mapping[str, Rows]) -> list[str]:
    """Warnings: what was scored but is probably a mistake of the user."""
    out = []
    extra = sorted({p.stem for p in results.glob("*.txt")} - set(truth.rows))
    if extra:
        out.append(f"{results}: {several(extra)}: not in the truth {gt}, not scored")
    for what, files in (("truth", truth.rows), ("results", tracks)):
        flat, first = 0, ""
        for of_file in files.values():
            box = of_file.boxes2d
            bad = np.flatnonzero(((box[:, 2] <= box[:, 0]) | (box[:, 3] <= box[:, 1])) & (of_file.types != _DONT_CARE))
            flat += len(bad)
            if len(bad) and not first:
                first = f"{of_file.path}:{of_file.lines[bad].min()}"
        if flat:
            out.append(
                f"{first}: first of {flat} boxes of the {what} without area (needs x2 > x1, y2 > y1); in 2D they match nothing"
            )
    return out
