"""Nothing is compiled during process(); see test_tracker_compiles.py."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CODE = """
import numpy as np
from operators.kernels import kalman2d, tracker2d
from operators.streams import Boxes2D
from operators.track.tracker2d import Tracker2d, Tracker2dConfig
from pipeline.frame import Header

op = Tracker2d()
op.config, op.name, op.meta, op.missing = Tracker2dConfig(preset={preset!r}), "tracker", {{}}, ()
op.open()
before = len(tracker2d.step.signatures)
for k in range(5):
    op.header = Header("s", k, f"0000/{{k:06d}}", k * 10**8)
    arrays = np.array([[k, 0, k + 9, 9], [50, 0, 60, 9]], np.float32), np.ones(2, np.float32), np.ones(2, np.int32)
    looks = np.ones((2, 5), np.float32)
    for array in (*arrays, looks):
        array.flags.writeable = False
    op.process(boxes2d=Boxes2D(*arrays), embeddings=looks if k > 1 else None)
print(before, len(tracker2d.step.signatures))
"""


@pytest.mark.parametrize("preset", ["byte", "fairmot"])
def test_open_compiles_all_that_frames_need(preset):
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(preset=preset)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    before, after = map(int, done.stdout.split())
    assert before == after >= 1
