"""Training video from any driver with the ports image and truth: read once, kept at the net's size.

An identity is an object of a sequence: (sequence, track id). Batches are drawn at random from all frames. The frames of batch b
follow from seed, config and b alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from operators.detect.scaled import scale_of, scaled
from operators.streams import CLASSES, Truth
from operators.train.config import PicturesConfig
from operators.train.fairmot.config import FairmotTrainConfig
from operators.train.fairmot.targets import IGNORED, Targets, targets
from pipeline.errors import GraphError, InputError
from pipeline.frame import Header
from pipeline.operator import Source, prepare

MAX_BYTES = 4 * 2**30
_DRAW = 201  # key of the random numbers


class Frame(NamedTuple):
    """image (H, W, 3) uint8 of the net's size; boxes (M, 4) float64 in its pixels; classes (M,) of the model or IGNORED;
    identities (M,) int64, -1 where ignored; sequence it belongs to."""

    image: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    identities: np.ndarray
    sequence: str


class Clips:
    """All frames of a source. `num_identities` counts the objects that are not ignored."""

    def __init__(self, source: type[Source], source_config: Any, video: PicturesConfig, config: FairmotTrainConfig) -> None:
        for port in ("image", "truth"):
            if port not in source.outputs:
                raise GraphError(f"{video.driver}: needs the ports image and truth to train on, has {', '.join(source.outputs)}")
        size, found = config.model.image_size, source.find(source_config)
        if found.frames is None or found.frames * size[0] * size[1] * 3 > MAX_BYTES:
            raise InputError(
                f"{video.driver}: needs video that fits into {MAX_BYTES / 2**30:.0f} GiB at {size[0]} x {size[1]}, got "
                f"{'an endless one' if found.frames is None else f'{found.frames} frames'}; fewer frames?"
            )
        self._who, self._numbers, self.frames = video.driver, dict[tuple[str, int], int](), list[Frame]()
        self._video, self._size = video, size
        self._table = np.full(len(CLASSES), IGNORED)
        for index, name in enumerate(config.model.class_names):
            self._table[[CLASSES.index(label) for label in config.classes[name]]] = index
        self._read(source, source_config)
        if not self._numbers:
            raise InputError(
                f"{video.driver}: needs objects of {', '.join(config.classes)} to learn from, got none in its frames"
            )

    @property
    def num_identities(self) -> int:
        return len(self._numbers)

    def _read(self, source: type[Source], source_config: Any) -> None:
        wanted = frozenset({"image", "truth"})
        source.check_ports(self._who, source_config, wanted, wanted)
        reader = prepare(source(), self._who, source_config, wanted=wanted)
        reader.open(0)
        try:
            while (reading := reader.read()) is not None:
                image, truth = reading.values.get("image"), reading.values.get("truth")
                if image is not None and truth is not None:
                    sequence = Header(self._who, 0, reading.item, 0).sequence
                    self.frames.append(self._frame(image, truth, sequence))
        finally:
            reader.close()

    def _frame(self, image: np.ndarray, truth: Truth, sequence: str) -> Frame:
        boxes = truth.boxes2d.astype(np.float64) * scale_of(image.shape[0], image.shape[1], self._size)
        seen = ((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])).nonzero()[0]  # NaN is not
        boxes, video = boxes[seen], self._video
        labels = truth.labels[seen]
        classes = np.where(labels >= 0, self._table[labels], IGNORED)
        nearness = -np.nan_to_num(np.linalg.norm(truth.boxes3d[seen, :3], axis=1), nan=np.inf)
        hard = boxes[:, 3] - boxes[:, 1] < video.min_height_px
        hard |= (truth.occluded[seen] > video.max_occluded) | (truth.truncated[seen] > video.max_truncated)
        hard |= visible_share(boxes, nearness) < video.min_visible
        classes = np.where(hard, IGNORED, classes)
        identities = np.full(len(boxes), -1, np.int64)
        for row, track_id in enumerate(truth.track_ids[seen].tolist()):
            if classes[row] != IGNORED and track_id >= 0:
                identities[row] = self._numbers.setdefault((sequence, track_id), len(self._numbers))
        return Frame(scaled(image, self._size), boxes, classes, identities, sequence)


def visible_share(boxes: np.ndarray, nearness: np.ndarray) -> np.ndarray:
    """Boxes (M, 4) of positive size, nearness (M,) -> (M,): share of each box that no nearer box covers, on a grid of 16 x 16."""
    share = np.ones(len(boxes))
    steps = (np.arange(16) + 0.5) / 16
    for m, (x1, y1, x2, y2) in enumerate(boxes):
        x, y = x1 + steps * (x2 - x1), y1 + steps * (y2 - y1)
        covered = np.zeros((16, 16), bool)
        for a1, b1, a2, b2 in boxes[nearness > nearness[m]]:
            covered |= ((y >= b1) & (y <= b2))[:, None] & ((x >= a1) & (x <= a2))
        share[m] = 1 - covered.mean()
    return share


class Batch(NamedTuple):
    """images (B, H, W, 3) uint8; where (N, 3) int64 [picture, row, column]; the other fields as in Targets, stacked or
    concatenated"""

    images: np.ndarray
    heat: np.ndarray
    counts: np.ndarray
    where: np.ndarray
    size: np.ndarray
    offset: np.ndarray
    identities: np.ndarray


def batch(clips: Clips, config: FairmotTrainConfig, number: int) -> Batch:
    """Batch `number` of the training."""
    random = np.random.Generator(np.random.PCG64([config.seed, _DRAW, number]))
    images, parts = [], []
    for index in random.integers(len(clips.frames), size=config.batch).tolist():
        frame = clips.frames[index]
        image, boxes = frame.image, frame.boxes
        if random.random() < config.flip:
            image, boxes = flipped(image, boxes)
        gain = 1 + config.brightness * random.uniform(-1, 1)
        images.append(np.clip(image * gain, 0, 255).astype(np.uint8))
        parts.append(targets(boxes, frame.classes, frame.identities, config.model.grid, len(config.model.class_names)))
    return _joined(images, parts)


def flipped(image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left and right swapped; pixel centres have integer coordinates."""
    last = image.shape[1] - 1
    return image[:, ::-1], np.stack([last - boxes[:, 2], boxes[:, 1], last - boxes[:, 0], boxes[:, 3]], 1)


def _joined(images: list[np.ndarray], parts: list[Targets]) -> Batch:
    where = [np.column_stack([np.full(len(p.where), b), p.where]) for b, p in enumerate(parts)]
    return Batch(
        np.stack(images),
        np.stack([p.heat for p in parts]),
        np.stack([p.counts for p in parts]),
        np.concatenate(where).astype(np.int64),
        *(np.concatenate([p[k] for p in parts]) for k in (3, 4, 5)),
    )
