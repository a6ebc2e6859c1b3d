"""Slow, obvious twins of the kernels of lidar.ground, lidar.cluster and lidar.deskew."""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial.transform import Rotation


def sector_of(x: float, y: float, sectors: int) -> int:
    """Of |x| + |y| = 1, counter-clockwise from -y."""
    away = abs(x) + abs(y)
    turn = y / away if away else 0.0
    return min(int((1 + turn if x >= 0 else 3 - turn) * sectors / 4), sectors - 1)


def ground(
    points: np.ndarray, sectors: int, rings: int, ring_m: float, z_m: float, slope: float, step_m: float, rise_m: float,
    above_m: float,
) -> tuple[list[int], list[int]]:  # fmt: skip
    """-> rows above the ground, rows of the ground"""
    rows = [i for i in range(len(points)) if np.isfinite(points[i, :3]).all()]
    of_bin: dict[tuple[int, int], list[int]] = {}
    for i in rows:
        x, y = float(points[i, 0]), float(points[i, 1])
        ring = min(int(math.sqrt(x * x + y * y) / ring_m), rings - 1)
        of_bin.setdefault((sector_of(x, y, sectors), ring), []).append(i)
    above, below = [], []
    for sector in range(sectors):
        height, last = z_m, -1
        for ring in range(rings):
            members = of_bin.get((sector, ring), [])
            rise = min(step_m + slope * ring_m * (ring - last - 1), rise_m)
            z = [float(points[i, 2]) for i in members if float(points[i, 2]) >= height - rise]
            if z and min(z) <= height + rise:
                thick = [float(points[i, 2]) for i in members if min(z) <= float(points[i, 2]) <= min(z) + 0.15]
                height, last = sum(thick) / len(thick), ring
            for i in members:
                (above if float(points[i, 2]) > height + above_m else below).append(i)
    return sorted(above), sorted(below)


def components(cells: np.ndarray, reach: np.ndarray) -> list[int]:
    """Cluster of each cell, numbered by first cells: a flood from every cell not yet reached."""
    label = [-1] * len(cells)
    count = 0
    for first in range(len(cells)):
        if label[first] >= 0:
            continue
        todo = [first]
        while todo:
            p = todo.pop()
            if label[p] >= 0:
                continue
            label[p] = count
            for q in range(len(cells)):
                apart = sum((int(a) - int(b)) ** 2 for a, b in zip(cells[p], cells[q], strict=True))
                if apart <= min(reach[p], reach[q]) ** 2:
                    todo.append(q)
        count += 1
    return label


def closeness(points: np.ndarray, angle: float, near_m: float) -> float:
    """Mean of near_m / distance to the nearest edge of the rectangle at this angle, the distance at least near_m."""
    xy = points[:, :2].astype(np.float64)
    u, v = xy @ (math.cos(angle), math.sin(angle)), xy @ (-math.sin(angle), math.cos(angle))
    apart = np.min([u - u.min(), u.max() - u, v - v.min(), v.max() - v], axis=0)
    return float(np.mean(near_m / np.maximum(apart, near_m)))


def deskew(points: np.ndarray, times_s: np.ndarray, knots_s: np.ndarray, poses: np.ndarray, at_s: float) -> np.ndarray:
    """(N, 3) float64: each point moved by inv(T(at_s)) @ T(its time); poses (K, 4, 4) T_world_velo at knots_s."""

    def pose_at(time: float) -> np.ndarray:
        k = min(max(int(np.searchsorted(knots_s, time, "right")) - 1, 0), len(knots_s) - 2)
        share = (time - knots_s[k]) / (knots_s[k + 1] - knots_s[k])
        first, second = Rotation.from_matrix(poses[k, :3, :3]), Rotation.from_matrix(poses[k + 1, :3, :3])
        T = np.eye(4)
        T[:3, :3] = (first * Rotation.from_rotvec(share * (first.inv() * second).as_rotvec())).as_matrix()
        T[:3, 3] = poses[k, :3, 3] + share * (poses[k + 1, :3, 3] - poses[k, :3, 3])
        return T

    T_ref_world = np.linalg.inv(pose_at(at_s))
    rows = []
    for point, time in zip(points, times_s, strict=True):
        if np.isfinite(time):
            rows.append((T_ref_world @ pose_at(float(time)) @ [*point[:3].astype(float), 1.0])[:3])
        else:
            rows.append(point[:3])
    return np.array(rows).reshape(-1, 3)
