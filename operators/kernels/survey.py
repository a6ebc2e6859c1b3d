"""What a grey picture is like: levels, noise, impulses, fineness; from every step-th pixel.

Source of the noise mask: Immerkaer 1996, "Fast noise variance estimation"
"""

from __future__ import annotations

import numpy as np
from numba import njit

REACH = 4
"""The neighbours that are looked at; a picture needs 2 * REACH + 1 rows and columns."""
LAPLACE = 2041
"""Length of the noise histogram: largest |response| of the mask to bytes + 1."""
STRONG = 48
"""Grey levels; an edge that is stronger is left out of FINE and COARSE."""
FINE, COARSE, PAIRS, IMPULSES, LOOKED_AT = 0, 1, 2, 3, 4


@njit(nogil=True, cache=True)
def survey(
    grey: np.ndarray, step: int, impulse: int, samples: np.ndarray, levels: np.ndarray, laplace: np.ndarray, sums: np.ndarray
) -> None:
    """grey (H, W) uint8, of any strides. The caller clears the last three.

    samples  ((H - 1 - 2 * REACH) // step + 1, the same of W) uint8   the pixels that are looked at
    levels   (256,) int64      their histogram
    laplace  (LAPLACE,) int64  histogram of |response| to the mask 1 -2 1, -2 4 -2, 1 -2 1, of pixels that are not 0 or 255
    sums     (5,) float64      FINE, COARSE: squared second differences to the pixels 1 and REACH away, along rows and columns,
                               where the coarse one is STRONG at most, in PAIRS places; IMPULSES: pixels that lie `impulse` above
                               or below all 8 neighbours; LOOKED_AT: pixels
    """
    for i in range(samples.shape[0]):
        r = REACH + i * step
        for j in range(samples.shape[1]):
            c = REACH + j * step
            here = int(grey[r, c])
            samples[i, j] = here
            levels[here] += 1
            lowest, highest, corners, sides = 255, 0, 0, 0
            for dr in range(-1, 2):
                for dc in range(-1, 2):
                    if dr != 0 or dc != 0:
                        value = int(grey[r + dr, c + dc])
                        lowest, highest = min(lowest, value), max(highest, value)
                        if dr != 0 and dc != 0:
                            corners += value
                        else:
                            sides += value
            if 0 < here < 255:
                laplace[abs(corners - 2 * sides + 4 * here)] += 1
            if here >= highest + impulse or here <= lowest - impulse:
                sums[IMPULSES] += 1
            for down, right in ((0, 1), (1, 0)):
                far_down, far_right = REACH * down, REACH * right
                coarse = int(grey[r + far_down, c + far_right]) + int(grey[r - far_down, c - far_right]) - 2 * here
                if abs(coarse) <= STRONG:
                    fine = int(grey[r + down, c + right]) + int(grey[r - down, c - right]) - 2 * here
                    sums[FINE] += fine * fine
                    sums[COARSE] += coarse * coarse
                    sums[PAIRS] += 1
            sums[LOOKED_AT] += 1
