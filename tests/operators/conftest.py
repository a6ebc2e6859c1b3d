"""Fixtures: operators without the engine, and one camera for all of them."""

import logging

import numpy as np
import pytest

from operators.geometry.transforms import rigid
from operators.streams import Calibration
from pipeline.frame import Header
from pipeline.operator import prepare


@pytest.fixture
def make(tmp_path):
    """make(Voxelize, max_points=2) -> the operator, opened; `resume=` and `name=` go to the node, the rest to its config."""

    def build(cls, name="node", resume=None, **config):
        folder = tmp_path / "out" / name
        op = prepare(cls(), name, cls.Config(**config), log=logging.getLogger(name), out_dir=folder, resume=resume)
        op.header, op.meta = header(0), {}
        op.open()
        return op

    return build


def header(frame_id, item=None, stamp_ns=None):
    stamp_ns = frame_id * 100_000_000 if stamp_ns is None else stamp_ns
    return Header("dets", frame_id, f"0000/{frame_id:06d}" if item is None else item, stamp_ns)


@pytest.fixture(name="header")
def _header():
    """header(7) -> item 0000/000007 at 0.7 s"""
    return header


def camera_matrix():
    """Like KITTI's: about a degree of tilt in each direction, 27 cm behind and 8 cm below the LiDAR."""
    axes = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
    a, b, c = 0.012, -0.015, 0.007
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return rigid(rx @ ry @ rz @ axes, (0.004, -0.08, -0.27))


T_CAM_VELO = camera_matrix()
STRAIGHT = rigid(np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]]))
P_CAM = np.array([[720.0, 0.0, 610.0, 45.0], [0.0, 720.0, 173.0, 0.2], [0.0, 0.0, 1.0, 0.003]])


@pytest.fixture
def calibration():
    return Calibration(P_CAM, T_CAM_VELO, np.array([1242, 375], np.int32))


@pytest.fixture
def straight():
    """A camera at the LiDAR's origin, facing along x; 100 px per unit slope, an image of 200 x 100 around (100, 50)."""
    P_cam = np.array([[100.0, 0.0, 100.0, 0.0], [0.0, 100.0, 50.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    return Calibration(P_cam, STRAIGHT, np.array([200, 100], np.int32))
