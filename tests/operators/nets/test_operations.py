"""Multiply-adds of nets, against sums by hand."""

from dataclasses import replace

import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")

import torch
from torch import nn

from operators.detect.pointpillars import Detector, DetectorConfig
from operators.nets.operations import PILLARS, multiply_adds, of_pillars
from operators.nets.pointpillars import PointPillars
from operators.nets.pointpillars_config import PointPillarsConfig
from pipeline.operator import Operator


def test_a_convolution_and_a_product():
    assert multiply_adds(nn.Conv2d(3, 8, 3, padding=1), torch.zeros(1, 3, 10, 20)) == 3 * 8 * 9 * 200
    assert multiply_adds(nn.Linear(5, 7), torch.zeros(4, 5)) == 4 * 5 * 7


def test_a_map_of_twice_the_size_is_twice_the_work():
    """Blocks, upsampling and heads, which are all but the pillars' own."""
    small = PointPillarsConfig(cell_m=(0.32, 0.32), range_m=(0.0, -10.24, -3.0, 20.48, 10.24, 1.0))
    large = replace(small, range_m=(0.0, -10.24, -3.0, 40.96, 10.24, 1.0))
    one, two = (of_pillars(PointPillars(config), config) for config in (small, large))
    assert two == pytest.approx(2 * one, rel=0.1) and min(small.grid[0] * small.grid[1], PILLARS) == PILLARS


def test_of_a_node():
    assert 1e9 < Detector.multiply_adds(DetectorConfig()) < 40e9
    assert Operator.multiply_adds(None) is None
