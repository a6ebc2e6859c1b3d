"""Open3D's RaycastingScene, the rival of `pipe bench world` (extra `open3d`)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from drivers.extra import load_open3d
from operators.kernels.raycast import NOTHING
from pipeline.errors import InputError

RANGE_M = 80.0


class Hits(NamedTuple):
    """ranges (C, B) [m], inf = none within range; triangles (C, B) int32, NOTHING = none."""

    ranges: np.ndarray
    triangles: np.ndarray


class Rival:
    """Open3D's RaycastingScene, in single precision, as it comes."""

    def __init__(self, open3d: Any) -> None:
        self._tensor, self._new = open3d.core.Tensor.from_numpy, open3d.t.geometry.RaycastingScene
        self.scene: Any = None

    def build(self, triangles: np.ndarray) -> None:
        corners = triangles.reshape(-1, 3).astype(np.float32)
        self.scene = self._new()
        self.scene.add_triangles(self._tensor(corners), self._tensor(np.arange(len(corners), dtype=np.uint32).reshape(-1, 3)))
        self.scene.cast_rays(self._tensor(np.zeros((1, 6), np.float32)))  # the first cast builds the tree

    def cast(self, of: np.ndarray) -> Hits:
        found = self.scene.cast_rays(self._tensor(of))
        ranges, triangles = found["t_hit"].numpy(), found["primitive_ids"].numpy().view(np.int32)
        beyond = ranges > RANGE_M
        return Hits(np.where(beyond, np.inf, ranges), np.where(beyond, NOTHING, triangles))


def rival() -> Rival | None:
    try:
        return Rival(load_open3d("pipe bench world"))
    except InputError:
        return None


def differing(ours: Hits, theirs: Hits) -> dict[str, float]:
    """Shares of rays: that hit another triangle, or only in one of both; whose ranges differ by more than 1 cm."""
    with np.errstate(invalid="ignore"):
        far = np.abs(ours.ranges - theirs.ranges) > 0.01  # inf - inf is no difference
    return {"other_triangle": float((ours.triangles != theirs.triangles).mean()), "range_1cm": float(far.mean())}
