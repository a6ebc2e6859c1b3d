"""Point clouds from files (PLY, PCD, npy, bin), one scan per file, in the order of their names.     Files: README.md

out  points  (N, 4) float32   x y z [m, velodyne frame], intensity [0..1], 0 where the file has none
     pose    (4, 4) float64   T_world_velo, the same in all frames: world = the files' coordinates in metres and our axes,
                              velodyne = the same, counted from `config.offset`

Points with non-finite coordinates are dropped, a non-finite intensity becomes 0. Both are counted: in the frame's meta, in the
summary and the report of the run, and in the log. Empty file: N = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from drivers.clouds import formats
from drivers.clouds.layout import short
from drivers.clouds.offset import first_point, is_finer
from drivers.clouds.stamps import Unit
from drivers.clouds.stamps import stamps_ns as stamps_of
from drivers.listing import listed
from drivers.recorded import Item, Listing, Recorded
from operators.geometry.transforms import rigid, turn_of_axes
from operators.seqinfo import MAX_HZ, MIN_HZ
from operators.streams import POINTS, POSE
from pipeline.errors import InputError
from pipeline.frame import Reading
from pipeline.operator import Source

_WHO = "clouds"
_INTENSITY_MAX = {"uint8": 255.0}


@dataclass(frozen=True, slots=True)
class CloudsConfig:
    files: str | list[str] = ""  # a file, a folder of .ply .pcd .npy .bin, or a list of them
    rate_hz: float = 10.0
    stamps: Literal["rate", "names"] = "rate"  # names: a file's name has its capture time
    stamp_unit: Unit = "auto"  # of the names' times; auto: from their digits; s.ns: seconds, a point, nanoseconds
    unit_m: float = 1.0  # of the files' coordinates: 0.001 for millimetres
    axes: tuple[str, str, str] = ("x", "y", "z")  # which of the files' axes point forward, left, up, e.g. [z, -x, -y]
    offset: Literal["auto"] | tuple[float, float, float] = "auto"  # in the files' unit and axes; auto: the first point, if needed
    max_rounding_m: float = 0.0005  # how much float32 may change a coordinate
    intensity_min: float | None = None  # value that becomes 0, as smaller ones; None: 0, and none is smaller
    intensity_max: float | None = None  # value that becomes 1; None: 255 for bytes, other types must lie in 0..1
    bin_columns: int = 4  # columns of a .bin, float32 each: x y z and intensity first

    def __post_init__(self) -> None:
        for key in ("unit_m", "max_rounding_m", "intensity_max"):
            value = getattr(self, key)
            above = self.intensity_min if key == "intensity_max" and self.intensity_min is not None else 0
            if value is not None and not (value > above and math.isfinite(value)):
                raise ValueError(f"{key}: needs a number above {above:g}, got {value}")
        if not MIN_HZ <= self.rate_hz <= MAX_HZ:
            raise ValueError(f"rate_hz: needs {MIN_HZ:g} to {MAX_HZ:,.0f}, got {self.rate_hz:g}")
        for key, values in (("intensity_min", [self.intensity_min or 0]), ("offset", self.offset)):
            if values != "auto" and not all(map(math.isfinite, values)):
                raise ValueError(f"{key}: needs finite numbers, got {list(values)}")
        if self.intensity_max is None and (self.intensity_min or 0) >= 1:
            raise ValueError(f"intensity_max: needs a number above intensity_min, which is {self.intensity_min}, got none")
        if not 3 <= self.bin_columns <= 64:
            raise ValueError(f"bin_columns: needs 3..64, got {self.bin_columns}")
        turn_of_axes(self.axes)


class Clouds(Recorded, Source):
    Config, outputs = CloudsConfig, {"points": POINTS, "pose": POSE}

    @classmethod
    def list_items(cls, config: CloudsConfig) -> Listing:
        files = survey(config)
        stamps = stamps_ns(config, files)
        if config.stamps == "names" and isinstance(config.files, str):  # of one folder: its order is that of the times
            order = sorted(range(len(files)), key=stamps.__getitem__)
            files, stamps = [files[k] for k in order], [stamps[k] for k in order]
        check_order(files, stamps)
        items = [Item(0, path, path.stem, stamp_ns) for path, stamp_ns in zip(files, stamps, strict=True)]
        return Listing([files], items, config.rate_hz)

    @classmethod
    def check(cls, config: CloudsConfig, listing: Listing) -> None:
        for item in listing.items:
            formats.check(item.key, config.bin_columns)

    @classmethod
    def slot_bytes(cls, config: CloudsConfig) -> dict[str, int]:
        try:
            largest = max(formats.survey(path, config.bin_columns).num for path in survey(config))
        except InputError:
            return {}  # `find` reports the missing files
        return {"points": max(-(-largest * 16 // 64), 1) * 64}

    def open(self, start: int = 0) -> None:
        super().open(start)
        config = self.config
        self.turn = turn_of_axes(config.axes) * config.unit_m
        if config.offset == "auto":
            self.offset = first_point(self.listing.parts[0], config.bin_columns, config.unit_m, config.max_rounding_m)
        else:
            self.offset = np.array(config.offset)
        self.pose = rigid(np.eye(3), self.turn @ self.offset)
        self.num_points = self.num_dropped = self.num_dark = 0
        self.num_without, self.first_without = 0, ""
        if self.offset.any():
            self.log.info("points are relative to %s of the files' coordinates; port pose has it [m]", self.shown())
            self.status(self.said())

    def load(self, part: list[Path], path: Path, reading: Reading) -> None:
        if "pose" in self.wanted:
            reading.values["pose"] = self.put("pose", "T_world_velo", self.pose)
        if "points" not in self.wanted:
            return
        xyz, strength = formats.read(path, self.config.bin_columns)
        finite = np.isfinite(xyz).all(1)
        points = self.alloc("points", "points", (int(finite.sum()), 4), "float32")
        points[:, :3], points[:, 3] = self.placed(path, xyz[finite]), 0
        dark = np.zeros(0, bool)
        if strength is not None:
            strength = strength[finite]
            dark = ~np.isfinite(strength)
            points[~dark, 3] = intensity(path, strength[~dark], self.config.intensity_min, self.config.intensity_max)
        reading.values["points"] = points
        self.count(path, reading, dropped=len(finite) - len(points), dark=int(dark.sum()), kept=len(points))

    def placed(self, path: Path, xyz: np.ndarray) -> np.ndarray:
        """(N, 3) float32 [m], our axes, from the offset on. Raises InputError if that changes a coordinate by too much."""
        exact = (xyz - self.offset if self.offset.any() else xyz) @ self.turn.T
        with np.errstate(over="ignore"):
            rounded = exact.astype(np.float32)
        if is_finer(xyz.dtype) and len(xyz):
            change_m = np.abs(rounded - exact).max()
            if change_m > self.config.max_rounding_m:
                near = ", ".join(f"{value:.0f}" for value in np.median(xyz, 0))
                raise InputError(
                    f"{path}: needs points that float32 changes by at most {self.config.max_rounding_m:g} m, got "
                    f"{change_m:.3g} m; set config.offset, e.g. [{near}], or config.max_rounding_m"
                )
        return rounded

    def count(self, path: Path, reading: Reading, dropped: int, dark: int, kept: int) -> None:
        """Says in the frame's meta and in the node's status what was wrong with points."""
        self.num_points += dropped + kept
        self.num_dropped += dropped
        self.num_dark += dark
        if dropped and not kept:
            self.num_without, self.first_without = self.num_without + 1, self.first_without or short(repr(path.name))
        facts = {"dropped": dropped, "without_intensity": dark}
        if dropped or dark:
            reading.meta["points"] = {key: num for key, num in facts.items() if num}
            self.status(self.said())

    def said(self) -> str:
        """All that users must know of the points so far."""
        parts = []
        if self.num_dropped:
            parts.append(f"{self.num_dropped} of {self.num_points} points were not finite and left out")
        if self.num_without:
            parts.append(f"{self.num_without} clouds without any finite point, the first {self.first_without}")
        if self.num_dark:
            parts.append(f"{self.num_dark} points had no finite intensity and got 0")
        if self.offset.any():
            parts.append(f"points are relative to {self.shown()}")
        return "; ".join(parts)

    def shown(self) -> str:
        return "[" + ", ".join(f"{value:.12g}" for value in self.offset) + "]"

    def close(self) -> None:
        if self.num_dropped or self.num_dark:
            self.log.warning("%s", self.said())


def survey(config: CloudsConfig) -> list[Path]:
    """The files; each gives an item name that no other file gives."""
    files = listed(_WHO, config.files, formats.SUFFIXES)
    seen: dict[str, Path] = {}
    for path in files:
        if path.stem in seen:
            raise InputError(f"{_WHO}: config.files: needs names that differ, got {seen[path.stem]} and {path}")
        seen[path.stem] = path
    return files


def stamps_ns(config: CloudsConfig, files: list[Path]) -> list[int]:
    if config.stamps == "names":
        return stamps_of(files, config.stamp_unit)
    return np.rint(np.arange(len(files)) * (1e9 / config.rate_hz)).astype(np.int64).tolist()


def check_order(files: list[Path], stamps: list[int]) -> None:
    """Raises InputError unless each file is later than the one before."""
    for k in range(1, len(files)):
        if stamps[k] <= stamps[k - 1]:
            before = files[k - 1]
            raise InputError(f"{files[k]}: config.stamps: names needs later times from file to file, got {before} before it")


def intensity(path: Path, values: np.ndarray, least: float | None, most: float | None) -> np.ndarray:
    """Scales values to 0..1; beyond a given `least` or `most`: 0 or 1. Raises InputError if the range is not known."""
    top = most or _INTENSITY_MAX.get(values.dtype.name)
    shares = values
    if least:
        shares = (values.astype(np.float64) - least) / ((top or 1.0) - least)
    elif top:
        shares = values / top
    cures = []
    if least is None and (shares < 0).any():
        cures.append("config.intensity_min to what counts as 0")
    if not top and (shares > 1).any():
        cures.append("config.intensity_max to what counts as 1")
    if cures:
        raise InputError(f"{path}: needs intensity 0..1, got {values.min():g}..{values.max():g}; set {' and '.join(cures)}")
    return np.clip(shares, 0, 1)
