"""A colour camera in a world of triangles: image, depth and object ids of every pixel, from one z-buffer.

Daylight: sun, sky, haze, shadows (from a shadow map 60 m wide around the camera's view).
Pixel centres lie at whole numbers, as in operators/geometry/project.py. The same input gives the same bytes for any
number of threads. Buffers are kept between images: one camera belongs to one caller at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

from drivers.synthetic.materials import MATERIALS
from operators.geometry.project import project_points
from operators.kernels import raster, shade
from operators.kernels.shade import Picture
from operators.streams import Calibration

NEAR_M = 0.2
_SHADOW_CELLS, _SHADOW_CELL_M, _SHADOW_AHEAD_M = 768, 0.08, 26.0
LOWEST_SUN = 0.15
"""z of the unit vector towards the sun: lower, shadows would be longer than their map."""


def kitti_like_calibration(width: int, height: int) -> Calibration:
    """KITTI's camera 2 (focal length 721.5 px at 1242 x 375), its image scaled; mounted as KITTI's, without its tilt."""
    focal = 721.5377 * width / 1242
    cx, cy = (609.5593 + 0.5) * width / 1242 - 0.5, (172.854 + 0.5) * height / 375 - 0.5
    P_cam = np.array([[focal, 0, cx, 0], [0, focal, cy, 0], [0, 0, 1, 0]])
    T_cam_velo = np.array([[0.0, -1, 0, 0], [0, 0, -1, -0.08], [1, 0, 0, -0.27], [0, 0, 0, 1]])
    return Calibration(P_cam, T_cam_velo, np.array([width, height], np.int32))


def in_picture(points: np.ndarray, calibration: Calibration) -> np.ndarray:
    """(N,) bool, as KITTI crops its scans: in front of the camera and 0 <= u < W, 0 <= v < H."""
    uv, _ = project_points(points[:, :3], calibration.P_cam, calibration.T_cam_velo)
    width, height = calibration.image_size
    return (uv[:, 0] >= 0) & (uv[:, 0] < width) & (uv[:, 1] >= 0) & (uv[:, 1] < height)


class Camera:
    def __init__(self, calibration: Calibration, threads: int = 1) -> None:
        columns, rows = calibration.image_size.tolist()
        self.size = rows, columns
        uvd = calibration.P_cam @ calibration.T_cam_velo
        self._view = np.vstack([uvd, [0, 0, 0, 1]])
        self._velo_of_uvd = np.linalg.inv(uvd[:, :3])
        self._eye_velo = -self._velo_of_uvd @ uvd[:, 3]
        self._px_rad = 1 / float(calibration.P_cam[0, 0])
        self._values = np.empty(self.size, np.float32)
        self._index = np.empty(self.size, np.int32)
        self._heights = np.empty((_SHADOW_CELLS, _SHADOW_CELLS), np.float32)
        self._nobody = np.empty((0, 0), np.int32)
        self._make_room(1024)
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        none = np.empty((0, 3, 3)), np.empty((0, 3), np.float32), np.empty(0, np.int64), np.empty(0, np.int32)
        self.render(*none, sun=np.array([0.0, 0.0, 1.0]))  # compiles now, before any frame waits

    def render(
        self,
        triangles: np.ndarray,
        colors: np.ndarray,
        owners: np.ndarray,
        materials: np.ndarray,
        sun: np.ndarray,
        T_world_velo: np.ndarray | None = None,
        out: Picture | None = None,
    ) -> Picture:
        """triangles (T, 3, 3) float64 [m, velodyne], colors (T, 3) float32 linear albedo 0..1, owners (T,) int64 (-1: none),
        materials (T,) int32 (materials.py, + raster.CLOSED if the back need not be drawn), sun (3,) unit vector towards
        the sun, world frame, above the horizon. T_world_velo: fixes the patterns of ground and walls; None: identity.
        T = 0 is an image of the sky. Writes into `out` if given."""
        rows, columns = self.size
        if out is None:
            out = Picture(np.empty((rows, columns, 3), np.uint8), np.empty(self.size, np.float32), np.empty(self.size, np.int64))
        if not sun[2] >= LOWEST_SUN:
            raise ValueError(f"camera: sun: needs a z of {LOWEST_SUN} or more, got {np.asarray(sun).tolist()}")
        T_world_velo = np.eye(4) if T_world_velo is None else T_world_velo
        triangles, colors = np.ascontiguousarray(triangles, np.float64), np.ascontiguousarray(colors, np.float32)
        owners, materials = np.ascontiguousarray(owners, np.int64), np.ascontiguousarray(materials, np.int32)
        sun, kinds = np.ascontiguousarray(sun, np.float64), materials & np.int32(raster.MATERIAL)
        count = len(triangles)
        if count > len(self._planes):
            self._make_room(count + count // 4)  # scenes grow slowly
        planes, limits, boxes, faces = self._planes[:count], self._limits[:count], self._boxes[:count], self._faces[:count]

        view, corner = self._sun_view(sun, T_world_velo)
        self._heights.fill(-np.inf)
        raster.set_up(triangles, materials, view, 0.5, False, *self._heights.shape, planes, limits, boxes)
        self._in_bands(_SHADOW_CELLS, lambda a, b: raster.fill(planes, limits, boxes, a, b, self._heights, self._nobody))

        raster.set_up(triangles, materials, self._view, NEAR_M, True, rows, columns, planes, limits, boxes)
        rays, eye = T_world_velo[:3, :3] @ self._velo_of_uvd, T_world_velo[:3, :3] @ self._eye_velo + T_world_velo[:3, 3]
        shade.light(triangles, colors, kinds, MATERIALS.pattern, T_world_velo, eye, sun, boxes, faces)

        surfaces = shade.Faces(owners, kinds, MATERIALS.pattern, faces)
        seen_from, light = shade.View(rays, eye, self._px_rad), shade.Sun(sun, self._heights, corner, _SHADOW_CELL_M)

        def draw(first: int, end: int) -> None:
            self._values[first:end] = 0
            self._index[first:end] = raster.NOTHING
            raster.fill(planes, limits, boxes, first, end, self._values, self._index)
            shade.shade(self._values, self._index, surfaces, seen_from, light, first, end, out)

        self._in_bands(rows, draw)
        return out

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def _sun_view(self, sun: np.ndarray, T_world_velo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The view (raster.py) along the sun's rays onto the plane z = 0, with height as its value; position of its first cell.
        The grid of cells is fixed in the world, so shadow edges do not flicker while the camera drives."""
        slant = sun[:2] / sun[2]
        middle = T_world_velo @ (_SHADOW_AHEAD_M, 0.0, -1.7, 1.0)
        corner = (np.floor((middle[:2] - slant * middle[2]) / _SHADOW_CELL_M) - _SHADOW_CELLS // 2) * _SHADOW_CELL_M
        view = np.zeros((4, 4))
        view[:2, :2], view[:2, 2], view[:2, 3] = np.eye(2), -slant, -corner
        view[:2] /= _SHADOW_CELL_M
        view[2, 3], view[3, 2] = 1, 1
        return view @ T_world_velo, corner

    def _make_room(self, size: int) -> None:
        """Makes buffers for `size` triangles."""
        self._planes, self._limits = np.empty((size, raster.PLANES, 3)), np.empty((size, 2))
        self._boxes, self._faces = np.empty((size, raster.BOX), np.int32), np.empty((size, shade.FACE))

    def _in_bands(self, rows: int, work: Callable[[int, int], None]) -> None:
        """Calls work(first, end) over all rows: in one call, or in one band per thread."""
        if self._pool is None:
            work(0, rows)
            return
        edges = np.linspace(0, rows, 4 * self._threads + 1).astype(int).tolist()
        bands = list(pairwise(edges))
        futures = [self._pool.submit(work, *band) for band in bands[1::2]]
        for band in bands[::2]:
            work(*band)
        for future in futures:
            future.result()
