"""A picture of linear light as a sensor sees it: spots of glare around what dazzles, then exposure, noise and the tone curve."""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.shade import LAST, SRGB, STEPS

SPOT = 6
"""Columns of a spot: u v [px], radius at which a third of its light is left [px], light r g b at its centre."""
_REACH = 16.0  # radii


@njit(nogil=True, cache=True, error_model="numpy")
def _shares(first: int, u0: float, v: float, radius: float, edge: float, out: np.ndarray) -> None:
    """Light of a spot, 0..1, at the columns first, first + 1, .. of a row; u0: its centre; v: the row, relative to it."""
    # a loop without branches, so that the compiler handles several pixels at a time
    for k in range(len(out)):
        u = first + k - u0
        share = 1.0 / (1.0 + (u * u + v * v) / (radius * radius))
        out[k] = share * np.sqrt(share) - edge


@njit(nogil=True, cache=True)
def add_spots(linear: np.ndarray, spots: np.ndarray, first_row: int, end_row: int) -> None:
    """Adds spots (S, SPOT) float64 to rows first_row .. end_row - 1 of linear (H, W, 3) float32: light / (1 + (distance /
    radius)2)^1.5, less its value at 16 radii, where the spot ends. Centres may lie outside the picture."""
    columns = linear.shape[1]
    edge = 1.0 / (1.0 + _REACH * _REACH)
    edge *= np.sqrt(edge)
    shares = np.empty(columns)
    for s in range(spots.shape[0]):
        u0, v0, radius = spots[s, 0], spots[s, 1], spots[s, 2]
        reach = _REACH * radius
        for v in range(max(first_row, int(np.ceil(v0 - reach))), min(end_row, int(np.floor(v0 + reach)) + 1)):
            half = np.sqrt(max(reach * reach - (v - v0) * (v - v0), 0.0)) + 1.0
            first, end = max(0, int(np.ceil(u0 - half))), min(columns, int(np.floor(u0 + half)) + 1)
            if first >= end:
                continue
            _shares(first, u0, v - v0, radius, edge, shares[: end - first])
            for u in range(first, end):
                share = shares[u - first]
                if share > 0:
                    for c in range(3):
                        linear[v, u, c] += share * spots[s, 3 + c]


@njit(nogil=True, cache=True)
def develop(
    linear: np.ndarray,
    exposure: float,
    veil: float,
    read: float,
    shot: float,
    seed: np.uint64,
    first_row: int,
    end_row: int,
    image: np.ndarray,
) -> None:
    """Rows first_row .. end_row - 1 of linear (H, W, 3) float32 -> image (H, W, 3) uint8 sRGB.

    exposure: gain; veil: light that lies over the whole picture; noise of variance read^2 + shot^2 * light in each channel, the
    sum of two uniform numbers, from an integer hash of (seed, pixel): no library's generator, no thread matters.
    """
    columns = linear.shape[1]
    for v in range(first_row, end_row):
        for u in range(columns):
            h = seed + np.uint64(v * columns + u) * np.uint64(0x9E3779B97F4A7C15)
            h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            h ^= h >> np.uint64(31)
            for c in range(3):
                light = (linear[v, u, c] + veil) * exposure
                both = (h & np.uint64(1023)) + ((h >> np.uint64(10)) & np.uint64(1023))
                h >>= np.uint64(21)
                noise = (float(both) / 1023.0 - 1.0) * 2.449489742783178
                light += noise * np.sqrt(read * read + shot * shot * max(light, 0.0))
                image[v, u, c] = SRGB[min(max(int(light * STEPS), 0), LAST)]
