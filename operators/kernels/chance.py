"""Random numbers without a state: the same for the same key, whoever asks and in whatever order."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def _bits(seed: int, a: int, b: int | np.int64) -> np.uint64:
    """splitmix64 (Steele et al. 2014) of the three."""
    h = np.uint64(seed) + np.uint64(a) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(b) * np.uint64(0xD1B54A32D192ED03)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@njit(nogil=True, cache=True)
def uniform(seed: int, a: int, b: int | np.int64) -> float:
    """A number in [0, 1) for every (seed, a, b)."""
    return float(_bits(seed, a, b) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit(nogil=True, cache=True)
def normal(seed: int, a: int, b: int | np.int64) -> float:
    """Of mean 0 and deviation 1, within +-3.7: the sum of four uniform ones. No logarithm, so every CPU agrees."""
    h = _bits(seed, a, b)
    total = 0.0
    for k in range(4):
        total += float((h >> np.uint64(16 * k)) & np.uint64(0xFFFF))
    return (total / 65536.0 - 2.0 + 2.0 / 65536.0) * 1.7320508075688772


@njit(nogil=True, cache=True)
def eight(seed: int, a: int, b: int, c: int) -> tuple[float, float, float, float, float, float, float, float]:
    """Eight numbers in [0, 1) for every (seed, a, b, c)."""
    h = np.int64(_bits(seed, a, b) >> np.uint64(1))
    k = np.int64(0)  # numba compiles uniform once for each literal integer
    return (
        uniform(h, c, k), uniform(h, c, k + 1), uniform(h, c, k + 2), uniform(h, c, k + 3),
        uniform(h, c, k + 4), uniform(h, c, k + 5), uniform(h, c, k + 6), uniform(h, c, k + 7),
    )  # fmt: skip
