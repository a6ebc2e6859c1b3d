"""Input of every tracking metric: the ids in each frame and the overlaps of their boxes. One sequence, one class.

Made by kitti_tracking, mot and the sink score.tracking; read by clear, identity and hota.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Overlaps(NamedTuple):
    """truth_ids (NG,), track_ids (NT,) int64 by frame, numbered 0..G-1 and 0..T-1, once per frame at most
    truth_starts, track_starts (F + 1,) int64: rows of frame k are starts[k] .. starts[k + 1]
    similarity  float64: the frames' matrices (rows truth, columns tracks) one after another, 0..1
    G, T        number of truth objects, of tracks
    """

    truth_ids: np.ndarray
    truth_starts: np.ndarray
    track_ids: np.ndarray
    track_starts: np.ndarray
    similarity: np.ndarray
    G: int
    T: int

    @property
    def frames(self) -> int:
        return len(self.truth_starts) - 1

    @property
    def lists(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The five arrays that kernels take."""
        return self[:5]


def overlaps(
    truth_ids: np.ndarray, truth_starts: np.ndarray, track_ids: np.ndarray, track_starts: np.ndarray, similarity: np.ndarray
) -> Overlaps:
    """Renumbers any ids as `Overlaps` needs them."""
    truths, truth_ids = np.unique(truth_ids, return_inverse=True)
    tracks, track_ids = np.unique(track_ids, return_inverse=True)
    return Overlaps(truth_ids, truth_starts, track_ids, track_starts, similarity, len(truths), len(tracks))


def starts(numbers: np.ndarray, how_many: int) -> np.ndarray:
    """Ascending numbers 0..how_many-1, e.g. of frames -> (how_many + 1,) int64: rows of k are starts[k] .. starts[k + 1]."""
    return np.searchsorted(numbers, np.arange(how_many + 1))
