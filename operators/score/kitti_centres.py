"""KITTI tracks or detections: recall and precision by the distance of centres on the ground, by class and range.

gt, results  kitti_folders.py
frames       tracking: those with a scan in ROOT/velodyne/SSSS/, else from 0 to the last label
             object: those with a result file; the others are named in a warning; or, with tracks of all frames in one
             file (18 columns), all

A detection is right within 2 m of a truth centre at most 40 m from the camera; this is more tolerant of a wrong size than IoU.
Vehicles: truth Car or Van, results Car or Van. Forgiven: boxes up to 25 px high, results with more than half of their 2D box in
a DontCare region, truth of a neighbour class (Person_sitting for Pedestrian). Pairs: operators/score/centres.py.
`clear`: recall of truth with occluded 0 or 1. `wrong_per_frame`: wrong results of a frame, in the mean.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from operators import folders, textfile
from operators.score import kitti_folders
from operators.score.centres import Centres, Counts
from operators.score.kitti_folders import OBJECT, TRACKING, Layout
from operators.score.kitti_rows import TYPES
from pipeline.errors import InputError

WHO = "eval kitti-centres"
NEAR_M, MATCH_M, LOW_PX, INSIDE = 40.0, 2.0, 25.0, 0.5
CLEAR = 1  # highest level of occlusion of clear truth
BANDS_M = ((0, 10), (10, 20), (20, 30), (30, 40), (40, 60))
GROUPS = {"vehicles": ("Car", "Van"), "pedestrians": ("Pedestrian",), "cyclists": ("Cyclist",)}
NEIGHBOURS = {"pedestrians": ("Person_sitting", "Person")}


class Boxes(NamedTuple):
    """Rows of a file: frames, types, occluded (N,) int64; boxes2d (N, 4) x1 y1 x2 y2 [px]; xz (N, 2) centre in the camera
    frame [m]."""

    frames: np.ndarray
    types: np.ndarray
    occluded: np.ndarray
    boxes2d: np.ndarray
    xz: np.ndarray

    def of(self, frame: int, types: Sequence[int]) -> Boxes:
        kept = (self.frames == frame) & np.isin(self.types, types)
        return Boxes(*(array[kept] for array in self))

    def at(self, frame: int) -> Boxes:
        """The rows of a frame, as those of a file without frames."""
        rows = Boxes(*(array[self.frames == frame] for array in self))
        return rows._replace(frames=np.zeros(len(rows.frames), np.int64))

    @property
    def low(self) -> np.ndarray:
        return self.boxes2d[:, 3] - self.boxes2d[:, 1] <= LOW_PX


def evaluate(gt: Path, results: Path, sequences: Sequence[str] | None = None) -> dict[str, Any]:
    """Per group of classes: recall, precision and counts of all, of clear truth, by type, and by range. `sequences`: names of
    files to score."""
    return score(gt, results, sequences)


def score(
    gt: str | Path,
    results: str | Path,
    sequences: Sequence[str] | None = None,
    near_m: float = NEAR_M,
    match_m: float = MATCH_M,
) -> dict[str, Any]:
    """As `evaluate`, with other limits. Raises InputError."""
    gt, results = Path(gt), Path(results)
    layout, labels = kitti_folders.labels(WHO, gt)
    files, notes = kitti_folders.result_files(WHO, results), list[str]()
    chosen: dict[str, Path] = {}
    tracks = _tracks_of_frames(files, labels) if layout is OBJECT and sequences is None else {}
    if not tracks:
        chosen, notes = kitti_folders.chosen(WHO, layout, labels, files, sequences, results)
    groups, num_frames = {name: Group(Centres(match_m), Centres(match_m)) for name in GROUPS}, 0
    for name in tracks or chosen:
        truth = read(labels[name], layout, truth=True)
        found = tracks[name] if tracks else read(chosen[name], layout, truth=False)
        frames = _frames(gt, name, truth) if layout is TRACKING else range(1)
        num_frames += len(frames)
        for frame in sorted({f for f in (*truth.frames.tolist(), *found.frames.tolist()) if f in frames}):
            for group, sums in groups.items():
                _add(sums, group, truth, found, frame, near_m)
    numbers = {group: _numbers(group, sums, near_m, num_frames) for group, sums in groups.items()}
    if all(of_group["all"]["recall"] is None for of_group in numbers.values()):
        notes.append(f"--gt {gt}: no label counts: no recall")
    out: dict[str, Any] = {"notes": notes} if notes else {}
    return out | {"files": len(tracks or chosen), "frames": num_frames, "near_m": near_m, "match_m": match_m} | numbers


def read(path: Path, layout: Layout, truth: bool) -> Boxes:
    """One file; frame 0 if the layout has no frames. Raises InputError."""
    at, columns = layout.before_type, layout.columns + (not truth)
    table = textfile.read_table(path, (columns,), columns, word_column=at, words=TYPES)
    textfile.check_finite(table, slice(at + 4, columns), "numbers")
    values = table.values
    frames = textfile.frames(table, first=0) if layout is TRACKING else np.zeros(len(values), np.int64)
    occluded = np.nan_to_num(values[:, at + 2], nan=3, posinf=3, neginf=3).astype(np.int64)
    return Boxes(frames, values[:, at].astype(np.int64), occluded, values[:, at + 4 : at + 8], values[:, [at + 11, at + 13]])


def inside(boxes2d: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """(D, 4), (R, 4) -> (D,) bool: more than half of the box lies in one region."""
    low, high = np.maximum(boxes2d[:, None, :2], regions[None, :, :2]), np.minimum(boxes2d[:, None, 2:], regions[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(2)
    area = (boxes2d[:, 2:] - boxes2d[:, :2]).prod(1)
    return (shared > INSIDE * area[:, None]).any(1)


def lines(result: Mapping[str, Any]) -> list[str]:
    out = [
        f"{result['frames']} frames, within {result['near_m']:g} m, paired up to {result['match_m']:g} m",
        f"{'':>14} {'recall':>7} {'precision':>9}   found/truth  right/results",
    ]
    for group in GROUPS:
        out.append(_line(group, result[group]["all"]))
        out.append(_line(f"  occluded <={CLEAR}", result[group]["clear"]))
        out += [_line(f"  {name}", row) for part in ("types", "bands") for name, row in result[group][part].items()]
        if (wrong := result[group]["wrong_per_frame"]) is not None:
            out.append(f"  wrong results per frame: {wrong:.3f}")
    return out


def _tracks_of_frames(files: Mapping[str, Path], labels: Mapping[str, Path]) -> dict[str, Boxes]:
    """The results of every labelled frame if they are tracks in one file; else empty."""
    (path, *more) = files.values()
    columns = len(next(iter(textfile.lines(path)), "").split())
    if more or path.stem in labels or columns not in (0, TRACKING.columns + 1):
        return {}
    rows, numbered = read(path, TRACKING, truth=False), {int(name): name for name in labels if name.isdecimal()}
    if strange := sorted(set(rows.frames.tolist()) - set(numbered)):
        raise InputError(f"{WHO}: --results {path}: needs frames that have labels, got frame {strange[0]}")
    return {name: rows.at(frame) for frame, name in numbered.items()}


def _frames(gt: Path, sequence: str, truth: Boxes) -> Collection[int]:
    scans = [name.removesuffix(".bin") for name in folders.names(gt / "velodyne" / sequence) if name.endswith(".bin")]
    return {int(name) for name in scans if name.isdecimal()} or range(int(truth.frames.max(initial=-1)) + 1)


class Group(NamedTuple):
    """Of one group of classes; in `clear` hidden truth is forgiven. Both pair alike."""

    all: Centres
    clear: Centres


def _add(sums: Group, group: str, truth: Boxes, found: Boxes, frame: int, near_m: float) -> None:
    looked_for = _indices(GROUPS[group])
    t, d = truth.of(frame, _indices((*GROUPS[group], *NEIGHBOURS.get(group, ())))), found.of(frame, looked_for)
    far_t, far_d = (np.linalg.norm(boxes.xz, axis=1) > near_m for boxes in (t, d))
    regions = truth.of(frame, _indices(("DontCare",))).boxes2d
    forgiven_t, forgiven_d = far_t | t.low | ~np.isin(t.types, looked_for), far_d | d.low | inside(d.boxes2d, regions)
    sums.all.add(t.xz, d.xz, t.types, d.types, forgiven_t, forgiven_d)
    sums.clear.add(t.xz, d.xz, t.types, d.types, forgiven_t | (t.occluded > CLEAR), forgiven_d)


def _indices(names: Sequence[str]) -> list[int]:
    return [TYPES.index(name.lower()) for name in names]


def _numbers(group: str, sums: Group, near_m: float, num_frames: int) -> dict[str, Any]:
    centres, clear = sums.all, sums.clear.counts()
    out: dict[str, Any] = {"all": _plain(centres.counts()), "clear": _recall(clear), "types": {}, "bands": {}}
    for name in GROUPS[group] if len(GROUPS[group]) > 1 else ():
        counts = centres.counts(labels=_indices((name,)))
        # no precision by type: a detector may confuse the types of a group
        out["types"][name] = _recall(counts)
    for low, high in _bands(near_m):
        out["bands"][f"{low}-{high} m"] = _plain(centres.counts(low, high))
    out["wrong_per_frame"] = out["all"]["wrong"] / num_frames if num_frames else None
    return out


def _bands(near_m: float) -> Iterator[tuple[int, int]]:
    return ((low, high) for low, high in BANDS_M if low < near_m)


def _recall(counts: Counts) -> dict[str, Any]:
    return {"recall": counts.recall, "found": counts.found, "missed": counts.missed}


def _plain(counts: Counts) -> dict[str, Any]:
    return {
        "recall": counts.recall,
        "precision": counts.precision,
        "found": counts.found,
        "missed": counts.missed,
        "right": counts.right,
        "wrong": counts.wrong,
    }


def _line(name: str, row: Mapping[str, Any]) -> str:
    found, of = row["found"], row["found"] + row["missed"]
    text = f"{name:<14} {_number(row['recall']):>7} {_number(row.get('precision')):>9}   {f'{found}/{of}':>11}"
    return text + (f"  {row['right']}/{row['right'] + row['wrong']}" if "right" in row else "")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
