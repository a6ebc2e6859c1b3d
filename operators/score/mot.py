"""MOTChallenge files: CLEAR, identity and HOTA of 2D boxes, one class.

gt       DIR/SEQ/gt/gt.txt (or DIR/SEQ/gt.txt), a row per box: frame, id, x, y, w, h, counts, ...; comma-separated, frames from 1
         9 columns (MOT16, 17, 20): class and visibility follow; pedestrians count; tracks that match a person on a vehicle, a
         static person, a distractor or a reflection (in MOT20 also a vehicle) are ignored
         10 columns (MOT15): a position follows; every row counts
results  DIR/SEQ.txt (or DIR/SEQ/test.txt): frame, id, x, y, w, h, score, ...; a file for every sequence
Number of frames of a sequence: from DIR/SEQ/seqinfo.ini, else from the last row. Truth whose `counts` is 0 is not required.

Numbers, rules and names are TrackEval's (MotChallenge2DBox), except IDS (IDSW there) and FRAG (Frag there). A box without area
matches nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from operators import folders, textfile
from operators.kernels.overlaps import prepare
from operators.score.overlaps import Overlaps, overlaps, starts
from operators.score.rows import check_unique
from operators.score.tables import numbers_of, scored, several, tracking_lines, unscored
from operators.seqinfo import read_seqinfo
from pipeline.errors import InputError

WHO = "eval mot"
CLASS = "pedestrian"
PEDESTRIAN, NUM_CLASSES = 1, 13
DISTRACTORS, MOT20_DISTRACTORS = (2, 7, 8, 12), (2, 6, 7, 8, 12)
GT_FILES = ("{}/gt/gt.txt", "{}/gt.txt")
RESULT_FILES = ("{}.txt", "{}/test.txt")

_ID, _BOX, _COUNTS, _CLASS = 1, slice(2, 6), 6, 7


class Rows(NamedTuple):
    """One file, by frame. frames from 0, ids, classes, lines (N,) int64; boxes2d (N, 4) x1 y1 x2 y2 [px]; counts (N,) bool."""

    path: Path
    frames: np.ndarray
    ids: np.ndarray
    classes: np.ndarray
    counts: np.ndarray
    boxes2d: np.ndarray
    lines: np.ndarray


class Scene(NamedTuple):
    """A sequence: its truth, its tracks, its number of frames."""

    name: str
    truth: Rows
    tracks: Rows
    frames: int


def evaluate(gt: Path, results: Path, sequences: Sequence[str] | None = None) -> dict[str, Any]:
    """The numbers that `pipe eval` prints and writes."""
    scenes = read(gt, results, sequences)
    classes = {CLASS: scored(numbers_of({scene.name: pairs(scene) for scene in scenes}))}
    return {
        "frames": {scene.name: scene.frames for scene in scenes},
        "classes": classes,
        "notes": notes(scenes) + unscored(classes, gt),
    }


def lines(found: Mapping[str, Any]) -> list[str]:
    return tracking_lines(found)


def score(gt: str | Path, results: str | Path, sequences: Sequence[str] | None = None) -> dict[str, Any]:
    """The numbers over all sequences, and below "sequences" those of each."""
    return numbers_of({scene.name: pairs(scene) for scene in read(Path(gt), Path(results), sequences)})


def pairs(scene: Scene) -> Overlaps:
    """After MOTChallenge's preparation."""
    _, truth, tracks, frames = scene
    distractors = MOT20_DISTRACTORS if scene.name.startswith("MOT20") else DISTRACTORS
    classed = truth.classes.any()  # MOT15 has none
    aside = np.isin(truth.classes, distractors) & classed
    counted = truth.counts & ((truth.classes == PEDESTRIAN) | ~classed)
    at_truth, at_tracks = starts(truth.frames, frames), starts(tracks.frames, frames)
    kept = np.zeros(len(tracks.ids), bool)
    similarity = np.empty(int((np.diff(at_truth) * np.diff(at_tracks)).sum()))
    nowhere = np.empty((0, 4)), np.zeros(frames + 1, np.int64)
    num_pairs = prepare(
        truth.boxes2d, at_truth, aside, counted, tracks.boxes2d, at_tracks, *nowhere, -np.inf, kept, similarity
    )  # fmt: skip
    at_truth, at_tracks = starts(truth.frames[counted], frames), starts(tracks.frames[kept], frames)
    return overlaps(truth.ids[counted], at_truth, tracks.ids[kept], at_tracks, similarity[:num_pairs])


# ---- reading


