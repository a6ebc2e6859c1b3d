"""How similar generated scans are to real ones:   python -m studies.world_vs_real ROOT...

ROOT is a folder of the KITTI object or tracking layout. All scans are cropped to the image of their camera, as labels are; all
scans have equal weight. The table shows shares of points over distance, height, azimuth and intensity; returns and median
distance per beam of the HDL-64E (found by elevation, in the same way for all sources); points on an object and the share of a
car's points with intensity 0, over distance (occluded 0 or 1, truncated below 0.3; medians). `difference` of two sources is the
share of one histogram that must move to give the other: 0 equal, 1 disjoint. Two real folders also differ.

Prints a table; --out writes the table and the plots to a folder (README.md, *.svg). No scan can be reconstructed.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.common import commit
from drivers.kitti.object import KittiObject, ObjectConfig
from drivers.kitti.tracking import KittiTracking, TrackingConfig
from drivers.synthetic.camera import in_picture
from drivers.synthetic.spinning import BEAMS, LidarConfig
from drivers.synthetic.world import CameraConfig, SyntheticWorld, WorldConfig
from operators.kernels.box_points import owners
from operators.streams import CLASSES, Calibration, Truth
from pipeline.errors import InputError, PipeError
from pipeline.operator import Reading, Source, prepare
from studies.svg import Line, plot

DRIVES = 120
SEED = 4000
"""Streets that neither training (1000) nor its validation (2000) has."""
BANDS_M = ((5, 15), (15, 25), (25, 35), (35, 45), (45, 60))
OBJECTS = ("Car", "Van", "Pedestrian", "Cyclist")
_BLOCKS = BEAMS["hdl64e"]
_BEAM_RANGE_M = np.linspace(0, 80, 321)


class Histogram(NamedTuple):
    """fine: edges of the plot; coarse: edges of the table's rows."""

    title: str
    unit: str
    of: Callable[[np.ndarray], np.ndarray]
    fine: np.ndarray
    coarse: tuple[float, ...]
    log: bool = False


def ground_range(points: np.ndarray) -> np.ndarray:
    return np.hypot(points[:, 0], points[:, 1])


def azimuth_deg(points: np.ndarray) -> np.ndarray:
    return np.degrees(np.arctan2(points[:, 1], points[:, 0]))


def height(points: np.ndarray) -> np.ndarray:
    return points[:, 2]


def intensity(points: np.ndarray) -> np.ndarray:
    return points[:, 3]


HISTOGRAMS = {
    "range": Histogram(
        "Distance along the ground", "m", ground_range, np.linspace(0, 80, 41), (0, 5, 10, 15, 20, 30, 40, 50, 60, 80)
    ),
    "height": Histogram(
        "Height above the sensor",
        "m",
        lambda p: p[:, 2],
        np.linspace(-3, 3, 61),
        (-4, -2.5, -2, -1.8, -1.6, -1.4, -1, -0.5, 0, 1, 3),
    ),
    "azimuth": Histogram("Azimuth, to the left", "deg", azimuth_deg, np.linspace(-42, 42, 57), (-42, -30, -15, 0, 15, 30, 42)),
    "intensity": Histogram(
        "Intensity", "", intensity, np.linspace(0, 1, 51), (0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.01), True
    ),
}


def beams(points: np.ndarray) -> np.ndarray:
    """(N,) the beam of the HDL-64E, counted from the top, with the nearest elevation as seen from the beam's origin."""
    best, beam, first = np.full(len(points), np.inf), np.zeros(len(points), np.int64), 0
    reach = ground_range(points)
    for highest, lowest, count, height in _BLOCKS:
        elevation = np.degrees(np.arctan2(points[:, 2] - height, reach))
        place = (highest - elevation) / (highest - lowest) * (count - 1)
        nearest = np.clip(np.rint(place), 0, count - 1).astype(np.int64)
        off = np.abs(elevation - (highest + nearest / (count - 1) * (lowest - highest)))
        closer = off < best
        best[closer], beam[closer] = off[closer], nearest[closer] + first
        first += count
    return beam


