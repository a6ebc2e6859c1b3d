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

from operators import folders, textfile
from operators.score.rows import check_unique
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
    folder = gt / "label_02" if folders.is_folder(gt / "label_02") else gt
    there = [path.stem for path in folders.files(folder, "*.txt")]
    lengths = _seqmap(gt)
    wanted = list(lengths or there) if sequences is None else list(sequences)
    if not there or not wanted:
        got = "none" if folders.kind(gt) else "no such folder"
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
    there = {path.stem for path in folders.files(results, "*.txt")}
    missing = [name for name in truth.rows if name not in there]
    if missing:
        got = f"none of {several(missing)}" if folders.kind(results) else "no such folder"
        hint = "an empty file means no tracks; --sequences A,B scores fewer"
        raise InputError(f"{WHO}: --results {results}: needs SSSS.txt for every sequence of the truth, got {got}; {hint}")
    out = {name: read_rows(results / f"{name}.txt", truth=False) for name in truth.rows}
    for name, of_file in out.items():
        check_frames(of_file, truth.frames[name])
    return out


def read_rows(path: Path, truth: bool) -> Rows:
    """Raises InputError for an invalid line, an invalid number, an id twice in one frame."""
    table = textfile.read_table(path, (17, 18), 18, word_column=_TYPE, words=TYPES)
    textfile.check_finite(table, _BOX2D, "pixels of a box")
    textfile.check_finite(table, _BOX3D, "numbers of a box")
    has_scores = len(table.values) > 0 and not np.isnan(table.values[:, _SCORE]).all()
    if has_scores:
        textfile.check_finite(table, slice(_SCORE, _SCORE + 1), "scores")
    frames = textfile.frames(table, first=0)
    ids = textfile.whole(table, _ID, "track id")
    types = table.values[:, _TYPE].astype(np.int64)
    groups = np.where(ids < 0, -1, _GROUPS[types])
    check_unique(table, frames, ids, groups)
    if truth:
        textfile.check_finite(table, slice(_TRUNCATED, _OCCLUDED + 1), "truncation and occlusion")
        state = textfile.small(table.values[:, _TRUNCATED : _OCCLUDED + 1])  # 0.4 becomes 0, as in the official tools
    else:
        state = np.zeros((len(frames), 2), np.int64)
    kept = np.flatnonzero((ids >= 0) | (truth & (types == _DONT_CARE)))
    kept = kept[np.argsort(frames[kept], kind="stable")]
    scores = table.values[:, _SCORE] if has_scores else np.full(len(frames), -1.0)
    boxes2d, boxes_cam, lines = table.values[:, _BOX2D], table.values[:, _BOX3D], np.arange(1, len(frames) + 1)
    return Rows(path, frames, ids, types, state[:, 0], state[:, 1], boxes2d, boxes_cam, scores, lines).take(kept)


def check_frames(of_file: Rows, frames: int | None) -> None:
    if frames is not None and len(of_file.frames) and of_file.frames[-1] >= frames:
        row = int(np.argmax(of_file.frames >= frames))
        needs = f"a frame 0..{frames - 1} (so long is the sequence)"
        textfile.refuse(of_file.path, int(of_file.lines[row]), needs, f"frame {of_file.frames[row]}")


def _seqmap(gt: Path) -> dict[str, int]:
    """Sequence -> number of frames from the seqmap file; empty without one. A line: 0002 empty 000000 000233."""
    found = folders.files(gt, "evaluate_tracking.seqmap*")
    if len(found) > 1:
        raise InputError(f"{WHO}: --gt {gt}: needs one evaluate_tracking.seqmap.*, got {', '.join(p.name for p in found)}")
    out = {}
    for path in found:
        for line, written in enumerate(textfile.lines(path), 1):
            cells = written.split()
            length = float(cells[3]) if len(cells) > 3 and cells[3].isdecimal() else -1.0
            if not 0 <= length <= textfile.MAX_FRAMES:
                needs = f"SSSS empty 000000 NNNNNN (up to {textfile.MAX_FRAMES:,} frames)"
                textfile.refuse(path, line, needs, textfile.shown(written))
            out[cells[0]] = int(length)
    return out


def _oxts(gt: Path, sequence: str) -> int | None:
    path = gt / "oxts" / f"{sequence}.txt"
    return textfile.count_lines(path) if folders.is_file(path) else None


def notes(gt: Path, results: Path, truth: Truth, tracks: Mapping[str, Rows]) -> list[str]:
    """Warnings: what was scored but is probably a mistake of the user."""
    out = []
    extra = [path.stem for path in folders.files(results, "*.txt") if path.stem not in truth.rows]
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
