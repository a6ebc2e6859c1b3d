"""Random numbers that follow from a seed and the name of a frame, whatever ran before: a replay draws the same ones."""

from __future__ import annotations

import zlib

import numpy as np


def rng_of(seed: int, sequence: str = "", frame_id: int = 0) -> np.random.Generator:
    """The generator of one frame: of the seed, the sequence of its item and its number."""
    return np.random.default_rng((seed, zlib.crc32(sequence.encode()), frame_id))


def require_seed(seed: int) -> None:
    """Raises ValueError."""
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed: needs 0 .. {2**32 - 1}, got {seed}")
