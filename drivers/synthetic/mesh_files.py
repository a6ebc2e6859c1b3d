"""Triangles of mesh files, read by Open3D and placed in one world."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from operators.geometry.transforms import rotation_z
from pipeline.errors import InputError

SUFFIXES = (".ply", ".obj", ".stl", ".off", ".glb", ".gltf")


class Pose(NamedTuple):
    """Scale, then rotation about +z, then shift."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    yaw: float = 0.0
    scale: float = 1.0


class Meshes(NamedTuple):
    """corners (V, 3) float64 [m], triangles (T, 3) int64 index into them, owners (T,) int64 number of the mesh."""

    corners: np.ndarray
    triangles: np.ndarray
    owners: np.ndarray


def load(open3d: Any, files: list[Path], poses: list[Pose], turn: np.ndarray) -> Meshes:
    """turn (3, 3): from the axes and unit of the files into ours. A file listed twice is read once."""
    read: dict[Path, tuple[np.ndarray, np.ndarray]] = {}
    corners, triangles, owners, num_corners = [], [], [], 0
    for number, (path, pose) in enumerate(zip(files, poses, strict=True)):
        if path not in read:
            read[path] = _read(open3d, path)
        points, faces = read[path]
        corners.append(points @ (rotation_z(pose.yaw) @ turn * pose.scale).T + (pose.x, pose.y, pose.z))
        triangles.append(faces + num_corners)
        owners.append(np.full(len(faces), number))
        num_corners += len(points)
    return Meshes(np.concatenate(corners), np.concatenate(triangles), np.concatenate(owners))


def _read(open3d: Any, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """corners (V, 3) float64, triangles (T, 3) int64, T > 0."""
    try:
        mesh = open3d.t.io.read_triangle_mesh(str(path))
    except (RuntimeError, IndexError) as error:  # Assimp raises `_Map_base::at` for files it cannot read
        raise InputError(f"{path}: needs a mesh that Open3D can read, got one it cannot; damaged?") from error
    if "positions" not in mesh.vertex or "indices" not in mesh.triangle or not len(mesh.triangle["indices"]):
        raise InputError(f"{path}: needs triangles, got none; damaged, or a point cloud (driver: clouds)?")
    corners = mesh.vertex["positions"].numpy().astype(np.float64)
    triangles = mesh.triangle["indices"].numpy().astype(np.int64)
    if triangles.min() < 0 or triangles.max() >= len(corners):
        raise InputError(f"{path}: needs triangles of its {len(corners)} corners, got one of corner {triangles.max()}")
    if not np.isfinite(corners).all():
        raise InputError(f"{path}: needs finite corners, got {int((~np.isfinite(corners)).any(1).sum())} with NaN or infinity")
    return corners, triangles
