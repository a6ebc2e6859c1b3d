"""Pictures of any size -> the input size of a net: same aspect ratio, top left corner, the rest black."""

from __future__ import annotations

import cv2
import numpy as np


def scale_of(height: int, width: int, size: tuple[int, int]) -> float:
    """Pixels of the net's picture per pixel of the given one; size: width, height of the net's picture."""
    return min(size[0] / width, size[1] / height)


def scaled(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) or (H, W) uint8 -> as many channels, of size (width, height)."""
    height, width = image.shape[:2]
    scale = scale_of(height, width, size)
    inner = max(round(width * scale), 1), max(round(height * scale), 1)
    out = np.zeros((size[1], size[0], *image.shape[2:]), np.uint8)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    out[: inner[1], : inner[0]] = image if inner == (width, height) else cv2.resize(image, inner, interpolation=way)
    return out
