"""Training pairs from any driver with the ports of the modalities and truth: read once, kept at the net's size.

The pairs of batch b, their flips and their damage follow from seed, config and b alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np

from operators.augment import pictures
from operators.augment.shadows_highlights import shadows_highlights
from operators.detect.scaled import scale_of, scaled
from operators.fuse.gate import seen
from operators.streams import Truth
from operators.train.fairmot.clips import visible_share
from operators.train.fusion.config import CorruptConfig, FusionTrainConfig, PairsConfig
from operators.train.scenes import IGNORED, class_table
from pipeline.errors import GraphError, InputError
from pipeline.operator import Source, prepare

MAX_BYTES = 4 * 2**30
_DRAW = 301  # key of the random numbers
_LARGEST_BLUR = 0.02  # sigma at level 1, as a share of the picture's width


class Pair(NamedTuple):
    """pictures: per modality (H, W, 3) or (H, W) uint8 of the net's size; boxes (M, 4) float64 x1 y1 x2 y2 in its pixels;
    classes (M,) of the model or IGNORED"""

    pictures: tuple[np.ndarray, ...]
    boxes: np.ndarray
    classes: np.ndarray


class Batch(NamedTuple):
    """pictures: per modality (B, H, W, 3) or (B, H, W) uint8; present (B, S) bool; boxes, classes: per picture, as in Pair"""

    pictures: tuple[np.ndarray, ...]
    present: np.ndarray
    boxes: list[np.ndarray]
    classes: list[np.ndarray]


def read_pairs(source: type[Source], source_config: Any, data: PairsConfig, config: FusionTrainConfig) -> list[Pair]:
    """All pairs of a source. Readings that lack a modality or truth are left out; InputError where none is left."""
    names, size = config.model.modalities, config.model.image_size
    for port in (*names, "truth"):
        if port not in source.outputs:
            known = ", ".join(source.outputs)
            raise GraphError(f"{data.driver}: needs the ports {', '.join(names)} and truth to train on, has {known}")
    frames, channels = source.find(source_config).frames, sum(3 if name == "image" else 1 for name in names)
    if frames is None or frames * size[0] * size[1] * channels > MAX_BYTES:
        got = "endless ones" if frames is None else f"{frames}"
        raise InputError(
            f"{data.driver}: needs pairs that fit into {MAX_BYTES / 2**30:.0f} GiB at {size[0]} x {size[1]}, got {got}; "
            "fewer frames?"
        )
    table = class_table(config.model.class_names, config.classes)
    wanted = frozenset({*names, "truth"})
    source.check_ports(data.driver, source_config, wanted, wanted)
    reader = prepare(source(), data.driver, source_config, threads=config.threads, wanted=wanted)
    reader.open(0)
    pairs = []
    try:
        while (reading := reader.read()) is not None:
            values = [reading.values.get(name) for name in names]
            truth = reading.values.get("truth")
            if truth is not None and all(value is not None for value in values):
                pairs.append(_pair(names, values, truth, size, data, table))
    finally:
        reader.close()
    if not any((pair.classes != IGNORED).any() for pair in pairs):
        needs = ", ".join(config.classes)
        raise InputError(f"{data.driver}: needs pairs with objects of {needs} to learn from, got none in {len(pairs)} pairs")
    return pairs


def _pair(
    names: tuple[str, ...], values: list[Any], truth: Truth, size: tuple[int, int], data: PairsConfig, table: np.ndarray
) -> Pair:
    height, width = values[0].shape[:2]
    boxes = truth.boxes2d.astype(np.float64) * scale_of(height, width, size)
    there = ((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])).nonzero()[0]  # NaN is not
    boxes, labels = boxes[there], truth.labels[there]
    nearness = -np.nan_to_num(np.linalg.norm(truth.boxes3d[there, :3], axis=1), nan=np.inf)
    hard = boxes[:, 3] - boxes[:, 1] < data.min_height_px
    hard |= (truth.occluded[there] > data.max_occluded) | (truth.truncated[there] > data.max_truncated)
    hard |= visible_share(boxes, nearness) < data.min_visible
    classes = np.where(hard | (labels < 0), IGNORED, table[labels])
    return Pair(tuple(scaled(seen(n, v), size) for n, v in zip(names, values, strict=True)), boxes, classes)


def batch(pairs: list[Pair], config: FusionTrainConfig, number: int) -> Batch:
    """Batch `number` of the training."""
    rng = np.random.Generator(np.random.PCG64([config.seed, _DRAW, number]))
    num = len(config.model.modalities)
    present = np.ones((config.batch, num), bool)
    drawn, boxes, classes = [], [], []
    for row, index in enumerate(rng.integers(len(pairs), size=config.batch).tolist()):
        shown, places = list(pairs[index].pictures), pairs[index].boxes
        if rng.random() < config.flip:
            last = shown[0].shape[1] - 1
            shown = [picture[:, ::-1] for picture in shown]
            places = np.stack([last - places[:, 2], places[:, 1], last - places[:, 0], places[:, 3]], 1)
        shown = [_brighter(picture, 1 + config.brightness * rng.uniform(-1, 1)) for picture in shown]
        if config.shadows_highlights is not None and "image" in config.model.modalities:
            shown[0] = shadows_highlights(np.ascontiguousarray(shown[0]), config.shadows_highlights, rng)
        if config.corrupt is not None and rng.random() < config.corrupt.p:
            m = int(rng.integers(num))
            shown[m] = damaged(np.ascontiguousarray(shown[m]), config.corrupt, rng)
        if config.drop and rng.random() < config.drop:
            present[row, rng.integers(num)] = False
        drawn.append(shown)
        boxes.append(places)
        classes.append(pairs[index].classes)
    return Batch(tuple(np.stack([shown[m] for shown in drawn]) for m in range(num)), present, boxes, classes)


def damaged(picture: np.ndarray, config: CorruptConfig, rng: np.random.Generator) -> np.ndarray:
    """One corruption; levels are drawn evenly up to the largest one."""
    kind, level = config.kinds[int(rng.integers(len(config.kinds)))], config.level * rng.uniform(0.1, 1.0)
    if kind == "blackout":
        return pictures.blackout(picture, level)
    if kind == "whiteout":
        return pictures.whiteout(picture, level)
    if kind == "glare":
        return pictures.glare(picture, level, rng)
    if kind == "noise":
        return pictures.noise(picture, 0.5 * level, rng)
    if kind == "salt_and_pepper":
        return pictures.salt_and_pepper(picture, 0.5 * level, rng)
    return cv2.GaussianBlur(picture, (0, 0), max(_LARGEST_BLUR * level * picture.shape[1], 0.3))


def _brighter(picture: np.ndarray, gain: float) -> np.ndarray:
    return cv2.LUT(np.ascontiguousarray(picture), np.clip(np.rint(np.arange(256) * gain), 0, 255).astype(np.uint8))
