"""Nothing is compiled during process(): compiling may take longer than hang_s, and a restarted node would compile again."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CODE = """
import sys
sys.path[:0] = [{tests!r}]
import numpy as np
from numba.core.dispatcher import Dispatcher
from tracking import CAR, CYCLIST, PEDESTRIAN, detections
from operators.track.tracker import Tracker, TrackerConfig
from pipeline.frame import Header

def compiled():
    found = {{}}
    for name, module in list(sys.modules.items()):
        if name.startswith("operators."):
            found |= {{f"{{name}}.{{n}}": len(v.signatures) for n, v in vars(module).items() if isinstance(v, Dispatcher)}}
    return found

op = Tracker()
op.config, op.name, op.meta, op.missing = TrackerConfig({config}), "tracker", {{}}, ()
op.open()
before = compiled()
assert sum(before.values()) > 0, before
for k in range(5):
    op.header = Header("s", k, f"0000/{{k:06d}}", k * 10**8)
    seen = detections((CAR, 10 + k, 0), (PEDESTRIAN, 9, 3), (CYCLIST, 7, -3))
    for array in seen:
        array.flags.writeable = False
    op.meta = {{"boxes3d": {{"last": k == 4}}}}
    op.process(boxes3d=seen)
after = compiled()
print({{n: (before.get(n, 0), c) for n, c in after.items() if c != before.get(n, 0)}})
"""


@pytest.mark.parametrize("preset", ["best", "best_offline", "ab3dmot"])
def test_open_compiles_all_that_frames_need(preset):
    code = CODE.format(tests=str(ROOT / "tests"), config=f"preset={preset!r}")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("{}\n", "")
