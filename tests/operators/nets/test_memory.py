"""The estimate grows with what a net holds, and a budget below it is refused before anything starts."""

import subprocess
import sys
from dataclasses import replace

import pytest

pytest.importorskip("torch")  # detectors refuse to be configured without it

from operators.detect.pointpillars import Detector, DetectorConfig
from operators.nets.memory import PROCESS_BYTES, net_bytes
from operators.nets.pointpillars_config import PointPillarsConfig, tensor_shapes
from pipeline.errors import GraphError
from pipeline.graph.check import check
from pipeline.graph.load import parse

FULL = PointPillarsConfig()


def estimate(config):
    return net_bytes(config, tensor_shapes(config))


@pytest.mark.parametrize(
    "smaller",
    [
        {"cell_m": (0.32, 0.32)},
        {"block_channels": (32, 64, 128)},
        {"up_channels": (64, 64, 64)},
        {"max_pillars": 6000},
        {"max_points": 32},
        {"pillar_channels": 32},
    ],
)
def test_less_of_anything_needs_less(smaller):
    assert PROCESS_BYTES < estimate(replace(FULL, **smaller)) < estimate(FULL) < 3e9


def test_a_graph_is_refused_before_it_starts():
    graph = """version: 1
nodes:
  scans:    {driver: synthetic.traffic, config: {frames: 3}}
  voxelize: {op: lidar.voxelize, inputs: {points: scans.points}}
  detect:   {op: detect.pointpillars, inputs: {pillars: voxelize.pillars}, memory_budget_mb: 100}
  sink:     {op: test.null, inputs: {in: detect.boxes3d}}
"""
    needed = Detector.memory_bytes(DetectorConfig())
    with pytest.raises(GraphError) as error:
        check(parse(graph, "g.yaml"))
    assert str(error.value) == (
        f"g.yaml:5: detect.memory_budget_mb: needs {needed / 1e6:.0f} MB by the estimate of detect.pointpillars, got 100 MB; "
        "raise it, or a smaller net?"
    )
    assert check(parse(graph, "g.yaml", [f"detect.memory_budget_mb={needed / 1e6 + 1:.0f}"])).warnings == []


def test_it_needs_no_torch():
    code = "import sys; import operators.nets.memory; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
