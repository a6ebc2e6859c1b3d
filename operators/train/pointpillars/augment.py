"""Augment a scene: flip, turn, scale, paste, move objects, drop points, change intensities.

Source: Lang et al. 2019, sec. 3.2; Yan et al. 2018 (SECOND), sec. 3.2 for pasting. Random numbers: from (seed, position).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from operators.geometry.boxes3d import wrap_angle
from operators.geometry.transforms import rotation_z
from operators.kernels.box_points import lowest_around
from operators.train.pointpillars.boxes import overlap_from_above, points_in_boxes
from operators.train.pointpillars.config import AugmentConfig, PasteConfig
from operators.train.pointpillars.noise import shake
from operators.train.scenes import IGNORED, Scene

_GROUND_RADIUS_M, _GROUND_SHARE = 1.5, 0.1  # ground under a pasted object: this quantile of the heights around it
_GROUND_BELOW_M = 0.6  # largest vertical move of a pasted object
_EDGE_M = 3.0  # margin around the range, for objects at its border
_GAP_M = 0.2  # between pasted objects and all others


@dataclass(frozen=True, slots=True)
class CutOut:
    """One object at its original place: points, box, class."""

    points: np.ndarray
    box: np.ndarray
    cls: int


class Bank:
    """Objects of the last `span` readings, by class. Its content follows from the position in the stream alone."""

    def __init__(self, span: int, min_points: int) -> None:
        self._span, self._min_points = span, min_points
        self._scenes: deque[tuple[int, list[CutOut]]] = deque()

    def add(self, scene: Scene) -> None:
        owner, counts = points_in_boxes(scene.points, scene.boxes3d)
        in_boxes = np.flatnonzero(owner >= 0)
        points, owner = scene.points[in_boxes], owner[in_boxes]
        found = []
        for m in np.flatnonzero((scene.classes != IGNORED) & (counts >= self._min_points)):
            found.append(CutOut(points[owner == m], scene.boxes3d[m].copy(), int(scene.classes[m])))
        self._scenes.append((scene.position, found))

    def before(self, position: int, cls: int) -> list[CutOut]:
        """Objects that a scene of this position may be given."""
        while self._scenes and self._scenes[0][0] < position - self._span:
            self._scenes.popleft()
        return [cut_out for _, scene in self._scenes for cut_out in scene if cut_out.cls == cls]


def augment(
    scene: Scene,
    bank: Bank,
    config: AugmentConfig,
    names: tuple[str, ...],
    range_m: tuple[float, ...],
    random: np.random.Generator,
) -> tuple[Scene, np.ndarray]:
    """-> the new scene, points only within range_m from above; T (4, 4): p_new = T @ p_old of everything in the scene."""
    T = draw_motion(config, random)
    scene = replace(scene, points=within(scene.points, T, range_m))  # first: a third of a full turn is left
    scene = shake(paste(scene, bank, config.paste, names, random), config.noise, random)
    scene = move(scene, T)
    return replace(scene, points=degrade(scene.points, config, random)), T


def within(points: np.ndarray, T: np.ndarray, range_m: tuple[float, ...]) -> np.ndarray:
    """The points that T moves into x0 .. x1, y0 .. y1, or at most _EDGE_M outside."""
    x0, y0, _, x1, y1, _ = range_m
    a, b, c, d = (np.float32(v) for v in (T[0, 0], T[0, 1], T[1, 0], T[1, 1]))
    x, y = points[:, 0], points[:, 1]
    to_x, to_y = a * x + b * y, c * x + d * y
    return points[(to_x >= x0 - _EDGE_M) & (to_x < x1 + _EDGE_M) & (to_y >= y0 - _EDGE_M) & (to_y < y1 + _EDGE_M)]


def draw_motion(config: AugmentConfig, random: np.random.Generator) -> np.ndarray:
    """(4, 4): flip y, then turn about z, then scale, then raise."""
    T = np.eye(4)
    flip, scale = random.random() < config.flip, random.uniform(*config.scale)
    turn, up = random.uniform(-1, 1), random.uniform(-1, 1)
    if flip:
        T[1, 1] = -1
    T[:3, :3] = scale * rotation_z(turn * config.rotate_rad) @ T[:3, :3]
    T[2, 3] = up * config.raise_m
    return T


def move(scene: Scene, T: np.ndarray) -> Scene:
    """Points and boxes moved by T, as `draw_motion` makes it."""
    columns = np.eye(4, dtype=np.float32)  # x y z and, unchanged, the intensity
    columns[:3, :3] = T[:3, :3].T
    points = scene.points @ columns + np.append(T[:3, 3], 0).astype(np.float32)
    boxes = scene.boxes3d.copy()
    boxes[:, :3] = boxes[:, :3] @ T[:3, :3].T + T[:3, 3]
    boxes[:, 3:6] *= np.cbrt(abs(np.linalg.det(T[:3, :3])))
    heading = np.stack([np.cos(boxes[:, 6]), np.sin(boxes[:, 6])], 1) @ T[:2, :2].T
    boxes[:, 6] = wrap_angle(np.arctan2(heading[:, 1], heading[:, 0]))
    return replace(scene, points=points, boxes3d=boxes)


def paste(scene: Scene, bank: Bank, config: PasteConfig, names: tuple[str, ...], random: np.random.Generator) -> Scene:
    """Add objects of each class up to its count, at their original distance, where there is ground and room."""
    points, boxes, classes = [scene.points], scene.boxes3d, scene.classes
    for name, count in config.counts.items():
        cls = names.index(name)
        there = bank.before(scene.position, cls)
        wanted = count - int((scene.classes == cls).sum())
        if not there or wanted <= 0:
            continue
        for pick in random.choice(len(there), min(wanted, len(there)), replace=False):
            placed = _placed(there[pick], scene.points, boxes, random.uniform(-1, 1) * config.turn_rad)
            if placed is not None:
                points.append(placed.points)
                boxes, classes = np.concatenate([boxes, placed.box[None]]), np.append(classes, np.int32(cls))
    num = len(points) - 1
    if not num:
        return scene
    owner, _ = points_in_boxes(scene.points, boxes[-num:])
    points[0] = scene.points[owner < 0]  # points inside a pasted object are removed
    return replace(scene, points=np.concatenate(points), boxes3d=boxes, classes=classes)


def _placed(cut_out: CutOut, points: np.ndarray, boxes: np.ndarray, turn_rad: float) -> CutOut | None:
    """The object turned about the sensor and put on the ground; None where it touches another one or there is no ground."""
    R = rotation_z(turn_rad)
    box = cut_out.box.copy()
    box[:3] = R @ box[:3]
    box[6] = wrap_angle(box[6] + turn_rad)
    if len(boxes) and overlap_from_above(box[None], boxes, _GAP_M).any():
        return None
    reach = np.hypot(box[3], box[4]) / 2 + _GROUND_RADIUS_M
    ground = lowest_around(points, box[0], box[1], reach, _GROUND_SHARE)
    up = ground - (box[2] - box[5] / 2)
    if not abs(up) <= _GROUND_BELOW_M:  # NaN: no ground
        return None
    box[2] += up
    moved = cut_out.points.copy()
    moved[:, :3] = cut_out.points[:, :3] @ R.T.astype(np.float32)
    moved[:, 2] += np.float32(up)
    return CutOut(moved, box, cut_out.cls)


def degrade(points: np.ndarray, config: AugmentConfig, random: np.random.Generator) -> np.ndarray:
    """Fewer points, other intensities."""
    keep = 1 - random.uniform(0, 1) * config.point_drop
    gain, dropped = random.uniform(*config.intensity_gain), random.random() < config.intensity_drop
    if keep < 1:
        points = points[random.random(len(points), np.float32) < keep]
    if dropped:
        points[:, 3] = 0
    elif gain != 1 or config.intensity_noise > 0:
        noise = np.float32(config.intensity_noise) * random.standard_normal(len(points), np.float32)
        points[:, 3] = np.clip(points[:, 3] * np.float32(gain) + noise, 0, 1)
    return points
