"""What `pipe new` writes. $name: the node's name, $Class: that of its class, $module: what its test imports it from."""

OPERATOR = '''"""Keep the points near the sensor.

in   points  (N, 4) float32   x y z [m, velodyne frame], intensity 0..1
out  points  (M, 4) float32   those nearer than max_m, in the same order
State: none.   Empty scan: M = 0.
"""

from __future__ import annotations

import numpy as np

from operators.streams import POINTS
from pipeline.operator import operator


@operator(inputs={"points": POINTS}, outputs={"points": POINTS})
def $name(points: np.ndarray, max_m: float = 40.0) -> np.ndarray:
    """Parameters that are no input are the config: `config: {max_m: 30}` in a graph."""
    distance_m = np.hypot(points[:, 0], points[:, 1])
    return points[distance_m < max_m]
'''

OPERATOR_TEST = '''"""$name: frames in, frames out, without a graph."""

from __future__ import annotations

import numpy as np
import pytest

from $module import $name
from pipeline.testing import run_operator


@pytest.mark.parametrize(
    ("x_m", "kept_m"),
    [
        ([], []),
        ([5.0], [5.0]),
        ([5.0, 15.0, -9.0], [5.0, -9.0]),
    ],
)
def test_$name(x_m: list[float], kept_m: list[float]) -> None:
    points = np.zeros((len(x_m), 4), np.float32)
    points[:, 0] = x_m
    (out,) = run_operator($name, [{"points": points}], $name.Config(max_m=10.0))
    assert out.shape == (len(kept_m), 4)
    assert out[:, 0].tolist() == kept_m
'''

DRIVER = '''"""A ring of points that grows: scans without a sensor.

out  points  (N, 4) float32   x y z [m, velodyne frame], intensity 0..1
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from operators.streams import POINTS
from pipeline.frame import Reading
from pipeline.operator import Found, Source


@dataclass(frozen=True)
class ${Class}Config:
    frames: int = 20
    rate_hz: float = 10.0
    num_points: int = 360


def ring(number: int, num_points: int) -> np.ndarray:
    """Points around the sensor, 5 m away in scan 0, one metre farther in each scan."""
    angle_rad = np.linspace(0, 2 * np.pi, num_points, endpoint=False)
    points = np.zeros((num_points, 4), np.float32)
    points[:, 0] = (5 + number) * np.cos(angle_rad)
    points[:, 1] = (5 + number) * np.sin(angle_rad)
    return points


class $Class(Source):
    Config = ${Class}Config
    outputs = {"points": POINTS}

    @classmethod
    def find(cls, config: ${Class}Config) -> Found:
        """What there is to read, before any process starts; raises InputError where a file is missing."""
        stamps_ns = (np.arange(config.frames) * 1e9 / config.rate_hz).astype(np.int64)
        return Found(config.frames, config.rate_hz, stamps_ns)

    def open(self, start: int = 0) -> None:
        self.number = start

    def read(self) -> Reading | None:
        if self.number == self.config.frames:
            return None
        number, self.number = self.number, self.number + 1
        points = ring(number, self.config.num_points)
        return Reading({"points": points}, item=f"{number:06d}", stamp_ns=round(number * 1e9 / self.config.rate_hz))
'''

DRIVER_TEST = '''"""$name: its readings, without a graph."""

from __future__ import annotations

import numpy as np
import pytest

from $module import $Class
from pipeline.testing import run_source


@pytest.mark.parametrize(("start", "items"), [(0, ["000000", "000001", "000002"]), (2, ["000002"]), (3, [])])
def test_scans_from_any_start(start: int, items: list[str]) -> None:
    readings = run_source($Class, {"frames": 3}, start=start)
    assert [reading.item for reading in readings] == items


def test_the_ring_grows() -> None:
    first, second = run_source($Class, {"frames": 2, "num_points": 4})
    assert np.hypot(*first.values["points"][:, :2].T).tolist() == pytest.approx([5.0] * 4)
    assert np.hypot(*second.values["points"][:, :2].T).tolist() == pytest.approx([6.0] * 4)


def test_no_frames() -> None:
    assert run_source($Class, {"frames": 0}) == []
'''

GRAPH = """# pipe run graphs/$name.yaml
version: 1
nodes:
  ring: {driver: ring, config: {frames: 20}}
  near: {op: near, inputs: {points: ring.points}, config: {max_m: 20}}
  view: {op: render.scene, inputs: {points: near.points}}
"""

GRAPH_TEST = '''"""The graph runs to its end."""

from __future__ import annotations

from pathlib import Path

import pipeline

GRAPH = Path(__file__).resolve().parents[1] / "graphs" / "$name.yaml"


def test_the_graph_runs(tmp_path: Path) -> None:
    outcome = pipeline.run(GRAPH, {"ring.config.frames": 3}, out=tmp_path / "out", place="inline")
    assert (outcome.exit, outcome.errors) == ("completed", [])
    assert outcome.report["sinks"]["view"]["frames"] == 3
'''

CONFTEST = '''"""Tests import operators and drivers of this project under the names that graphs use."""

from pathlib import Path

from pipeline.testing import use_project

use_project(Path(__file__).parent)
'''

IGNORE = """out/
__pycache__/
"""
