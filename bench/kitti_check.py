"""How a KITTI tracking result file does against the labels:   python -m bench.kitti_check RESULTS/0000.txt ROOT [--json F]

ROOT is a folder of the KITTI tracking layout; the sequence is the file's name, its frames those ROOT has scans of (without
scans: those of the labels). A detection is right within --match-m (2 m) of a truth centre on the ground that lies not further
from the camera than --near-m (40 m). Vehicles: truth Car or Van, results Car or Van. Forgiven: boxes up to 25 px high, results
with more than half of their 2D box in a DontCare region, and truth of a neighbouring class (Person_sitting for Pedestrian).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drivers.kitti.files import numbered, read_lines
from operators.score.centres import Centres, Counts
from pipeline.errors import InputError, PipeError

NEAR_M, MATCH_M, LOW_PX, INSIDE = 40.0, 2.0, 25.0, 0.5
GROUPS = {"vehicles": ("Car", "Van"), "pedestrians": ("Pedestrian",), "cyclists": ("Cyclist",)}
NEIGHBOURS = {"pedestrians": ("Person_sitting", "Person")}
BANDS_M = ((0, 10), (10, 20), (20, 30), (30, 40), (40, 60))
_COLUMNS = {17: "truth", 18: "results with a score"}


@dataclass(frozen=True)
class Lines:
    """Columns of a KITTI tracking file, row = line: frame, type, 2D box [px], centre x z in the camera frame [m]."""

    frames: np.ndarray
    types: np.ndarray
    boxes2d: np.ndarray
    xz: np.ndarray

    def of(self, frame: int, types: Sequence[str]) -> np.ndarray:
        return np.flatnonzero((self.frames == frame) & np.isin(self.types, types))

    def low(self, rows: np.ndarray) -> np.ndarray:
        return self.boxes2d[rows, 3] - self.boxes2d[rows, 1] <= LOW_PX


def read(path: Path, columns: int) -> Lines:
    words = [line.split() for line in read_lines(path)]
    for number, row in enumerate(words, 1):
        if len(row) != columns:
            raise InputError(f"{path}:{number}: needs {columns} columns ({_COLUMNS[columns]}), got {len(row)}")
    try:
        table = np.array([[float(word) for word in row[:2] + row[3:]] for row in words], np.float64).reshape(-1, columns - 1)
    except ValueError as error:
        raise InputError(f"{path}: needs numbers in every column but the type: {error}") from None
    types = np.array([row[2] for row in words], str)
    return Lines(table[:, 0].astype(int), types, table[:, 5:9], table[:, [12, 14]])


def compare(
    truth: Lines, found: Lines, frames: Sequence[int], near_m: float = NEAR_M, match_m: float = MATCH_M
) -> dict[str, Any]:
    """Group -> Centres (truth's labels index `truth_types(group)`)."""
    out = {}
    for group, types in GROUPS.items():
        centres = Centres(match_m)
        every = truth_types(group)
        for frame in frames:
            t, d = truth.of(frame, every), found.of(frame, types)
            far_t, far_d = (np.linalg.norm(lines.xz[rows], axis=1) > near_m for lines, rows in ((truth, t), (found, d)))
            regions = truth.boxes2d[truth.of(frame, ("DontCare",))]
            centres.add(
                truth.xz[t],
                found.xz[d],
                np.array([every.index(name) for name in truth.types[t]], int),
                np.zeros(len(d), int),
                far_t | truth.low(t) | ~np.isin(truth.types[t], types),
                far_d | found.low(d) | inside(found.boxes2d[d], regions),
            )
        out[group] = centres
    return out


def truth_types(group: str) -> tuple[str, ...]:
    return GROUPS[group] + NEIGHBOURS.get(group, ())


def inside(boxes2d: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """(D, 4), (R, 4) -> (D,) bool: more than half of the box lies in one region."""
    low, high = np.maximum(boxes2d[:, None, :2], regions[None, :, :2]), np.minimum(boxes2d[:, None, 2:], regions[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(2)
    area = (boxes2d[:, 2:] - boxes2d[:, :2]).prod(1)
    return (shared > INSIDE * area[:, None]).any(1)


def check(results: Path, root: Path, near_m: float = NEAR_M, match_m: float = MATCH_M) -> dict[str, Any]:
    """What `main` prints, as plain numbers."""
    labels = root / "label_02" / results.name
    truth, found = read(labels, 17), read(results, 18)
    frames = list(numbered(root / "velodyne" / results.stem, ".bin")) or list(range(int(truth.frames.max(initial=-1)) + 1))
    compared = compare(truth, found, frames, near_m, match_m)
    out: dict[str, Any] = {
        "results": str(results),
        "labels": str(labels),
        "frames": len(frames),
        "near_m": near_m,
        "match_m": match_m,
    }
    for group, centres in compared.items():
        out[group] = {
            "all": _plain(centres.counts()),
            "types": {name: _plain(centres.counts(labels=[k])) for k, name in enumerate(GROUPS[group]) if len(GROUPS[group]) > 1},
            "bands": {f"{low}-{high} m": _plain(centres.counts(low, high)) for low, high in BANDS_M if low < near_m},
        }
        for row in out[group]["types"].values():  # a result says Car for either
            del row["precision"], row["right"], row["wrong"]
    return out


def _plain(counts: Counts) -> dict[str, Any]:
    return {
        "recall": counts.recall,
        "precision": counts.precision,
        "found": counts.found,
        "missed": counts.missed,
        "right": counts.right,
        "wrong": counts.wrong,
    }


def lines(result: dict[str, Any]) -> list[str]:
    out = [
        f"{result['results']}: {result['frames']} frames, within {result['near_m']:g} m, paired up to {result['match_m']:g} m",
        f"{'':>14} {'recall':>7} {'precision':>9}   found/truth  right/results",
    ]
    for group in GROUPS:
        out.append(_line(group, result[group]["all"]))
        out += [_line(f"  {name}", row) for part in ("types", "bands") for name, row in result[group][part].items()]
    return out


def _line(name: str, row: dict[str, Any]) -> str:
    found, of = row["found"], row["found"] + row["missed"]
    text = f"{name:<14} {_number(row['recall']):>7} {_number(row.get('precision')):>9}   {f'{found}/{of}':>11}"
    return text + (f"  {row['right']}/{row['right'] + row['wrong']}" if "right" in row else "")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.kitti_check", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", type=Path, help="KITTI tracking result file, SSSS.txt")
    parser.add_argument("root", type=Path, help="folder with label_02/SSSS.txt and velodyne/SSSS/")
    parser.add_argument("--near-m", type=float, default=NEAR_M)
    parser.add_argument("--match-m", type=float, default=MATCH_M)
    parser.add_argument("--json", type=Path, help="also write the numbers there")
    args = parser.parse_args()
    try:
        result = check(args.results, args.root, args.near_m, args.match_m)
    except PipeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(lines(result)))
    if args.json is not None:
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
