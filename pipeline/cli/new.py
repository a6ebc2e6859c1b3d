"""`pipe new operator NAME`: a file that works and its test, to start from."""

from __future__ import annotations

import argparse
import keyword
from pathlib import Path

from pipeline.errors import GraphError

OPERATOR = '''"""Keep the points near the sensor.

in   points  (N, 4) float32   x y z [m, velodyne frame], intensity 0..1
out  points  (M, 4) float32   those nearer than max_m, in the same order
State: none.   Empty scan: M = 0.
"""

from __future__ import annotations

import numpy as np

from operators.streams import POINTS
from pipeline.operator import operator


@operator(inputs={{"points": POINTS}}, outputs={{"points": POINTS}})
def {name}(points: np.ndarray, max_m: float = 40.0) -> np.ndarray:
    """Parameters that are no input are the config: `config: {{max_m: 30}}` in a graph."""
    distance_m = np.hypot(points[:, 0], points[:, 1])
    return points[distance_m < max_m]
'''

TEST = '''"""{name}: frames in, frames out, without a graph."""

from __future__ import annotations

import numpy as np
import pytest

from {name} import {name}
from pipeline.testing import run_operator


@pytest.mark.parametrize(
    ("x_m", "kept_m"),
    [
        ([], []),
        ([5.0], [5.0]),
        ([5.0, 15.0, -9.0], [5.0, -9.0]),
    ],
)
def test_{name}(x_m: list[float], kept_m: list[float]) -> None:
    points = np.zeros((len(x_m), 4), np.float32)
    points[:, 0] = x_m
    (out,) = run_operator({name}, [{{"points": points}}], {name}.Config(max_m=10.0))
    assert out.shape == (len(kept_m), 4)
    assert out[:, 0].tolist() == kept_m
'''


def add(parser: argparse.ArgumentParser) -> None:
    parser.description = "Write NAME.py and test_NAME.py into this folder."
    parser.add_argument("what", choices=["operator"], help="what to start")
    parser.add_argument("name", help="its name, as in Python: crop, find_lanes, ...")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    name = args.name
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        raise GraphError(f"new operator {name}: needs a Python name such as find_lanes, got {name!r}")
    files = {Path(f"{name}.py"): OPERATOR, Path(f"test_{name}.py"): TEST}
    for path in files:
        if path.exists():
            raise GraphError(f"new operator {name}: {path} exists; it is left as it is, choose another name")
    for path, template in files.items():
        try:
            path.write_text(template.format(name=name), encoding="utf-8")
        except OSError as error:
            raise GraphError(f"new operator {name}: cannot write {path}: {error.strerror}") from None
    print(f"wrote {' and '.join(map(str, files))}")
    print(f"test it:  python -m pytest test_{name}.py")
    print(f"use it:   {name}: {{op: {name}:{name}, inputs: {{points: NODE.points}}}}")
    return 0
