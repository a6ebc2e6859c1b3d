"""What harsh light and failing cameras do to a picture: functions of (picture, level), some with a random generator.

picture  (H, W, 3) uint8, (H, W) uint8, or (H, W) uint16 counts; results are new arrays of the same shape and type
"""

from __future__ import annotations

import numpy as np

from operators.augment.shadows_highlights import ShadowsHighlightsConfig, scaled, shadows_highlights


def blackout(picture: np.ndarray, level: float) -> np.ndarray:
    """Every value times 1 - level: 1 = black, as of a sensor that delivers nothing."""
    return scaled(picture, 1.0 - level)


def whiteout(picture: np.ndarray, level: float) -> np.ndarray:
    """Every value moved by `level` of its way to white: 1 = the type's largest value, as of a blinded sensor."""
    most = np.iinfo(picture.dtype).max
    return (most - scaled(most - picture, 1.0 - level)).astype(picture.dtype)


def glare(picture: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """Random shadows-highlights that always changes the picture; at level 1 shadows of 0.01..0.5, highlights of 2..3 times."""
    shadow, highlight = (1 - 0.99 * level, 1 - 0.5 * level), (1 + level, 1 + 2 * level)
    return shadows_highlights(picture, ShadowsHighlightsConfig(p=1.0, shadow=shadow, highlight=highlight), rng)


def noise(picture: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise, sigma = level * 255; of uint16 counts: level * (largest - smallest count of the picture)."""
    scale = 255.0 if picture.dtype == np.uint8 else float(np.ptp(picture)) if picture.size else 0.0
    noisy = picture + rng.standard_normal(picture.shape, np.float32) * np.float32(level * scale)
    return np.clip(np.rint(noisy), 0, np.iinfo(picture.dtype).max).astype(picture.dtype)


def salt_and_pepper(picture: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """A share `level` of the pixels is black or white, half of them each."""
    drawn = rng.random(picture.shape[:2], np.float32)
    changed = picture.copy()
    changed[drawn < level / 2] = 0
    changed[(drawn >= level / 2) & (drawn < level)] = np.iinfo(picture.dtype).max
    return changed


def shift(picture: np.ndarray, level_px: float, angle_rad: float) -> np.ndarray:
    """The content moved by whole pixels in one direction, 0 = to the right, towards down; what comes into view is black."""
    height, width = picture.shape[:2]
    right, down = round(level_px * float(np.cos(angle_rad))), round(level_px * float(np.sin(angle_rad)))
    moved = np.zeros_like(picture)
    if abs(right) < width and abs(down) < height:
        to = slice(max(0, down), height + min(0, down)), slice(max(0, right), width + min(0, right))
        at = slice(max(0, -down), height + min(0, -down)), slice(max(0, -right), width + min(0, -right))
        moved[to] = picture[at]
    return moved
