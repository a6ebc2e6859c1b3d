"""Frames of `pipe bench panoptic`, in memory as the slots of a graph have it."""

from __future__ import annotations

import mmap
import os

import numpy as np

from operators.fuse.panoptic_fusion import Objects

CLASSES, STUFF, INSTANCES, SHAPE = 19, 11, 100, (1024, 2048)
SEGMENTS = 80


def slot(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Shared memory with all its pages, as a slot of a pool."""
    fd, size = os.memfd_create("bench"), int(np.prod(shape)) * np.dtype(dtype).itemsize
    os.ftruncate(fd, size)
    array: np.ndarray = np.frombuffer(mmap.mmap(fd, size), dtype).reshape(shape)
    os.close(fd)
    array[...] = 0
    return array


def scene(rng: np.random.Generator) -> tuple[np.ndarray, Objects]:
    """Logits of smooth regions with noise; round masks in boxes of all shapes."""
    logits = slot((CLASSES, *SHAPE), np.float32)
    for plane in logits:
        coarse = rng.normal(0, 4, (SHAPE[0] // 64, SHAPE[1] // 64)).astype(np.float32)
        plane[...] = np.kron(coarse, np.ones((64, 64), np.float32)) + rng.normal(0, 1, SHAPE).astype(np.float32)
    sides = rng.uniform(60, 240, (INSTANCES, 2))
    sides *= 150 / sides.mean(0)
    corner = rng.uniform(0, 1, (INSTANCES, 2)) * (np.array(SHAPE[::-1]) - sides - 1)
    across = np.linspace(-1, 1, 28)
    masks = 3 - 4 * (across[:, None] ** 2 + across**2) + rng.normal(0, 0.5, (INSTANCES, 28, 28))
    scores = rng.uniform(0.5, 1, INSTANCES).astype(np.float32)
    boxes = np.concatenate([corner, corner + sides], 1).astype(np.float32)
    return logits, Objects(boxes, scores, rng.integers(STUFF, CLASSES, INSTANCES), masks.astype(np.float32))


def ragged(rng: np.random.Generator) -> np.ndarray:
    """(H, W) int32 ids 1..SEGMENTS: the nearest of random centres, with borders that are rough at 4 px and at 1 px."""
    coarse = np.kron(rng.normal(0, 3, (2, SHAPE[0] // 4, SHAPE[1] // 4)), np.ones((1, 4, 4)))
    rows, columns = (np.indices(SHAPE) + coarse + rng.normal(0, 0.7, (2, *SHAPE))).astype(np.float32)
    best, ids = np.full(SHAPE, np.inf, np.float32), np.zeros(SHAPE, np.int32)
    for k, (y, x) in enumerate(rng.uniform(0, SHAPE, (SEGMENTS, 2)), start=1):
        far = (rows - np.float32(y)) ** 2 + (columns - np.float32(x)) ** 2
        ids[far < best] = k
        best = np.minimum(best, far)
    return ids


def segments() -> tuple[np.ndarray, ...]:
    ids = np.arange(1, SEGMENTS + 1, dtype=np.int32)
    return ids, ids % CLASSES, np.ones(SEGMENTS, np.float32), ids.astype(np.int64)
