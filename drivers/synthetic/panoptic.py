"""Panoptic truth of a scene: the class of each triangle, the segments of a picture, the facts that name the classes.

A thing is an object with a track id. Stuff is what the material says, one segment per class. Nothing is left out for its size:
a thing of one pixel is a segment of one pixel. What pedestrians push or draw is of the class `object`, as pixel_ids has it.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from drivers.synthetic.materials import MATERIALS
from drivers.synthetic.scene import Scene
from operators.kernels import raster
from operators.panoptic_classes import WORLD_CLASSES, WORLD_STUFF, WORLD_THINGS
from operators.streams import CLASS_NAMES, CLASSES, THINGS, VOID, Panoptic

FACTS = {CLASS_NAMES: list(WORLD_CLASSES), THINGS: list(WORLD_THINGS)}
_SURFACES = {
    "road": ("ASPHALT", "LANE_MARK"),
    "sidewalk": ("SIDEWALK", "KERB"),
    "terrain": ("GRASS", "SOIL"),
    "building": ("BUILDING", "WINDOW", "ROOF"),
    "fence": ("WALL", "FENCE"),
    "vegetation": ("FOLIAGE", "TRUNK"),
    "pole": ("POLE", "SIGN"),
}
"""The other materials are of `object`, where no object with a track id has them."""
_OBJECTS = {"Car": "Car", "Van": "Car", "Truck": "Truck", "Pedestrian": "Pedestrian", "Cyclist": "Cyclist"}
_STUFF_OF = np.full(len(MATERIALS.names), WORLD_CLASSES.index("object"), np.uint8)
for _name, _of in _SURFACES.items():
    _STUFF_OF[[MATERIALS.names.index(material) for material in _of]] = WORLD_CLASSES.index(_name)
_THING_OF = np.array([WORLD_CLASSES.index(_OBJECTS[name]) if name in _OBJECTS else VOID for name in CLASSES], np.uint8)
_SKY, _STUFF = WORLD_CLASSES.index("sky"), len(WORLD_STUFF)


def classes_of(scene: Scene, unlabelled: Collection[str] = ()) -> np.ndarray:
    """(T,) uint8 index into WORLD_CLASSES of each triangle; VOID for objects of the classes `unlabelled`, of CLASSES."""
    thing_of = np.where(np.isin(CLASSES, list(unlabelled)), np.uint8(VOID), _THING_OF)
    stuff = _STUFF_OF[scene.materials & np.int32(raster.MATERIAL)]
    if not len(scene.objects.labels):
        return stuff
    return np.where(scene.owners >= 0, thing_of[scene.objects.labels][scene.owners], stuff)


def segments(index: np.ndarray, scene: Scene, classes: np.ndarray, panoptic: np.ndarray) -> Panoptic:
    """index (H, W) int32: nearest triangle of each pixel, raster.NOTHING for the sky; classes (T,) of `classes_of`. Writes the
    map (H, W) int32. Segments: stuff in the order of its classes, then things in the order of the scene's objects."""
    # a code per triangle: 0 void, 1.. stuff by class, then things by object; the last one is the sky, where index is -1
    codes = np.where(scene.owners >= 0, scene.owners + (1 + _STUFF), 1 + classes.astype(np.int64))
    codes[classes == VOID] = 0
    codes = np.append(codes, 1 + _SKY)
    seen = np.bincount(index.ravel() + 1, minlength=len(codes)) > 0  # the sky first
    there = np.zeros(1 + _STUFF + len(scene.objects.labels), np.bool_)
    there[codes[np.roll(seen, -1)]] = True
    there[0] = False
    found = np.flatnonzero(there)
    ids = np.zeros(len(there), np.int32)
    ids[found] = np.arange(1, len(found) + 1)
    np.take(ids[codes], index, out=panoptic, mode="wrap")
    of = found - (1 + _STUFF)
    things = of >= 0
    labels = found - 1
    labels[things] = _THING_OF[scene.objects.labels[of[things]]]
    track_ids = np.full(len(found), -1, np.int64)
    track_ids[things] = scene.objects.track_ids[of[things]]
    return Panoptic(panoptic, ids[found], labels.astype(np.int32), np.ones(len(found), np.float32), track_ids)
