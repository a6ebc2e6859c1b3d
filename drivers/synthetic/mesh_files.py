"""Triangles of mesh files, read by Open3D (mesh_reader.py, a process for each file) and placed in one world."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from operators import folders
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


TIMEOUT_S, S_PER_MB = 60.0, 2.0
"""Time to read a file, and more per MB of it."""


def load(files: list[Path], poses: list[Pose], turn: np.ndarray) -> Meshes:
    """turn (3, 3): from the axes and unit of the files into ours. A file listed twice is read once."""
    read: dict[Path, tuple[np.ndarray, np.ndarray]] = {}
    corners, triangles, owners, num_corners = [], [], [], 0
    for number, (path, pose) in enumerate(zip(files, poses, strict=True)):
        if path not in read:
            read[path] = _read(path)
        points, faces = read[path]
        corners.append(points @ (rotation_z(pose.yaw) @ turn * pose.scale).T + (pose.x, pose.y, pose.z))
        triangles.append(faces + num_corners)
        owners.append(np.full(len(faces), number))
        num_corners += len(points)
    return Meshes(np.concatenate(corners), np.concatenate(triangles), np.concatenate(owners))


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """corners (V, 3) float64, triangles (T, 3) int64, T > 0."""
    program = f"import sys; sys.path[:] = {sys.path!r}; from drivers.synthetic.mesh_reader import main; main({str(path)!r})"
    try:
        timeout_s = TIMEOUT_S + S_PER_MB * folders.size(path) / 1e6
        done = subprocess.run(
            [sys.executable, "-I", "-c", program], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False
        )
    except OSError as error:
        raise InputError(f"{path}: needs a process to read it, got {error.strerror}") from error
    except subprocess.TimeoutExpired:
        raise InputError(f"{path}: needs a mesh that Open3D reads within {timeout_s:.0f} s, got none; damaged?") from None
    if done.returncode:
        said = (line for line in done.stderr.decode(errors="replace").splitlines() if line.startswith(f"{path}: "))
        raise InputError(next(said, f"{path}: needs a mesh that Open3D can read, got one that it breaks on; damaged?"))
    with np.load(io.BytesIO(done.stdout)) as read:
        corners, triangles = read["corners"], read["triangles"]
    if not len(triangles):
        raise InputError(f"{path}: needs triangles, got none; damaged, or a point cloud (driver: clouds)?")
    if triangles.min() < 0 or triangles.max() >= len(corners):
        raise InputError(f"{path}: needs triangles of its {len(corners)} corners, got one of corner {triangles.max()}")
    if not np.isfinite(corners).all():
        raise InputError(f"{path}: needs finite corners, got {int((~np.isfinite(corners)).any(1).sum())} with NaN or infinity")
    return corners, triangles
