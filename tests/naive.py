"""Slow, obvious NumPy twins of the fast code: the oracles. Keep them simple."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def voxelize(points: np.ndarray, range_m: Any, cell_m: Any, max_points: int, max_pillars: int) -> tuple[Any, ...]:
    """-> pillars, cells, counts, (dropped pillars, dropped points, out of range, NaN)"""
    groups, outside, nan = pillars_of(points, range_m, cell_m)
    kept = list(groups.items())[:max_pillars]
    pillars = np.zeros((len(kept), max_points, 4), np.float32)
    cells = np.zeros((len(kept), 2), np.int32)
    counts = np.zeros(len(kept), np.int32)
    for p, (cell, members) in enumerate(kept):
        cells[p] = cell
        counts[p] = min(len(members), max_points)
        pillars[p, : counts[p]] = members[:max_points]
    lost = sum(len(members) for members in groups.values()) - int(counts.sum())
    return pillars, cells, counts, (len(groups) - len(kept), lost, outside, nan)


def pillars_of(points: np.ndarray, range_m: Any, cell_m: Any) -> tuple[dict[tuple[int, int], list[np.ndarray]], int, int]:
    """-> (row, column) -> points, in the order of first points; points out of range, NaN points. All in float32."""
    x0, y0, z0, x1, y1, z1 = range_m
    grid = round((x1 - x0) / cell_m[0]), round((y1 - y0) / cell_m[1]), 1
    low, edges = np.array([x0, y0, z0], np.float32), np.array([*cell_m, z1 - z0], np.float32)
    groups: dict[tuple[int, int], list[np.ndarray]] = {}
    outside = nan = 0
    for point in points:
        if np.isnan(point).any():
            nan += 1
            continue
        with np.errstate(all="ignore"):
            at = np.floor((point[:3] - low) / edges)
        assert at.dtype == np.float32
        if not (0 <= at).all() or not (at < grid).all():
            outside += 1
            continue
        groups.setdefault((int(at[1]), int(at[0])), []).append(point)
    return groups, outside, nan


def footprint(box: np.ndarray) -> list[tuple[float, float]]:
    """Corners seen from above, counter-clockwise."""
    x, y, _, length, width, _, yaw = (float(v) for v in box)
    ahead, left = complex(math.cos(yaw), math.sin(yaw)), complex(-math.sin(yaw), math.cos(yaw))
    signs = ((1, 1), (-1, 1), (-1, -1), (1, -1))
    spots = [complex(x, y) + a * length / 2 * ahead + b * width / 2 * left for a, b in signs]
    return [(spot.real, spot.imag) for spot in spots]


def polygon_area(polygon: list[tuple[float, float]]) -> float:
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True)) / 2


def clip_polygon(subject: list[tuple[float, float]], clip: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Sutherland-Hodgman; both convex and counter-clockwise."""
    for a, b in zip(clip, clip[1:] + clip[:1], strict=True):
        result = []

        def side(p: tuple[float, float], a: Any = a, b: Any = b) -> float:
            return (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])

        for p, q in zip(subject, subject[1:] + subject[:1], strict=True):
            if side(p) >= 0:
                result.append(p)
            if side(p) * side(q) < 0:
                t = side(p) / (side(p) - side(q))
                result.append((p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])))
        subject = result
    return subject


