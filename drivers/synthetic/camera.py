"""A colour camera in a world of triangles: image, depth and object ids of every pixel, from one z-buffer.

By day: sun, sky, haze, shadows (from a shadow map 60 m wide around the camera's view). Other light: lighting.py.
Pixel centres lie at whole numbers, as in operators/geometry/project.py. The same input gives the same bytes for any
number of threads. Buffers are kept between images: one camera belongs to one caller at a time.
"""

from __future__ import annotations

import numpy as np

from drivers.synthetic.grid import Bands, Grid
from drivers.synthetic.lighting import DAYLIGHT, Lighting, Shine
from drivers.synthetic.materials import MATERIALS
from operators.geometry.project import project_points
from operators.kernels import glare, raster, shade
from operators.kernels.shade import Picture
from operators.streams import Calibration

NEAR_M = 0.2
_SHADOW_CELLS, _SHADOW_CELL_M, _SHADOW_AHEAD_M = 768, 0.08, 26.0
_NO_SHADOWS = np.empty((0, 0), np.float32)
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


class Eye:
    """What each pixel of one calibration sees: the nearest triangle. Cameras of one calibration share it."""

    def __init__(self, calibration: Calibration, threads: int = 1) -> None:
        columns, rows = calibration.image_size.tolist()
        self.calibration, self.size, self.bands = calibration, (rows, columns), Bands(threads)
        self.grid = Grid(self.size, self.bands)
        uvd = calibration.P_cam @ calibration.T_cam_velo
        self._view = np.vstack([uvd, [0, 0, 0, 1]])
        self._velo_of_uvd = np.linalg.inv(uvd[:, :3])
        self._eye_velo = -self._velo_of_uvd @ uvd[:, 3]
        self.focal_px = float(calibration.P_cam[0, 0])

    def look(self, triangles: np.ndarray, materials: np.ndarray) -> None:
        """triangles (T, 3, 3) float64 [m, velodyne], materials (T,) int32, + raster.CLOSED if the back need not be drawn."""
        self.grid.fill(triangles, materials, self._view, NEAR_M, 1, 0.0)

    def view(self, T_world_velo: np.ndarray) -> shade.View:
        rays, eye = T_world_velo[:3, :3] @ self._velo_of_uvd, T_world_velo[:3, :3] @ self._eye_velo + T_world_velo[:3, 3]
        return shade.View(rays, eye, 1 / self.focal_px)

    def pixel(self, points: np.ndarray) -> np.ndarray:
        """points (N, 3) velodyne -> (N, 3) u v depth."""
        uvd = points @ self._view[:3, :3].T + self._view[:3, 3]
        return np.column_stack([uvd[:, :2] / uvd[:, 2:], uvd[:, 2]])

    def close(self) -> None:
        self.bands.close()


class Camera:
    def __init__(self, calibration: Calibration, threads: int = 1, eye: Eye | None = None) -> None:
        self.eye = Eye(calibration, threads) if eye is None else eye
        self.size = self.eye.size
        self._shadows = Grid((_SHADOW_CELLS, _SHADOW_CELLS), self.eye.bands, indexed=False)
        self._faces = np.empty((1024, shade.FACE))
        self._linear = shade.NO_LIGHT
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
        """By day. triangles (T, 3, 3) float64 [m, velodyne], colors (T, 3) float32 linear albedo 0..1, owners (T,) int64 (-1:
        none), materials (T,) int32 (materials.py, + raster.CLOSED if the back need not be drawn), sun (3,) unit vector towards
        the sun, world frame, above the horizon. T_world_velo: fixes the patterns of ground and walls; None: identity.
        T = 0 is an image of the sky. Writes into `out` if given."""
        triangles, materials = np.ascontiguousarray(triangles, np.float64), np.ascontiguousarray(materials, np.int32)
        T_world_velo = np.eye(4) if T_world_velo is None else T_world_velo
        lighting = DAYLIGHT._replace(sun=np.ascontiguousarray(sun, np.float64))
        self.eye.look(triangles, materials)
        return self.paint(triangles, colors, owners, materials, lighting, T_world_velo, out=out)

    def paint(
        self,
        triangles: np.ndarray,
        colors: np.ndarray,
        owners: np.ndarray,
        materials: np.ndarray,
        lighting: Lighting,
        T_world_velo: np.ndarray,
        shine: Shine | None = None,
        seed: int = 0,
        out: Picture | None = None,
    ) -> Picture:
        """As `render`, of what the eye has looked at, in any light. raster.CLOSED: the back casts no shadow of its own.
        shine: lamps, None without; seed: of the sensor's noise."""
        rows, columns = self.size
        if out is None:
            out = Picture(np.empty((rows, columns, 3), np.uint8), np.empty(self.size, np.float32), np.empty(self.size, np.int64))
        sun = lighting.sun
        if not sun[2] >= LOWEST_SUN:
            raise ValueError(f"camera: sun: needs a z of {LOWEST_SUN} or more, got {np.asarray(sun).tolist()}")
        colors, owners = np.ascontiguousarray(colors, np.float32), np.ascontiguousarray(owners, np.int64)
        kinds, grid, tones = materials & np.int32(raster.MATERIAL), self.eye.grid, lighting.tones
        if len(triangles) > len(self._faces):
            self._faces = np.empty((len(triangles) + len(triangles) // 4, shade.FACE))
        faces = self._faces[: len(triangles)]

        heights, corner = _NO_SHADOWS, np.zeros(2)
        if lighting.shadows:
            view, corner = self._sun_view(sun, T_world_velo)
            self._shadows.fill(triangles, materials, view, 0.5, -1, -np.inf)
            heights = self._shadows.values
        seen_from = self.eye.view(T_world_velo)
        shade.light(triangles, colors, kinds, MATERIALS.pattern, T_world_velo, seen_from.eye, sun, tones, grid.boxes, faces)
        surfaces = shade.Faces(owners, kinds, MATERIALS.pattern, faces)
        light, lamps = shade.Sun(sun, heights, corner, _SHADOW_CELL_M), shade.DARK if shine is None else shine.lamps
        linear = self._light() if lighting.sensor is not None else shade.NO_LIGHT
        target = out

        def draw(first: int, end: int) -> None:
            shade.shade(grid.values, grid.index, surfaces, seen_from, light, tones, lamps, first, end, target, linear)

        self.eye.bands(rows, draw)
        if lighting.sensor is not None:
            spots = np.empty((0, glare.SPOT)) if shine is None else shine.spots(self.eye.pixel, self.eye.focal_px, out.depth_m)
            exposure, veil, read, shot = lighting.sensor
            key = np.uint64(seed)

            def develop(first: int, end: int) -> None:
                glare.add_spots(linear, spots, first, end)
                glare.develop(linear, exposure, veil, read, shot, key, first, end, target.image)

            self.eye.bands(rows, develop)
        return out

    def close(self) -> None:
        self.eye.close()

    def _light(self) -> np.ndarray:
        if not len(self._linear):
            self._linear = np.empty((*self.size, 3), np.float32)
        return self._linear

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