def read(gt: Path, results: Path, sequences: Sequence[str] | None = None) -> list[Scene]:
    """The given sequences, else all sequences of the truth. Raises InputError."""
    there = {p.name: found for p in folders.folders(gt) if (found := _file(gt, p.name, GT_FILES)) is not None}
    if not there:
        got = "none" if folders.kind(gt) else "no such folder"
        raise InputError(f"{WHO}: --gt {gt}: needs a folder with SEQ/gt/gt.txt or SEQ/gt.txt, got {got}")
    missing = [name for name in sequences or () if name not in there]
    if missing:
        raise InputError(f"{WHO}: --gt {gt}: needs SEQ/gt/gt.txt of {several(missing)}, has {several(list(there))}")
    wanted = list(there) if sequences is None else list(sequences)
    files = {name: _file(results, name, RESULT_FILES) for name in wanted}
    missing = [name for name, path in files.items() if path is None]
    if missing:
        got = f"none of {several(missing)}" if folders.kind(results) else "no such folder"
        hint = "an empty file means no tracks; --sequences A,B scores fewer"
        raise InputError(f"{WHO}: --results {results}: needs SEQ.txt for every sequence of the truth, got {got}; {hint}")
    return [_scene(name, there[name], path, _length(gt / name / "seqinfo.ini")) for name, path in files.items() if path]


def _scene(name: str, truth_file: Path, tracks_file: Path, length: int | None) -> Scene:
    truth, tracks = read_rows(truth_file, length, truth=True), read_rows(tracks_file, length, truth=False)
    last = max((int(of.frames[-1]) + 1 for of in (truth, tracks) if len(of.frames)), default=0)
    return Scene(name, truth, tracks, last if length is None else length)


def read_rows(path: Path, length: int | None, truth: bool) -> Rows:
    """Raises InputError for an invalid line, an invalid number, an id twice in one frame, a frame after the end."""
    table = textfile.read_table(path, (8, 9, 10) if truth else (7, 8, 9, 10), 10, comma=True)
    textfile.check_finite(table, slice(0, _COUNTS + 1), "numbers")
    frames = textfile.frames(table, first=1) - 1
    ids = textfile.whole(table, _ID, "track id", least=0)
    check_unique(table, frames + 1, ids, np.zeros(len(ids), np.int64))
    if length is not None and (frames >= length).any():
        row = int(np.argmax(frames >= length))
        table.refuse(row, f"a frame 1..{length} (so long is the sequence)", f"frame {frames[row] + 1}")
    box = table.values[:, _BOX]
    order = np.argsort(frames, kind="stable")
    columns = (
        frames,
        ids,
        _classes(table, truth),
        textfile.small(table.values[:, _COUNTS]) != 0,
        np.concatenate([box[:, :2], box[:, :2] + box[:, 2:]], 1),
        np.arange(1, len(frames) + 1),
    )
    return Rows(path, *(column[order] for column in columns))


def _classes(table: textfile.Table, truth: bool) -> np.ndarray:
    """(N,) int64, 0 if the file has no classes."""
    none = np.zeros(len(table.values), np.int64)
    if not len(none) or np.isnan(table.values[0, _CLASS]):
        return none
    textfile.check_finite(table, slice(_CLASS, _CLASS + 1), "classes")
    if truth:
        if not np.isnan(table.values[0, 9]):
            return none  # MOT15: these columns are a position
        classes = textfile.whole(table, _CLASS, "class", least=1)
        needs = f"a class 1..{NUM_CLASSES}"
        bad = classes > NUM_CLASSES
    else:
        classes = textfile.small(table.values[:, _CLASS])
        needs, bad = "class 1 (pedestrian) or -1", classes > PEDESTRIAN
    if bad.any():
        row = int(np.argmax(bad))
        table.refuse(row, f"{needs} in column {_CLASS + 1}", f"{table.values[row, _CLASS]:g}")
    return classes


def _file(folder: Path, sequence: str, names: Sequence[str]) -> Path | None:
    return next((path for name in names if folders.is_file(path := folder / name.format(sequence))), None)


def _length(path: Path) -> int | None:
    """Frames of the sequence, None without the file. Raises InputError for a file that does not say."""
    if not folders.is_file(path):
        return None
    frames = read_seqinfo(path).frames
    if frames is None:
        raise InputError(f"{path}: needs a line seqLength=NUMBER in [Sequence], got none")
    return frames


def notes(scenes: Sequence[Scene]) -> list[str]:
    """Warnings: what was scored but is probably a mistake of the user."""
    flat = []
    for scene in scenes:
        for of_file in (scene.truth, scene.tracks):
            size = of_file.boxes2d[:, 2:] - of_file.boxes2d[:, :2]
            flat += [f"{of_file.path}:{line}" for line in np.sort(of_file.lines[(size <= 0).any(1)]).tolist()]
    return [f"{flat[0]}: first of {len(flat)} boxes without area (needs w > 0, h > 0); they match nothing"] if flat else []
