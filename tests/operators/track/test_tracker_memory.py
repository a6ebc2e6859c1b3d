"""Memory does not grow while cars come and go for hours."""

import os
from pathlib import Path

import numpy as np
import pytest

from operators.streams import Boxes3D
from operators.track.tracker import Tracker


def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_memory_over_20_000_frames(make, header):
    random, op = np.random.default_rng(1), make(Tracker, preset="best", score_kind="probability")
    labels, scores = np.arange(12, dtype=np.int32) % 3, np.full(12, 0.9, np.float32)
    places, speeds = np.zeros((12, 2)), np.zeros((12, 2))
    sizes = np.array([[-1, 4, 1.7, 1.5, 0], [-1, 0.8, 0.6, 1.7, 0], [-1, 1.8, 0.6, 1.7, 0]])[labels]
    early = 0.0
    for k in range(20_000):
        gone = (np.abs(places) > 60).any(1) | (places == 0).all(1)
        places[gone], speeds[gone] = random.uniform(-60, 60, (gone.sum(), 2)), random.normal(0, 0.5, (gone.sum(), 2))
        places += speeds
        boxes3d = np.concatenate([places + random.normal(0, 0.05, (12, 2)), sizes], 1).astype(np.float32)
        seen = random.random(12) < 0.9
        op.header = header(k)
        op.process(boxes3d=Boxes3D(boxes3d[seen], scores[seen], labels[seen]), pose=np.eye(4) if k % 1000 < 500 else None)
        if k == 5_000:
            early = resident_mb()
    assert resident_mb() - early < 2.0
