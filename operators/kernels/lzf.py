"""Decompression of LZF, which `binary_compressed` PCD files use.        Source: Lehmann, LibLZF 3.6

A byte below 32 starts a run of literal bytes. Any other byte starts a reference: 3 bits of length, 13 bits of distance.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def unpack(packed: np.ndarray, out: np.ndarray) -> int:
    """packed (P,), out (U,) uint8 -> bytes written, or -1 if `packed` is damaged or gives more than U bytes."""
    at, end, room = 0, 0, out.shape[0]
    while at < packed.shape[0]:
        control = np.int64(packed[at])
        at += 1
        if control < 32:
            length = control + 1
            if at + length > packed.shape[0] or end + length > room:
                return -1
            for k in range(length):
                out[end + k] = packed[at + k]
            at += length
        else:
            length = (control >> 5) + 2
            if length == 9:
                if at >= packed.shape[0]:
                    return -1
                length += np.int64(packed[at])
                at += 1
            if at >= packed.shape[0]:
                return -1
            begin = end - ((control & 31) << 8) - np.int64(packed[at]) - 1
            at += 1
            if begin < 0 or end + length > room:
                return -1
            for k in range(length):  # may overlap what it writes
                out[end + k] = out[begin + k]
        end += length
    return end
