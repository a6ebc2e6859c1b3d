"""Sites of maps as rows of matrices, and back. Maps and sites as in active.py; any dtype."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def gather(field: np.ndarray, sites: np.ndarray, columns: int, stride: int, out: np.ndarray) -> None:
    """The 3x3 neighbourhood of each site of a convolution's output.

    field: of the input; sites (n,) int32, columns: of the output -> out (n, 9 * C): row, column, channel
    """
    wide, line = 3 * field.shape[2], field.shape[1] * field.shape[2]
    flat = field.reshape(-1)
    for i in range(len(sites)):
        at = (sites[i] // columns) * stride * line + (sites[i] % columns) * stride * field.shape[2]
        for k in range(3):
            row, patch = flat[at + k * line : at + k * line + wide], out[i, k * wide : (k + 1) * wide]
            for x in range(wide):
                patch[x] = row[x]


@njit(nogil=True, cache=True)
def gather_sites(field: np.ndarray, sites: np.ndarray, out: np.ndarray) -> None:
    """The channels of each site: out (n, C)."""
    columns = field.shape[1] - 2
    for i in range(len(sites)):
        site, row = field[sites[i] // columns + 1, sites[i] % columns + 1], out[i]
        for x in range(len(row)):
            row[x] = site[x]


@njit(nogil=True, cache=True)
def scatter_sites(rows: np.ndarray, bias: np.ndarray, sites: np.ndarray, field: np.ndarray) -> None:
    """rows (n, C), bias (C,) -> max(row + bias, 0) at the sites of the map."""
    columns = field.shape[1] - 2
    zero = np.float32(0)
    for i in range(len(sites)):
        site, row = field[sites[i] // columns + 1, sites[i] % columns + 1], rows[i]
        for x in range(len(row)):
            value = row[x] + bias[x]
            site[x] = value if value > zero else zero


@njit(nogil=True, cache=True)
def rectify_rows(rows: np.ndarray, bias: np.ndarray) -> None:
    """rows (n, C) become max(row + bias, 0), bias (C,)."""
    zero = np.float32(0)
    for i in range(len(rows)):
        row = rows[i]
        for x in range(len(bias)):
            value = row[x] + bias[x]
            row[x] = value if value > zero else zero


@njit(nogil=True, cache=True)
def add_parts(parts: np.ndarray, empty: np.ndarray, sites: np.ndarray, columns: int, total: np.ndarray) -> None:
    """Adds the difference that a scene makes: to the s x s locations of each site.

    parts (n, s, s, V) float32; empty (sites, s, s, V): the same of an empty scene, for all sites -> total (s * R, s * C, V)
    """
    step = parts.shape[1]
    for i in range(len(sites)):
        r, c, usual = sites[i] // columns, sites[i] % columns, empty[sites[i]]
        for a in range(step):
            for b in range(step):
                location = total[r * step + a, c * step + b]
                for v in range(len(location)):
                    location[v] += parts[i, a, b, v] - usual[a, b, v]
