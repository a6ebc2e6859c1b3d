"""The table of living tracks: birth, hits, misses, death, and who is shown. One row per track, in order of birth."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np


@dataclass(slots=True)
class Table:
    """x, P: see kalman.py. hits: detections ever matched. time_since_update: steps since the last one."""

    x: np.ndarray
    P: np.ndarray
    labels: np.ndarray
    track_ids: np.ndarray
    scores: np.ndarray
    hits: np.ndarray
    time_since_update: np.ndarray

    @classmethod
    def born(cls, x: np.ndarray, P: np.ndarray, labels: np.ndarray, scores: np.ndarray, first_id: int) -> Table:
        """New tracks, each from the one detection that counts as its first hit, numbered from first_id."""
        ids = np.arange(first_id, first_id + len(x), dtype=np.int64)
        return cls(x, P, labels, ids, scores, np.ones(len(x), np.int64), np.zeros(len(x), np.int64))

    @classmethod
    def empty(cls) -> Table:
        return cls.born(np.empty((0, 10)), np.empty((0, 10, 10)), np.empty(0, np.int32), np.empty(0, np.float32), 0)

    def __len__(self) -> int:
        return len(self.track_ids)

    def keep(self, rows: np.ndarray) -> Table:
        """Only the rows of a mask or an index array."""
        return Table(*(getattr(self, f.name)[rows] for f in fields(self)))

    def join(self, other: Table) -> Table:
        return Table(*(np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)))

    def missed(self, steps: int) -> None:
        """Time passed; who is matched says so with `hit` afterwards."""
        self.time_since_update += steps

    def hit(self, rows: np.ndarray, scores: np.ndarray) -> None:
        self.hits[rows] += 1
        self.time_since_update[rows] = 0
        self.scores[rows] = scores

    def alive(self, max_age: np.ndarray) -> np.ndarray:
        """(T,) bool; max_age per track."""
        return self.time_since_update < max_age

    def shown(self, min_hits: np.ndarray, frame: int) -> np.ndarray:
        """(T,) bool of tracks all alive: confirmed, or among the first frames of a recording (frame counts from 1), where
        nothing could have been confirmed yet. Coasting tracks are shown until they die."""
        return (self.hits >= min_hits) | (frame <= min_hits)
