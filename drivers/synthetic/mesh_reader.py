"""Reads one mesh with Open3D. Runs in a process of its own, whose memory is limited: Open3D and Assimp trust a file's counts, and
crash on some damaged files.

stdout: npz of corners (V, 3) float64 and triangles (T, 3) int64, empty if there are none.
Exit 1: the line of stderr that begins with the file says why.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import numpy as np

from drivers.extra import load_open3d
from pipeline.errors import PipeError

MEMORY_BYTES, MEMORY_PER_BYTE = 1 << 30, 200
"""Memory to read with, and more per byte of the file."""


def main(path: str) -> None:
    out = os.dup(1)
    os.dup2(2, 1)  # libraries print there
    try:
        open3d = load_open3d(path)
        _limit_memory(os.path.getsize(path))
        mesh = open3d.t.io.read_triangle_mesh(path)
    except (PipeError, OSError) as error:
        sys.exit(f"{error}")
    except (RuntimeError, IndexError, MemoryError):  # Assimp raises `_Map_base::at` for files it cannot read
        sys.exit(f"{path}: needs a mesh that Open3D can read, got one it cannot; damaged?")
    whole = "positions" in mesh.vertex and "indices" in mesh.triangle
    corners = mesh.vertex["positions"].numpy() if whole else np.empty((0, 3))
    triangles = mesh.triangle["indices"].numpy() if whole else np.empty((0, 3))
    with os.fdopen(out, "wb") as file:
        np.savez(file, corners=corners.astype(np.float64), triangles=triangles.astype(np.int64))


def _limit_memory(size: int) -> None:
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = taken + MEMORY_BYTES + MEMORY_PER_BYTE * size
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
