"""Anchor boxes, and boxes as residuals against them.      Source: Yan et al. 2018 (SECOND), sec. 3.2; Lang et al. 2019, sec. 2.2

anchors    (A, 7) float32  boxes3d: x y z l w h yaw, geometric centre [m, velodyne frame]; yaw 0 and pi/2, or those of the config
residuals  (M, 7) float32  dx/d dy/d dz/h log(l/la) log(w/wa) log(h/ha) dyaw; d: the anchor's diagonal seen from above
bins       (M,) int64      half turn: 0 for yaw in [pi/4, 5 pi/4), else 1; pi/4 or the direction_offset_rad of the config
The loss (a sine) cannot tell a box from the same box turned by pi; the bin can. All functions take M = 0.
"""

from __future__ import annotations

import numpy as np

from operators.geometry.boxes3d import wrap_angle
from operators.nets.pointpillars_config import PointPillarsConfig

DIRECTION_OFFSET_RAD = np.pi / 4
"""Border between the bins. Few cars point there: cars point along the road."""

MAX_LOG_SIZE = 4.0
"""Limit of log(l/la): a box has at most e^4 = 55 times the size of its anchor, so that an untrained net does not overflow."""


def anchor_grid(config: PointPillarsConfig) -> np.ndarray:
    """(A, 7), sorted by location (row, column), class of `config`, yaw of `config`."""
    rows, columns = config.head_grid
    grid = np.empty((rows, columns, len(config.anchors), 2, 7))
    grid[..., 0] = _places(config, 0, columns)[None, :, None, None]
    grid[..., 1] = _places(config, 1, rows)[:, None, None, None]
    for i, anchor in enumerate(config.anchors):
        grid[:, :, i, :, 2] = anchor.z_m
        grid[:, :, i, :, 3:6] = anchor.size_m
    grid[..., 6] = config.anchor_yaws_rad
    return grid.reshape(-1, 7).astype(np.float32)


def _places(config: PointPillarsConfig, axis: int, num: int) -> np.ndarray:
    """(num,) x or y of the anchors"""
    if config.anchor_span_m is not None:
        return config.anchor_span_m[axis] + np.arange(num) * config.anchor_step_m[axis]
    return config.range_m[axis] + (np.arange(num) + 0.5) * config.first_stride * config.cell_m[axis]


def encode(boxes3d: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Boxes (M, 7) and an anchor for each (M, 7) -> residuals (M, 7) float32."""
    box, anchor = (np.asarray(a, np.float64).reshape(-1, 7) for a in (boxes3d, anchors))
    out = np.empty(box.shape)
    out[:, :3] = (box[:, :3] - anchor[:, :3]) / _scale(anchor)
    out[:, 3:6] = np.log(box[:, 3:6] / anchor[:, 3:6])
    out[:, 6] = box[:, 6] - anchor[:, 6]
    return out.astype(np.float32)


def direction_bins(yaw_rad: np.ndarray, offset_rad: float = DIRECTION_OFFSET_RAD) -> np.ndarray:
    """(M,) int64, 0 or 1."""
    turned = np.mod(np.asarray(yaw_rad, np.float64) - offset_rad, 2 * np.pi)
    return (turned >= np.pi).astype(np.int64)


def decode(residuals: np.ndarray, bins: np.ndarray, anchors: np.ndarray, offset_rad: float = DIRECTION_OFFSET_RAD) -> np.ndarray:
    """Residuals (M, 7), bins (M,) and an anchor for each (M, 7) -> boxes3d (M, 7) float32."""
    diff, anchor = (np.asarray(a, np.float64).reshape(-1, 7) for a in (residuals, anchors))
    out = np.empty(diff.shape)
    out[:, :3] = diff[:, :3] * _scale(anchor) + anchor[:, :3]
    out[:, 3:6] = np.exp(np.clip(diff[:, 3:6], -MAX_LOG_SIZE, MAX_LOG_SIZE)) * anchor[:, 3:6]
    yaw = diff[:, 6] + anchor[:, 6]
    half_turns = np.floor((yaw - offset_rad) / np.pi)
    out[:, 6] = yaw - np.pi * half_turns + np.pi * np.asarray(bins)  # into [offset, offset + pi), then the half turn of the bin
    boxes = out.astype(np.float32)
    boxes[:, 6] = wrap_angle(boxes[:, 6])
    return boxes


def _scale(anchor: np.ndarray) -> np.ndarray:
    """(M, 3): diagonal, diagonal, height"""
    diagonal = np.hypot(anchor[:, 3], anchor[:, 4])
    return np.stack([diagonal, diagonal, anchor[:, 5]], 1)