class Tally:
    """All scans of one source."""

    def __init__(self, name: str) -> None:
        self.name, self.scans, self.points = name, 0, 0
        self.fine = {key: np.zeros(len(h.fine) - 1) for key, h in HISTOGRAMS.items()}
        self.coarse = {key: np.zeros(len(h.coarse) - 1) for key, h in HISTOGRAMS.items()}
        self.beam_ranges = np.zeros((sum(count for *_, count, _ in _BLOCKS), len(_BEAM_RANGE_M) - 1))
        self._objects = [np.zeros((0, 4))]

    def add(self, points: np.ndarray, truth: Truth) -> None:
        self.scans += 1
        self.points += len(points)
        for key, histogram in HISTOGRAMS.items():
            values = histogram.of(points)
            for sums, edges in ((self.fine, histogram.fine), (self.coarse, np.array(histogram.coarse))):
                sums[key] += np.histogram(values, edges)[0] / max(len(points), 1)
        beam = beams(points)
        bins = (np.arange(len(self.beam_ranges) + 1) - 0.5, _BEAM_RANGE_M)
        self.beam_ranges += np.histogram2d(beam, ground_range(points), bins)[0]
        self._objects.append(object_rows(points, truth))

    @property
    def objects(self) -> np.ndarray:
        """(K, 4) label, distance [m], points, share of them with intensity 0 (NaN without points)."""
        return np.concatenate(self._objects)

    def shares(self, key: str) -> np.ndarray:
        return self.fine[key] / max(self.scans, 1)

    @property
    def returns(self) -> np.ndarray:
        """Mean returns per beam and scan."""
        return self.beam_ranges.sum(1) / max(self.scans, 1)

    @property
    def median_ranges(self) -> np.ndarray:
        """[m] per beam, NaN for a beam without returns."""
        running = self.beam_ranges.cumsum(1)
        total = running[:, -1]
        at = np.array([np.searchsorted(row, row[-1] / 2) for row in running])
        return np.where(total > 0, _BEAM_RANGE_M[1:][np.minimum(at, running.shape[1] - 1)], np.nan)

    def in_band(self, name: str, band: tuple[int, int]) -> np.ndarray:
        rows = self.objects
        return rows[(rows[:, 0] == CLASSES.index(name)) & (rows[:, 1] >= band[0]) & (rows[:, 1] < band[1])]


def object_rows(points: np.ndarray, truth: Truth) -> np.ndarray:
    """(K, 4) as `Tally.objects`: all objects in the image that are not largely occluded or truncated."""
    kinds = [CLASSES.index(name) for name in OBJECTS]
    seen = (truth.boxes2d[:, 3] > truth.boxes2d[:, 1]) & (truth.occluded <= 1) & (truth.truncated < 0.3)
    chosen = np.isin(truth.labels, kinds) & seen
    boxes = np.ascontiguousarray(truth.boxes3d[chosen], np.float64)
    owner, counts = np.empty(len(points), np.int32), np.empty(len(boxes), np.int64)
    owners(points, boxes, owner, counts)
    mine = owner[owner >= 0]
    own = np.bincount(mine, minlength=len(boxes))
    zero = np.bincount(mine, points[owner >= 0, 3] <= 0, minlength=len(boxes))
    share = np.divide(zero, own, out=np.full(len(boxes), np.nan), where=own > 0)
    return np.column_stack([truth.labels[chosen], np.hypot(boxes[:, 0], boxes[:, 1]), counts, share])


def opened(root: Path) -> KittiObject | KittiTracking:
    """The driver for the layout of the folder."""
    is_object = (root / "training").is_dir()
    source: KittiObject | KittiTracking = KittiObject() if is_object else KittiTracking()
    config = (ObjectConfig if is_object else TrackingConfig)(root=str(root))
    prepare(source, "scans", config, wanted=("points", "truth", "calibration"), needed=())
    source.open()
    return source


def generated(drives: int) -> SyntheticWorld:
    """Scenes as in training, with a camera of KITTI's size."""
    config = WorldConfig(
        seed=SEED,
        drives=drives,
        frames=1,
        start_s=5.0,
        lidar=LidarConfig(view_deg=90, beam_mrad=2),
        camera=CameraConfig(1242, 375),
    )
    world = prepare(SyntheticWorld(), "world", config, threads=2, wanted=("points", "truth"))
    world.open()
    return world


def cut(source: Source) -> Iterator[tuple[Reading, np.ndarray, Calibration]]:
    """Every labelled reading of an open source, its points in the picture, its calibration. Without one: InputError."""
    calibrations = [static for static in source.statics() if static.port == "calibration"]
    while (reading := source.read()) is not None:
        if not {"points", "truth"} <= set(reading.values):
            continue
        valid = [static.value for static in calibrations if static.from_ns <= reading.stamp_ns]
        if not valid:
            raise InputError(f"{source.name}: {reading.item} needs a calibration to be cut to the picture, got none")
        points = np.array(reading.values["points"])
        yield reading, points[in_picture(points, valid[-1])], valid[-1]


def tally(name: str, source: Source) -> Tally:
    out = Tally(name)
    for reading, points, _ in cut(source):
        out.add(points, reading.values["truth"])
    source.close()
    if not out.scans:
        raise InputError(f"{name}: needs scans with labels, got none")
    return out


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """Difference of two histograms of shares: 0 equal .. 1 disjoint."""
    return float(np.abs(a / max(a.sum(), 1e-12) - b / max(b.sum(), 1e-12)).sum() / 2)


