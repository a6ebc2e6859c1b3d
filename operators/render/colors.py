"""Colours of a picture, RGB."""

from __future__ import annotations

import colorsys
import zlib

import cv2
import numpy as np

from operators.streams import CLASSES

Color = tuple[int, int, int]

_GOLDEN, _HUES = 0.6180339887498949, 1 << 20

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

OF_STUFF: dict[str, Color] = {
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "terrain": (152, 251, 152),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "vegetation": (107, 142, 35),
    "pole": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "sky": (70, 130, 180),
    "object": (111, 74, 0),
}
"""Of a panoptic picture: Cityscapes' colours, in which papers show their figures."""

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


def of_stuff(name: str) -> Color:
    return OF_STUFF.get(name.lower()) or of_name(name)


def of_track(track_id: int) -> Color:
    """The same in every frame; ids that follow each other differ most."""
    red, green, blue = colorsys.hsv_to_rgb(track_id % _HUES * _GOLDEN % 1.0, 0.75, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """(N,) -> (N, 3) uint8; values outside low..high get the ends of the ramp."""
    level = np.clip((values - low) * (255.0 / (high - low)), 0.0, 255.0)
    return RAMP[level.astype(np.uint8)]
