"""Point clouds from files (PLY, PCD, npy, bin), one scan per file, in the order of their names.     Files: README.md

out  points  (N, 4) float32   x y z [m, velodyne frame], intensity [0..1], 0 where the file has none

Non-finite points are dropped and counted: in the frame's meta `dropped`, and in the log at the end. Empty file: N = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from drivers.clouds import formats
from drivers.clouds.formats import Cloud
from drivers.listing import listed
from drivers.recorded import Item, Listing, Recorded
from operators.geometry.transforms import turn_of_axes
from operators.streams import POINTS
from pipeline.errors import InputError
from pipeline.frame import Reading
from pipeline.operator import Source

_WHO = "clouds"
_INTENSITY_MAX = {"uint8": 255.0}


@dataclass(frozen=True, slots=True)
class CloudsConfig:
    files: str | list[str] = ""  # a file, a folder of .ply .pcd .npy .bin, or a list of them
    rate_hz: float = 10.0
    stamps: Literal["rate", "names"] = "rate"  # names: a file's name is its capture time [ns]
    unit_m: float = 1.0  # of the files' coordinates: 0.001 for millimetres
    axes: tuple[str, str, str] = ("x", "y", "z")  # which of the files' axes point forward, left, up, e.g. [z, -x, -y]
    intensity_max: float | None = None  # value that becomes 1; None: 255 for bytes, other types must lie in 0..1
    bin_columns: int = 4  # columns of a .bin, float32 each: x y z and intensity first

    def __post_init__(self) -> None:
        for key in ("rate_hz", "unit_m", "intensity_max"):
            value = getattr(self, key)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{key}: needs a number above 0, got {value}")
        if not 3 <= self.bin_columns <= 64:
            raise ValueError(f"bin_columns: needs 3..64, got {self.bin_columns}")
        turn_of_axes(self.axes)


class Clouds(Recorded, Source):
    Config, outputs = CloudsConfig, {"points": POINTS}

    @classmethod
    def list_items(cls, config: CloudsConfig) -> Listing:
        files = survey(config)
        stamps = stamps_ns(config, files).tolist()
        items = [Item(0, path, path.stem, stamp_ns) for path, stamp_ns in zip(files, stamps, strict=True)]
        return Listing([None], items, config.rate_hz)

    @classmethod
    def check(cls, config: CloudsConfig, listing: Listing) -> None:
        for item in listing.items:
            formats.survey(item.key, config.bin_columns)

    @classmethod
    def slot_bytes(cls, config: CloudsConfig) -> dict[str, int]:
        try:
            largest = max(formats.survey(path, config.bin_columns).num for path in survey(config))
        except InputError:
            return {}  # `find` reports the missing files
        return {"points": max(-(-largest * 16 // 64), 1) * 64}

    def open(self, start: int = 0) -> None:
        super().open(start)
        self.turn = turn_of_axes(self.config.axes) * self.config.unit_m
        self.num_points, self.num_dropped = 0, 0

    def load(self, part: None, path: Path, reading: Reading) -> None:
        if "points" in self.wanted:
            cloud = formats.read(path, self.config.bin_columns)
            finite = np.isfinite(cloud.xyz).all(1)
            if cloud.intensity is not None:
                finite &= np.isfinite(cloud.intensity)
            kept = Cloud(cloud.xyz[finite], None if cloud.intensity is None else cloud.intensity[finite])
            points = self.alloc("points", "points", (len(kept.xyz), 4), "float32")
            points[:, :3] = kept.xyz @ self.turn.T
            points[:, 3] = 0 if kept.intensity is None else intensity(path, kept.intensity, self.config.intensity_max)
            reading.values["points"] = points
            if dropped := len(finite) - len(points):
                reading.meta["points"] = {"dropped": dropped}
            self.num_points, self.num_dropped = self.num_points + len(finite), self.num_dropped + dropped

    def close(self) -> None:
        if self.num_dropped:
            self.log.warning("%d of %d points were not finite and left out", self.num_dropped, self.num_points)


def survey(config: CloudsConfig) -> list[Path]:
    """The files; each gives an item name that no other file gives."""
    files = listed(_WHO, config.files, formats.SUFFIXES)
    seen: dict[str, Path] = {}
    for path in files:
        if path.stem in seen:
            raise InputError(f"{_WHO}: config.files: needs names that differ, got {seen[path.stem]} and {path}")
        seen[path.stem] = path
    return files


def stamps_ns(config: CloudsConfig, files: list[Path]) -> np.ndarray:
    if config.stamps == "rate":
        return np.rint(np.arange(len(files)) * (1e9 / config.rate_hz)).astype(np.int64)
    stamps = np.zeros(len(files), np.int64)
    for k, path in enumerate(files):
        if not path.stem.isdecimal() or int(path.stem) >= 2**63:
            raise InputError(f"{path}: config.stamps: names needs a file called by its time [ns]; config.stamps: rate?")
        stamps[k] = int(path.stem)
        if k and stamps[k] <= stamps[k - 1]:
            raise InputError(f"{path}: config.stamps: names needs later times from file to file, got {files[k - 1]} before it")
    return stamps


def intensity(path: Path, values: np.ndarray, most: float | None) -> np.ndarray:
    """Scales values to 0..1; values above a given `most` become 1. Raises InputError if the maximum is not known."""
    said = most or _INTENSITY_MAX.get(values.dtype.name)
    shares = values / said if said else values
    if len(shares) and (shares.min() < 0 or (not said and shares.max() > 1)):
        raise InputError(
            f"{path}: needs intensity 0..1, got {values.min():g}..{values.max():g}; set config.intensity_max to what counts as 1?"
        )
    return np.minimum(shares, 1)