def overlap_3d(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """-> IoU, GIoU of two boxes; scipy computes the hull"""
    from scipy.spatial import ConvexHull

    low, high = [float(v[2] - v[5] / 2) for v in (a, b)], [float(v[2] + v[5] / 2) for v in (a, b)]
    shared = polygon_area(clip_polygon(footprint(a), footprint(b))) * max(0.0, min(high) - max(low))
    union = float(np.prod(a[3:6]) + np.prod(b[3:6])) - shared
    hull = ConvexHull(np.array(footprint(a) + footprint(b))).volume * (max(high) - min(low))
    return shared / union, shared / union - (hull - union) / hull


def count_matches(
    overlap: Any, limit: float, counted: Any, left_out: Any, forgiven: Any, scores: Any, threshold: float
) -> tuple[int, int]:
    """-> true and false positives of one frame at one threshold, as in KITTI's devkit: truth in order, by largest overlap"""
    free = [j for j in range(len(scores)) if scores[j] >= threshold]
    right = 0
    for i in range(len(counted)):
        near = [j for j in free if overlap[i][j] > limit]
        proper = [j for j in near if not left_out[j]]
        if not near:
            continue
        best = max(proper, key=lambda j: overlap[i][j]) if proper else near[0]
        free.remove(best)
        right += bool(counted[i] and not left_out[best])
    return right, sum(not left_out[j] and not forgiven[j] for j in free)


def matched_scores(overlap: Any, limit: float, counted: Any, left_out: Any, scores: Any) -> list[float]:
    """-> scores of the matched truth boxes: truth in order, by highest score"""
    free = list(range(len(scores)))
    out = []
    for i in range(len(counted)):
        near = [j for j in free if overlap[i][j] > limit]
        if near:
            best = max(near, key=lambda j: scores[j])
            free.remove(best)
            if counted[i] and not left_out[best]:
                out.append(float(scores[best]))
    return out


def iou_bev(a: np.ndarray, b: np.ndarray) -> float:
    """Shared area / united area of two boxes seen from above"""
    shared = polygon_area(clip_polygon(footprint(a), footprint(b)))
    return shared / (float(a[3] * a[4]) + float(b[3] * b[4]) - shared)


def nms_bev(boxes: np.ndarray, max_iou: float) -> list[int]:
    """Rows that are kept, best first"""
    left, kept = list(range(len(boxes))), []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [i for i in left if iou_bev(boxes[best], boxes[i]) <= max_iou]
    return kept


def see(
    triangles: np.ndarray, P_cam: np.ndarray, T_cam_velo: np.ndarray, size: tuple[int, int], near_m: float
) -> tuple[Any, ...]:
    """-> index of the nearest triangle (rows, columns), -1 for none, its depth: the ray through each pixel's centre against
    every triangle (Moeller and Trumbore 1997), both sides; not nearer than near_m"""
    M = P_cam @ T_cam_velo
    inverse = np.linalg.inv(M[:, :3])
    origin = -inverse @ M[:, 3]
    index, depth = np.full(size, -1), np.full(size, np.inf)
    for v in range(size[0]):
        for u in range(size[1]):
            t = meet(origin, inverse @ (u, v, 1.0), triangles)  # one step along the ray is one metre of depth
            for k in np.flatnonzero((t >= near_m) & np.isfinite(t)):
                if t[k] < depth[v, u]:
                    index[v, u], depth[v, u] = k, t[k]
    return index, depth


def meet(origins: np.ndarray, ray: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """-> (T,) distance to each triangle in lengths of the ray, NaN or inf for a miss (Moeller and Trumbore 1997), both sides;
    origins (3,) or (T, 3)"""
    a, ab, ac = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    p = np.cross(ray, ac)
    with np.errstate(all="ignore"):
        scale = 1 / (ab * p).sum(1)
        b = scale * ((origins - a) * p).sum(1)
        q = np.cross(origins - a, ab)
        c = scale * (ray * q).sum(1)
        return np.where((b >= 0) & (c >= 0) & (b + c <= 1), scale * (ac * q).sum(1), np.inf)


def spin(
    triangles: np.ndarray, drift: np.ndarray, tangents: Any, heights: Any, azimuths: Any, times: Any, max_range: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rays of a spinning LiDAR, each against every triangle -> ranges (columns, beams), inf for nothing; index of the nearest
    triangle, -1 for none; covered (T,): rays that meet each within range, even if it is occluded"""
    ranges, hits = np.full((len(azimuths), len(tangents)), np.inf), np.full((len(azimuths), len(tangents)), -1)
    covered = np.zeros(len(triangles), int)
    for c, azimuth in enumerate(azimuths):
        for b, tangent in enumerate(tangents):
            ray = np.array([math.cos(azimuth), math.sin(azimuth), tangent])
            ray /= np.linalg.norm(ray)
            t = meet(drift * times[c] + (0, 0, heights[b]), ray, triangles)
            met = (t > 0) & (t <= max_range)
            covered += met
            if met.any():
                hits[c, b] = np.where(met, t, np.inf).argmin()
                ranges[c, b] = t[hits[c, b]]
    return ranges, hits, covered


def inside_box(points: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(N,) bool: which points lie in the upright, turned box."""
    c, s = np.cos(box[6]), np.sin(box[6])
    dx, dy, dz = (points[:, i].astype(np.float64) - box[i] for i in range(3))
    return (abs(c * dx + s * dy) <= box[3] / 2) & (abs(c * dy - s * dx) <= box[4] / 2) & (abs(dz) <= box[5] / 2)


def assign_anchors(
    anchors: np.ndarray, anchor_classes: Any, matched: Any, unmatched: Any, boxes: np.ndarray, classes: Any
) -> tuple[np.ndarray, np.ndarray]:
    """SECOND's targets -> labels (A,): class + 1, 0 negative, -1 ignored; owner (A,): box of each positive, -1 = none."""

    def rectangle(box: np.ndarray) -> tuple[float, float, float, float]:
        length, width = (box[4], box[3]) if abs(math.sin(box[6])) > abs(math.cos(box[6])) else (box[3], box[4])
        return box[0] - length / 2, box[1] - width / 2, box[0] + length / 2, box[1] + width / 2

    def iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
        shared = max(min(a[2], b[2]) - max(a[0], b[0]), 0.0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0.0)
        return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)

    overlaps = np.zeros((len(anchors), len(boxes)))
    for i, anchor in enumerate(anchors):
        for j, box in enumerate(boxes):
            if anchor_classes[i] == classes[j]:
                overlaps[i, j] = iou(rectangle(anchor), rectangle(box))
    labels, owner = np.zeros(len(anchors), int), np.full(len(anchors), -1)
    for i in range(len(anchors)):
        best = overlaps[i].max(initial=0.0)
        if best >= matched[i]:
            labels[i], owner[i] = anchor_classes[i] + 1, overlaps[i].argmax()
        elif best >= unmatched[i]:
            labels[i] = -1
    for j in range(len(boxes)):
        top = overlaps[:, j].max(initial=0.0)
        for i in range(len(anchors)):
            if top > 0 and overlaps[i, j] >= top - 1e-6:
                labels[i], owner[i] = anchor_classes[i] + 1, j
    return labels, owner


def stretched(counts: np.ndarray, low: float, high: float) -> np.ndarray:
    """Thermal counts (H, W) uint16 -> (H, W) uint8: low -> 0, high -> 255. All in float32."""
    scale = np.float32(255.0 / (high - low))
    value = (counts.astype(np.float32) - np.float32(low)) * scale + np.float32(0.5)
    return np.clip(value, 0, 255).astype(np.uint8)
