"""Counts of a thermal camera to kelvin, as a table of all 65,536 counts: a picture is converted by one look-up.

linear  T = scale_k * count + offset_k. Lepton with TLinear: 0.01 K per count (0.1 K in low gain), no offset.
        Source: FLIR, Lepton engineering datasheet, "TLinear".
planck  T = B / ln(R1 / (R2 (S + O)) + F), S = the object's share of the count: what the scene reflects is subtracted,
        S = (count - (1 - e) S_reflected) / e, S_reflected = R1 / (R2 (exp(B / T_reflected) - F)) - O.
        Source: FLIR's constants R1, B, F, O, R2 as in their files; G. Tattersall, Thermimage, raw2temp.
        The atmosphere and a window in front of the camera are not corrected.
A count that no temperature above 0 K gives is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NUM_COUNTS = 1 << 16


@dataclass(frozen=True, slots=True)
class Planck:
    """A camera's own constants, from its calibration: `exiftool -Planck*` of one of its pictures prints them."""

    r1: float = 0.0
    b: float = 0.0  # K
    f: float = 1.0
    o: float = 0.0  # counts
    r2: float = 0.0

    def __post_init__(self) -> None:
        if self.r1 < 0 or self.b < 0 or self.r2 < 0:
            raise ValueError(f"r1: needs r1, b, r2 of 0 or more, got {self.r1:g}, {self.b:g}, {self.r2:g}")

    @property
    def known(self) -> bool:
        return self.r1 > 0 and self.b > 0 and self.r2 > 0


def linear(scale_k: float, offset_k: float) -> np.ndarray:
    """(65536,) float32 kelvin of each count."""
    kelvin = scale_k * np.arange(NUM_COUNTS, dtype=np.float64) + offset_k
    return _physical(kelvin)


def planck(constants: Planck, emissivity: float = 1.0, reflected_k: float = 293.15) -> np.ndarray:
    """(65536,) float32 kelvin of each count."""
    r1, b, f, o, r2 = constants.r1, constants.b, constants.f, constants.o, constants.r2
    reflected = r1 / (r2 * (np.exp(b / reflected_k) - f)) - o
    counts = (np.arange(NUM_COUNTS, dtype=np.float64) - (1 - emissivity) * reflected) / emissivity
    with np.errstate(divide="ignore", invalid="ignore"):
        return _physical(b / np.log(r1 / (r2 * (counts + o)) + f))


def convert(counts: np.ndarray, table: np.ndarray, out: np.ndarray) -> None:
    """counts (H, W) uint16 -> out (H, W) float32 kelvin."""
    np.take(table, counts, out=out, mode="clip")  # no count is outside; "raise" would copy


def _physical(kelvin: np.ndarray) -> np.ndarray:
    good = np.isfinite(kelvin) & (kelvin > 0)
    return np.where(good, kelvin, np.nan).astype(np.float32)
