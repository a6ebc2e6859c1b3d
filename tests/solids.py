"""Volume and closedness of a set of triangles: the oracle of meshes."""

from __future__ import annotations

from collections import Counter

import numpy as np


def volume(triangles: np.ndarray) -> float:
    """Enclosed volume [m3]; negative if the faces point inwards."""
    return float(np.einsum("ij,ij->", triangles[:, 0], np.cross(triangles[:, 1], triangles[:, 2]))) / 6


def open_edges(triangles: np.ndarray) -> int:
    """Number of edges without equal counts of both directions: 0 for a closed mesh with consistent orientation."""
    edges: Counter[tuple[int, int]] = Counter()
    for a, b, c in _numbered(triangles).tolist():
        edges.update([(a, b), (b, c), (c, a)])
    return sum(edges[a, b] != edges[b, a] for a, b in edges)


def parts(triangles: np.ndarray) -> list[np.ndarray]:
    """Splits the triangles into pieces that share no corner."""
    corners = _numbered(triangles)
    piece = np.arange(corners.max(initial=-1) + 1)
    while True:
        smallest = piece[corners].min(1, keepdims=True)
        before = piece.copy()
        np.minimum.at(piece, corners, np.broadcast_to(smallest, corners.shape))
        if (piece == before).all():
            return [triangles[piece[corners[:, 0]] == p] for p in np.unique(piece)]


def areas(triangles: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1) / 2


def _numbered(triangles: np.ndarray) -> np.ndarray:
    """(T, 3): the same number for the same corner, to the nanometre."""
    _, numbers = np.unique(np.round(triangles.reshape(-1, 3), 9) + 0.0, axis=0, return_inverse=True)
    return numbers.reshape(-1, 3)
