"""Where a map of a convolutional net differs from the map of an empty scene, and which sites of the next map see these sites.

A map of R x C sites is stored as (rows + 2, columns + 2, channels). Rows and columns are R and C rounded up to multiples of
TILE, so that tiles of TILE x TILE sites cover the map. The border is the padding of a 3x3 convolution. What is no site is zero;
nobody writes it. `active` is (rows + 2, columns + 2) uint8: 1 where the scene may have changed the map. Site: r * columns + c,
border not counted.
"""

from __future__ import annotations

import numpy as np
from numba import njit

TILE = 4


@njit(nogil=True, cache=True)
def reach(active: np.ndarray, stride: int, size: tuple[int, int], reached: np.ndarray) -> int:
    """Marks the sites of a 3x3 convolution's output that see an active site of its input -> how many.

    active uint8 of the input, reached uint8 of the output: written at all size = R, C sites
    """
    num = 0
    for r in range(size[0]):
        above, here, below = active[r * stride], active[r * stride + 1], active[r * stride + 2]
        for c in range(size[1]):
            k = c * stride
            seen = above[k] | above[k + 1] | above[k + 2] | here[k] | here[k + 1] | here[k + 2]
            seen |= below[k] | below[k + 1] | below[k + 2]
            reached[r + 1, c + 1] = seen
            num += seen
    return num


@njit(nogil=True, cache=True)
def list_sites(active: np.ndarray, sites: np.ndarray) -> int:
    """Active sites, row by row -> how many. sites (rows * columns + 1,) int32 is filled from its front."""
    rows, columns = active.shape[0] - 2, active.shape[1] - 2
    num = 0
    for r in range(rows):
        line = active[r + 1]
        for c in range(columns):
            sites[num] = r * columns + c  # no branch: a site that is not active is overwritten by the next one
            num += line[c + 1]
    return num


@njit(nogil=True, cache=True)
def list_tiles(active: np.ndarray, tiles: np.ndarray) -> int:
    """Tiles of 4x4 sites with an active one, row by row -> how many.

    tiles (rows * columns / 16 + 1,) int32, filled from its front: tile row * tile columns + tile column
    """
    rows, columns = (active.shape[0] - 2) // TILE, (active.shape[1] - 2) // TILE
    num = 0
    for r in range(rows):
        for c in range(columns):
            seen = np.uint8(0)
            for i in range(TILE):
                line = active[TILE * r + i + 1]
                for j in range(TILE):
                    seen |= line[TILE * c + j + 1]
            tiles[num] = r * columns + c
            num += seen
    return num


@njit(nogil=True, cache=True)
def restore(before: np.ndarray, active: np.ndarray, empty: np.ndarray, field: np.ndarray) -> None:
    """Sites that were active before and are not now become those of an empty scene. before, active uint8; empty, field: maps"""
    channels = field.shape[2]
    now, usual, old, new = field.reshape(-1), empty.reshape(-1), before.reshape(-1), active.reshape(-1)
    for i in range(len(old)):
        if old[i] > new[i]:
            for x in range(i * channels, (i + 1) * channels):
                now[x] = usual[x]
