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
def _six(d0: np.ndarray, d1: np.ndarray, d2: np.ndarray, d3: np.ndarray, d4: np.ndarray, d5: np.ndarray, out: np.ndarray) -> None:
    """B^T d of vectors: out (6, L) float32."""
    four, five, two = np.float32(4), np.float32(5), np.float32(2)
    wide = out.shape[1]
    s0, s1, s2, s3, s4, s5 = out[0], out[1], out[2], out[3], out[4], out[5]
    for x in range(wide):
        s0[x] = four * d0[x] - five * d2[x] + d4[x]
    for x in range(wide):
        s1[x] = d4[x] - four * d2[x] + (d3[x] - four * d1[x])
    for x in range(wide):
        s2[x] = d4[x] - four * d2[x] - (d3[x] - four * d1[x])
    for x in range(wide):
        s3[x] = d4[x] - d2[x] + two * (d3[x] - d1[x])
    for x in range(wide):
        s4[x] = d4[x] - d2[x] - two * (d3[x] - d1[x])
    for x in range(wide):
        s5[x] = four * d1[x] - five * d3[x] + d5[x]


@njit(nogil=True, cache=True)
def to_products(field: np.ndarray, tiles: np.ndarray, scratch: np.ndarray, out: np.ndarray) -> None:
    """B^T d B of the 6x6 sites d around each tile.

    field (rows + 2, columns + 2, C) float32, tiles (T,) int32, scratch (12, 6 * C) float32 -> out (36, T, C) float32
    """
    channels = field.shape[2]
    line, tile_columns = field.shape[1] * channels, (field.shape[1] - 2) // 4
    wide = 6 * channels  # the sites of a row lie behind each other
    flat, rows = field.reshape(-1), scratch[:6]
    for t in range(tiles.shape[0]):
        at = 4 * (tiles[t] // tile_columns) * line + 4 * (tiles[t] % tile_columns) * channels
        a, b, c = at + line, at + 2 * line, at + 3 * line
        d, e = at + 4 * line, at + 5 * line
        _six(flat[at:a], flat[a:b], flat[b:c], flat[c:d], flat[d:e], flat[e : e + wide], rows)
        for i in range(6):
            row, six = rows[i], scratch[6 + i].reshape(6, channels)
            _six(
                row[:channels],
                row[channels : 2 * channels],
                row[2 * channels : 3 * channels],
                row[3 * channels : 4 * channels],
                row[4 * channels : 5 * channels],
                row[5 * channels :],
                six,
            )
            for j in range(6):
                product, value = out[6 * i + j, t], six[j]
                for x in range(channels):
                    product[x] = value[x]


@njit(nogil=True, cache=True, fastmath={"contract"})
def _four(m: np.ndarray, out: np.ndarray) -> None:
    """A^T m: (6, L) -> (4, L), float32."""
    two, four, eight = np.float32(2), np.float32(4), np.float32(8)
    wide = out.shape[1]
    m0, m1, m2, m3, m4, m5 = m[0], m[1], m[2], m[3], m[4], m[5]
    s0, s1, s2, s3 = out[0], out[1], out[2], out[3]
    for x in range(wide):
        s0[x] = m0[x] + (m1[x] + m2[x]) + (m3[x] + m4[x])
    for x in range(wide):
        s1[x] = (m1[x] - m2[x]) + two * (m3[x] - m4[x])
    for x in range(wide):
        s2[x] = (m1[x] + m2[x]) + four * (m3[x] + m4[x])
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
    zero = np.float32(0)
    columns, rows = scratch[:24].reshape(4, 6, channels), scratch[24:]
    for t in range(tiles.shape[0]):
        r, c = 4 * (tiles[t] // tile_columns) + 1, 4 * (tiles[t] % tile_columns) + 1
        for j in range(6):
            _four(products[j::6, t], columns[:, j])
        for i in range(4):
            marks = active[r + i, c : c + 4]
            if not (marks[0] | marks[1] | marks[2] | marks[3]):
                continue
            _four(columns[i], rows)
            for j in range(4):
                if marks[j]:
                    site, value = field[r + i, c + j], rows[j]
                    for x in range(channels):
                        total = value[x] + bias[x]
                        site[x] = total if total > zero else zero
