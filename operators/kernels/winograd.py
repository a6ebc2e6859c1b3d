"""3x3 convolution of chosen tiles of 4x4 sites: transforms to and from the domain where it is 36 matrix products.

Source: Lavin & Gray 2016 (Fast algorithms for convolutional neural networks), sec. 4.3, F(4x4, 3x3): 36 products where the sum
over 3x3 taps takes 144. Maps, sites and tiles as in active.py. Each sum has a loop of its own: the compiler makes vector
instructions of loops with few arrays.
"""

from __future__ import annotations

import numpy as np
from numba import njit

WEIGHT_TRANSFORM = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
"""G: the weights (3, 3) of two channels become G w G^T (6, 6)."""


@njit(nogil=True, cache=True, fastmath={"contract"})
def _six(source: np.ndarray, first: int, step: int, out: np.ndarray, at: int, out_step: int, wide: int) -> None:
    """B^T d: vectors of length `wide` at first + k * step in `source`, k = 0..5 -> in `out` at + k * out_step. All flat."""
    four, five, two = np.float32(4), np.float32(5), np.float32(2)
    a, b, c = first + step, first + 2 * step, first + 3 * step
    d, e = first + 4 * step, first + 5 * step
    d0, d1, d2 = source[first : first + wide], source[a : a + wide], source[b : b + wide]
    d3, d4, d5 = source[c : c + wide], source[d : d + wide], source[e : e + wide]
    s0 = out[at : at + wide]
    for x in range(wide):
        s0[x] = four * d0[x] - five * d2[x] + d4[x]
    s1 = out[at + out_step : at + out_step + wide]
    for x in range(wide):
        s1[x] = d4[x] - four * d2[x] + (d3[x] - four * d1[x])
    s2 = out[at + 2 * out_step : at + 2 * out_step + wide]
    for x in range(wide):
        s2[x] = d4[x] - four * d2[x] - (d3[x] - four * d1[x])
    s3 = out[at + 3 * out_step : at + 3 * out_step + wide]
    for x in range(wide):
        s3[x] = d4[x] - d2[x] + two * (d3[x] - d1[x])
    s4 = out[at + 4 * out_step : at + 4 * out_step + wide]
    for x in range(wide):
        s4[x] = d4[x] - d2[x] - two * (d3[x] - d1[x])
    s5 = out[at + 5 * out_step : at + 5 * out_step + wide]
    for x in range(wide):
        s5[x] = four * d1[x] - five * d3[x] + d5[x]


@njit(nogil=True, cache=True)
def to_products(field: np.ndarray, tiles: np.ndarray, scratch: np.ndarray, out: np.ndarray) -> None:
    """B^T d B of the 6x6 sites d around each tile.

    field (rows + 2, columns + 2, C) float32, tiles (T,) int32, scratch (6, 6 * C) float32 -> out (36, T, C) float32
    """
    channels = field.shape[2]
    line, tile_columns = field.shape[1] * channels, (field.shape[1] - 2) // 4
    wide, step = 6 * channels, len(tiles) * channels  # the sites of a row lie behind each other
    flat, rows, products = field.reshape(-1), scratch.reshape(-1), out.reshape(-1)
    for t in range(len(tiles)):
        first = 4 * (tiles[t] // tile_columns) * line + 4 * (tiles[t] % tile_columns) * channels
        _six(flat, first, line, rows, 0, wide, wide)
        for i in range(6):
            _six(rows, i * wide, channels, products, 6 * i * step + t * channels, step, channels)


@njit(nogil=True, cache=True, fastmath={"contract"})
def _four(source: np.ndarray, first: int, step: int, out: np.ndarray, at: int, out_step: int, wide: int) -> None:
    """A^T m: as _six, but four vectors come out."""
    two, four, eight = np.float32(2), np.float32(4), np.float32(8)
    a, b, c = first + step, first + 2 * step, first + 3 * step
    d, e = first + 4 * step, first + 5 * step
    m0, m1, m2 = source[first : first + wide], source[a : a + wide], source[b : b + wide]
    m3, m4, m5 = source[c : c + wide], source[d : d + wide], source[e : e + wide]
    s0 = out[at : at + wide]
    for x in range(wide):
        s0[x] = m0[x] + (m1[x] + m2[x]) + (m3[x] + m4[x])
    s1 = out[at + out_step : at + out_step + wide]
    for x in range(wide):
        s1[x] = (m1[x] - m2[x]) + two * (m3[x] - m4[x])
    s2 = out[at + 2 * out_step : at + 2 * out_step + wide]
    for x in range(wide):
        s2[x] = (m1[x] + m2[x]) + four * (m3[x] + m4[x])
    s3 = out[at + 3 * out_step : at + 3 * out_step + wide]
    for x in range(wide):
        s3[x] = (m1[x] - m2[x]) + eight * (m3[x] - m4[x]) + m5[x]


@njit(nogil=True, cache=True)
def from_products(
    products: np.ndarray, bias: np.ndarray, tiles: np.ndarray, active: np.ndarray, scratch: np.ndarray, field: np.ndarray
) -> None:
    """max(A^T m A + bias, 0) of each tile's 6x6 products m, written where the site is active.

    products (36, T, C) float32, bias (C,) float32, scratch (28, C) float32 -> field (rows + 2, columns + 2, C) float32
    """
    channels, tile_columns = field.shape[2], (field.shape[1] - 2) // 4
    zero, step, wide = np.float32(0), len(tiles) * channels, 6 * channels
    flat, rows, out = products.reshape(-1), scratch.reshape(-1), field.reshape(-1)
    for t in range(len(tiles)):
        r, c = 4 * (tiles[t] // tile_columns) + 1, 4 * (tiles[t] % tile_columns) + 1
        for j in range(6):
            _four(flat, j * step + t * channels, 6 * step, rows, j * channels, wide, channels)
        for i in range(4):
            marks = active[r + i, c : c + 4]
            if not (marks[0] | marks[1] | marks[2] | marks[3]):
                continue
            _four(rows, i * wide, channels, rows, 24 * channels, channels, channels)
            for j in range(4):
                if marks[j]:
                    at = ((r + i) * field.shape[1] + c + j) * channels
                    site, value = out[at : at + channels], rows[(24 + j) * channels : (25 + j) * channels]
                    for x in range(channels):
                        total = value[x] + bias[x]
                        site[x] = total if total > zero else zero
