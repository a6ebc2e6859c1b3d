"""Thresholds of the tracker for a trained detector, from generated scenes only:   python -m studies.thresholds [WEIGHTS]

Runs detector and tracker (preset `best`, as in `kitti_lidar`) over generated drives whose streets, bodies and scenery no training
has, cut to the picture as KITTI's scans are. `even_score` of each class is varied alone. Scored as `pipe eval kitti-centres`
does: pairs up to 2 m apart, within 40 m, boxes up to 25 px high and largely hidden truth forgiven.

Chosen: the lowest score with a precision of at least PRECISION. That is what is wanted of vehicles in real scans. An earlier rule
limited the false results a scan; on real scans it gave too few results (recall of vehicles .49), and was given up.
Prints a table and the line for the graphs; --out writes both to a file.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from bench.common import commit
from operators.detect.pointpillars import DetectorConfig
from operators.track.best import BestClassConfig, BestConfig
from pipeline.errors import PipeError
from studies.detector import Frame, detected, generated, tracked, verdict

SEED = 5000
"""Streets that neither training (1000), nor its validation (2000), nor a test (3000, 4000) has."""
DRIVES, FRAMES = 40, 15
GROUPS = {"car": "vehicles", "pedestrian": "pedestrians", "cyclist": "cyclists"}
"""Key of the tracker's config -> group of `kitti-centres`."""
PRECISION = 0.88
"""Share of the results that are true, at least."""
EVEN_SCORES = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)


class Row(NamedTuple):
    """One class with one even_score: truth that counts, found ones, false results a scan, and precision (NaN without results)."""

    even_score: float
    truth: int
    found: int
    false_per_scan: float
    precision: float

    @property
    def recall(self) -> float:
        return self.found / self.truth if self.truth else float("nan")


def sweep(frames: Sequence[Frame], key: str, even_scores: Sequence[float] = EVEN_SCORES) -> Iterator[Row]:
    """One class of the tracker, all others as they are."""
    for even_score in even_scores:
        config = replace(BestConfig(), **{key: BestClassConfig(even_score=even_score)})
        verdicts = [verdict(f, s, GROUPS[key], max_occluded=1) for f, s in zip(frames, tracked(frames, config), strict=True)]
        right, results = sum(int(v.right.sum()) for v in verdicts), sum(len(v.right) for v in verdicts)
        truth, found = sum(len(v.found) for v in verdicts), sum(int(v.found.sum()) for v in verdicts)
        precision = right / results if results else float("nan")
        yield Row(even_score, truth, found, (results - right) / max(len(frames), 1), precision)


def chosen(rows: Sequence[Row], precision: float = PRECISION) -> Row:
    """The highest recall with at least this precision, the lowest score of equals; if there is none, the fewest false results."""
    good = [row for row in rows if row.precision >= precision]
    if not good:
        return min(rows, key=lambda row: (row.false_per_scan, row.even_score))
    return max(good, key=lambda row: (row.found, -row.even_score))


def lines(key: str, rows: Sequence[Row], best: Row) -> list[str]:
    out = [f"{key}: {rows[0].truth} objects that count, precision of at least {PRECISION:g}"]
    out.append(f"{'even_score':>12} {'recall':>8} {'precision':>10} {'false/scan':>11}")
    for row in rows:
        mark = "  <- chosen" if row is best else ""
        out.append(f"{row.even_score:12.2f} {row.recall:8.3f} {row.precision:10.3f} {row.false_per_scan:11.3f}{mark}")
    return out


def setting(best: dict[str, Row]) -> str:
    """The tracker's config, for the graphs."""
    return "config: {best: {" + ", ".join(f"{key}: {{even_score: {row.even_score:g}}}" for key, row in best.items()) + "}}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="studies.thresholds", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("weights", nargs="?", default=DetectorConfig().weights, help="shipped weights, or a .safetensors file")
    parser.add_argument("--drives", type=int, default=DRIVES, help=f"generated drives of {FRAMES} frames (default {DRIVES})")
    parser.add_argument("--out", type=Path, metavar="F", help="also write the table there")
    args = parser.parse_args(argv)
    try:
        world = generated(SEED, args.drives, FRAMES, threads=2)
        frames = list(detected(world, args.weights, threads=2))
        world.close()
    except PipeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    text = [f"{args.weights} at commit {commit()}: {len(frames)} scans of {args.drives} generated drives, seed {SEED}"]
    best = {}
    for key in GROUPS:
        rows = list(sweep(frames, key))
        best[key] = chosen(rows)
        text += ["", *lines(key, rows, best[key])]
    text += ["", setting(best)]
    print("\n".join(text))
    if args.out is not None:
        args.out.write_text("\n".join(text) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
