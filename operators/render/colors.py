"""Colours of a picture, RGB."""

from __future__ import annotations

import colorsys
import zlib

import cv2
import numpy as np

from operators.streams import CLASSES

Color = tuple[int, int, int]

BACKGROUND: Color = (16, 18, 22)
GRID: Color = (44, 48, 56)
TEXT: Color = (225, 228, 232)
DETECTION: Color = (150, 150, 150)
OF_CLASS: tuple[Color, ...] = (
    (80, 200, 255),  # Car
    (255, 110, 110),  # Pedestrian
    (255, 200, 60),  # Cyclist
    (110, 235, 140),  # Van
    (200, 140, 255),  # Truck
    (255, 150, 190),  # Person_sitting
    (150, 255, 230),  # Tram
    (210, 210, 140),  # Misc
)
"""By label, in the order of streams.CLASSES."""

RAMP = cv2.applyColorMap(np.arange(256, dtype=np.uint8), cv2.COLORMAP_TURBO).reshape(256, 3)[:, ::-1].copy()
"""(256, 3) uint8: blue, green, yellow, red."""


def of_modality(number: int) -> Color:
    """The first modality red and the second blue, as the ends of the ramp in which a gate is drawn; further ones green."""
    red, green, blue = RAMP[(235, 20, 128, 90)[number % 4]].tolist()
    return red, green, blue


def of_labels(labels: np.ndarray) -> list[Color]:
    """(M,) -> M colours; labels outside the table are grey."""
    return [OF_CLASS[label] if 0 <= label < len(OF_CLASS) else DETECTION for label in labels.tolist()]


def of_name(name: str) -> Color:
    """Of one of our classes, or a fixed one of any other name."""
    if name in CLASSES:
        return OF_CLASS[CLASSES.index(name)]
    hue = zlib.crc32(name.encode()) / 2**32
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.6, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """(N,) -> (N, 3) uint8; values outside low..high get the ends of the ramp."""
    level = np.clip((values - low) * (255.0 / (high - low)), 0.0, 255.0)
    return RAMP[level.astype(np.uint8)]
