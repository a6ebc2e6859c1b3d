"""Training video from any driver with the ports image and panoptic_truth: read once, kept at the net's size.

A clip is `clip_frames` frames of one sequence, one after the other. The clips of batch b, their scale, place and flip follow from
seed, config and b alone; all frames of a clip are changed alike.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np

from operators.detect.scaled import scale_of, scaled
from operators.streams import CLASS_NAMES, VOID, Panoptic
from operators.train.panoptic.config import ClipsConfig, PanopticTrainConfig
from pipeline.errors import GraphError, InputError
from pipeline.frame import Header
from pipeline.operator import Source, prepare

MAX_BYTES = 4 * 2**30
_DRAW = 401  # key of the random numbers
_MOST_SEGMENTS = 2**15


class Frame(NamedTuple):
    """image (H, W, 3) uint8 and segments (H, W) int16, of the net's size; segment s, 1..S, has class classes[s] of the model, or
    VOID, and the identity identities[s] in its sequence, -1 = none. Segment 0 is void."""

    image: np.ndarray
    segments: np.ndarray
    classes: np.ndarray
    identities: np.ndarray
    sequence: str


class Clips:
    """All frames of a source, and where clips begin."""

    def __init__(self, source: type[Source], source_config: Any, data: ClipsConfig, config: PanopticTrainConfig) -> None:
        for port in ("image", "panoptic_truth"):
            if port not in source.outputs:
                known = ", ".join(source.outputs)
                raise GraphError(f"{data.driver}: needs the ports image and panoptic_truth to train on, has {known}")
        size, found = config.model.image_size, source.find(source_config)
        if found.frames is None or found.frames * size[0] * size[1] * 5 > MAX_BYTES:
            got = "endless ones" if found.frames is None else f"{found.frames}"
            raise InputError(
                f"{data.driver}: needs frames that fit into {MAX_BYTES / 2**30:.0f} GiB at {size[0]} x {size[1]}, got {got}; "
                "fewer frames?"
            )
        self._who, self._size, self._model = data.driver, size, config.model.class_names
        self._classes = {of: name for name in self._model for of in config.classes.get(name, [name])}
        self.frames = list(self._read(source, source_config, config.threads))
        length = config.clip_frames
        self.starts = [
            start
            for start in range(len(self.frames) - length + 1)
            if self.frames[start].sequence == self.frames[start + length - 1].sequence
        ]
        if not self.starts:
            raise InputError(
                f"{data.driver}: needs sequences of {length} frames with image and panoptic_truth, got {len(self.frames)} frames "
                "and no such sequence"
            )

    def _read(self, source: type[Source], source_config: Any, threads: int) -> Any:
        wanted = frozenset({"image", "panoptic_truth"})
        source.check_ports(self._who, source_config, wanted, wanted)
        reader = prepare(source(), self._who, source_config, threads=threads, wanted=wanted)
        reader.open(0)
        try:
            while (reading := reader.read()) is not None:
                image, truth = reading.values.get("image"), reading.values.get("panoptic_truth")
                if image is not None and truth is not None:
                    names = (reading.meta or {}).get("panoptic_truth", {}).get(CLASS_NAMES, self._model)
                    yield self._frame(image, truth, names, Header(self._who, 0, reading.item, 0).sequence)
        finally:
            reader.close()

    def _frame(self, image: np.ndarray, truth: Panoptic, names: Any, sequence: str) -> Frame:
        if len(truth.segment_ids) >= _MOST_SEGMENTS:
            raise InputError(f"{self._who}: needs fewer than {_MOST_SEGMENTS} segments a frame, got {len(truth.segment_ids)}")
        of_data = np.array([self._index(name) for name in names], np.int16)
        classes = np.concatenate([[VOID], of_data[truth.labels]]).astype(np.int16)
        identities = np.concatenate([[-1], truth.track_ids]).astype(np.int64)
        number = np.zeros(int(truth.panoptic.max(initial=0)) + 1, np.int16)
        number[truth.segment_ids[truth.segment_ids < len(number)]] = 1 + np.flatnonzero(truth.segment_ids < len(number))
        return Frame(scaled(image, self._size), self._scaled(number[truth.panoptic]), classes, identities, sequence)

    def _index(self, name: str) -> int:
        """Class of the model, VOID where it has none."""
        return self._model.index(self._classes[name]) if name in self._classes else VOID

    def _scaled(self, segments: np.ndarray) -> np.ndarray:
        """As `scaled`, nearest neighbour; outside of the picture void."""
        height, width = segments.shape
        scale = scale_of(height, width, self._size)
        inner = max(round(width * scale), 1), max(round(height * scale), 1)
        out = np.zeros((self._size[1], self._size[0]), np.int16)
        out[: inner[1], : inner[0]] = cv2.resize(segments, inner, interpolation=cv2.INTER_NEAREST_EXACT)
        return out


class Batch(NamedTuple):
    """images (B, H, W, 3) uint8, segments (B, H, W) int16; per picture: classes, identities as in Frame; B = batch * clip_frames,
    the frames of a clip one after the other"""

    images: np.ndarray
    segments: np.ndarray
    classes: list[np.ndarray]
    identities: list[np.ndarray]


def batch(clips: Clips, config: PanopticTrainConfig, number: int) -> Batch:
    """Batch `number` of the training."""
    rng = np.random.Generator(np.random.PCG64([config.seed, _DRAW, number]))
    width, height = config.model.image_size
    images, segments, drawn = [], [], []
    for start in rng.choice(clips.starts, config.batch).tolist():
        scale = float(np.exp(rng.uniform(*np.log(config.scale))))
        flip = rng.random() < config.flip
        spare = np.array([width, height]) * (1 - scale)  # > 0: what is left beside the picture; < 0: what is cut
        left, top = (spare * rng.random(2)).tolist()
        gain = 1 + config.brightness * rng.uniform(-1, 1)
        brighter = np.clip(np.rint(np.arange(256) * gain), 0, 255).astype(np.uint8)
        move = np.array([[-scale, 0, width - 1 - left], [0, scale, top]] if flip else [[scale, 0, left], [0, scale, top]])
        for frame in clips.frames[start : start + config.clip_frames]:
            moved = cv2.warpAffine(frame.image, move, (width, height), flags=cv2.INTER_LINEAR)
            images.append(cv2.LUT(moved, brighter))
            segments.append(cv2.warpAffine(frame.segments, move, (width, height), flags=cv2.INTER_NEAREST))
            drawn.append(frame)
    return Batch(np.stack(images), np.stack(segments), [f.classes for f in drawn], [f.identities for f in drawn])
