"""spconv's voxelizer on the CPU, for `pipe bench voxelize`: its own class, which OpenPCDet and mmdetection3d use as well.

It needs spconv==2.3.8 and cumm<0.8 (a later cumm lacks what this spconv imports).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np

from operators.lidar.voxelize import VoxelizeConfig

Voxels = tuple[np.ndarray, np.ndarray, np.ndarray]


def voxelizer(config: VoxelizeConfig) -> Callable[[np.ndarray], Voxels] | None:
    """points (N, 4) -> pillars (P, K, 4), cells (P, 2), counts (P,): views that the next call overwrites. None: not installed"""
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            from cumm import tensorview
            from spconv.utils import Point2VoxelCPU3d
    except ImportError:
        return None
    x0, y0, z0, x1, y1, z1 = config.range_m
    made: Any = Point2VoxelCPU3d([*config.cell_m, z1 - z0], [x0, y0, z0, x1, y1, z1], 4, config.max_pillars, config.max_points)

    def run(points: np.ndarray) -> Voxels:
        voxels, indices, counts = made.point_to_voxel(tensorview.from_numpy(points))
        return voxels.numpy_view(), indices.numpy_view()[:, 1:], counts.numpy_view()

    return run