def table(tallies: Sequence[Tally]) -> list[list[str]]:
    """Rows of words; the first row is the header, the first word of a row its name."""
    rows = [["", *(t.name for t in tallies)]]
    rows.append(["scans", *(str(t.scans) for t in tallies)])
    rows.append(["points per scan", *(f"{t.points / t.scans:.0f}" for t in tallies)])
    for key, histogram in HISTOGRAMS.items():
        edges = histogram.coarse
        for k, (low, high) in enumerate(pairwise(edges)):
            what = f"{key} {low:g} .. {min(high, 1) if key == 'intensity' else high:g} {histogram.unit}".rstrip()
            rows.append([what, *(f"{t.coarse[key][k] / t.scans:.3f}" for t in tallies)])
    for first in range(0, 64, 8):
        what = f"returns of beams {first}..{first + 7}"
        rows.append([what, *(f"{t.returns[first : first + 8].sum():.0f}" for t in tallies)])
    for name in OBJECTS:
        for band in BANDS_M:
            rows.append([f"points of a {name}, {band[0]}..{band[1]} m", *(_median(t.in_band(name, band)[:, 2]) for t in tallies)])
    for band in BANDS_M:
        words = [_median(t.in_band("Car", band)[:, 3], 2) for t in tallies]
        rows.append([f"intensity 0 on a Car, {band[0]}..{band[1]} m", *words])
    return rows


def differences(tallies: Sequence[Tally]) -> list[str]:
    """One line for each pair of sources."""
    lines = []
    for a, b in combinations(tallies, 2):
        words = [f"{key} {difference(a.shares(key), b.shares(key)):.3f}" for key in HISTOGRAMS]
        words.append(f"beams {difference(a.returns, b.returns):.3f}")
        lines.append(f"difference of {a.name} and {b.name}: {', '.join(words)}")
    return lines


def _median(values: np.ndarray, digits: int = 0) -> str:
    known = values[np.isfinite(values)]
    return f"{np.median(known):.{digits}f} ({len(known)})" if len(known) else "-"


def plots(folder: Path, tallies: Sequence[Tally]) -> list[str]:
    """Writes the plots; returns their names."""
    made = []
    for key, histogram in HISTOGRAMS.items():
        label = f"{histogram.title} [{histogram.unit}]" if histogram.unit else histogram.title
        series: dict[str, Line] = {t.name: (histogram.fine, t.shares(key)) for t in tallies}
        plot(folder / f"{key}.svg", f"{histogram.title}: share of the points", label, series, steps=True, log=histogram.log)
        made.append(f"{key}.svg")
    beam = np.arange(len(tallies[0].returns) + 1) - 0.5
    returns: dict[str, Line] = {t.name: (beam, t.returns) for t in tallies}
    ranges: dict[str, Line] = {t.name: (beam, t.median_ranges) for t in tallies}
    plot(folder / "beam_returns.svg", "Returns per beam and scan", "beam, from the top", returns, steps=True)
    plot(folder / "beam_range.svg", "Median distance of a beam's returns [m]", "beam, from the top", ranges, steps=True)
    made += ["beam_returns.svg", "beam_range.svg"]
    middles = [sum(band) / 2 for band in BANDS_M]
    for name, column in (*((name, 2) for name in OBJECTS), ("Car", 3)):
        series = {}
        for t in tallies:
            of_band = [t.in_band(name, band)[:, column] for band in BANDS_M]
            known = [values[np.isfinite(values)] for values in of_band]
            series[t.name] = (middles, [float(np.median(values)) if len(values) else np.nan for values in known])
        file = f"points_{name.lower()}.svg" if column == 2 else "zero_intensity_car.svg"
        title = f"Points of a {name} (median)" if column == 2 else "Share of a Car's points with intensity 0 (median)"
        plot(folder / file, title, "distance [m]", series, log=column == 2)
        made.append(file)
    return made


def text(rows: Sequence[Sequence[str]]) -> str:
    first, width = max(len(row[0]) for row in rows), max(len(word) for row in rows for word in row[1:]) + 2
    return "\n".join(f"{row[0]:<{first}}" + "".join(f"{word:>{width}}" for word in row[1:]) for row in rows)


def page(tallies: Sequence[Tally], pictures: Sequence[str], command: str) -> str:
    head, *rows = table(tallies)
    about = (__doc__ or "").partition("\n\n")[2].partition("\n\n")[0]
    lines = ["# Generated scans beside real ones", "", f"`{command}` at commit {commit()}.", "", about, ""]
    lines += [f"- {line}" for line in differences(tallies)]
    lines += ["", *(f"![{name.removesuffix('.svg')}]({name})" for name in pictures), "", "In brackets: how many objects.", ""]
    lines += [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="studies.world_vs_real", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("roots", nargs="+", type=Path, metavar="ROOT", help="folder of KITTI object or tracking")
    parser.add_argument("--drives", type=int, default=DRIVES, help=f"generated scenes (default {DRIVES})")
    parser.add_argument("--out", type=Path, help="also write README.md and the plots there")
    args = parser.parse_args(argv)
    try:
        tallies = [tally("generated", generated(args.drives)), *(tally(root.name, opened(root)) for root in args.roots)]
    except PipeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(text(table(tallies)), *differences(tallies), sep="\n")
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        words = ["python", "-m", "studies.world_vs_real", *map(str, args.roots), "--out", str(args.out)]
        words += ["--drives", str(args.drives)] if args.drives != DRIVES else []
        (args.out / "README.md").write_text(page(tallies, plots(args.out, tallies), shlex.join(words)), encoding="utf-8")
        print(f"written to {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
