"""Move and turn every object of a scene a little, with its points.      Source: Yan et al. 2018 (SECOND), sec. 3.2.2"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from operators.geometry.boxes3d import wrap_angle
from operators.train.pointpillars.boxes import overlap_from_above, points_in_boxes
from operators.train.pointpillars.config import NoiseConfig
from operators.train.scenes import IGNORED, Scene


def shake(scene: Scene, config: NoiseConfig, random: np.random.Generator) -> Scene:
    """Each object in turn goes to the first random place where it touches no other box from above, or stays where it is.

    Ignored boxes stay. Points of the surroundings that a moved box would hold are removed. No objects: the same scene.
    """
    if config.still or not (scene.classes != IGNORED).any():
        return scene
    points, boxes = scene.points.copy(), scene.boxes3d.copy()
    owner, counts = points_in_boxes(points, boxes)
    moved = np.zeros(len(boxes), bool)
    for m in np.flatnonzero((scene.classes != IGNORED) & (counts > 0)):
        others = np.delete(boxes, m, 0)
        for _ in range(config.tries):
            place = boxes[m].copy()
            place[:3] += random.standard_normal(3) * config.move_m
            place[6] = wrap_angle(place[6] + random.uniform(-1, 1) * config.turn_rad)
            if not overlap_from_above(place[None], others).any():
                own = owner == m
                points[own] = _carried(points[own], boxes[m], place)
                boxes[m], moved[m] = place, True
                break
    around = np.flatnonzero(owner < 0)
    inside, _ = points_in_boxes(points[around], boxes[moved])
    return replace(scene, points=np.delete(points, around[inside >= 0], 0), boxes3d=boxes)


def _carried(points: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The points (n, 4) of a box that goes from one place to another."""
    angle = after[6] - before[6]
    c, s = np.cos(angle), np.sin(angle)
    out = points.copy()
    x, y, z = (points[:, :3] - before[:3]).T
    out[:, 0], out[:, 1], out[:, 2] = c * x - s * y + after[0], s * x + c * y + after[1], z + after[2]
    return out
