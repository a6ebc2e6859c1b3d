"""How each box looks: embeddings by a net of your own, an ONNX file, for track.tracker2d's preset `fairmot`.    docs/own_net.md

in   image       IMAGE       optional: the picture that the boxes are of
     grey        GREY        optional: or a thermal or grey one, as three equal channels; connect one of the two
     boxes2d     BOXES2D     of the same frame
out  embeddings  EMBEDDINGS  a row per box, of unit length; zeros (unknown) for boxes outside the picture, or with a low score
State: none.   No boxes: M = 0.
A box is cut out at whole pixels (corners rounded outwards) and resized as `input` says; the net runs on batches of such crops.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from operators.nets.own_net import OwnNet, OwnNetConfig, inspect
from operators.streams import BOXES2D, EMBEDDINGS, GREY, IMAGE, MAX_EMBEDDING, Boxes2D, one_picture
from pipeline.errors import FrameError
from pipeline.operator import Operator
from pipeline.schema import optional


@dataclass(frozen=True, slots=True)
class ReidConfig(OwnNetConfig):
    output: str = ""  # the output with the embeddings; "": the only one
    min_score: float | None = None  # boxes below it get zeros: tracker2d then matches them by overlap; None: all get embeddings
    max_boxes: int = 128  # the best ones; others get zeros
    max_batch: int = 16  # crops per run, if the file leaves the batch free

    def __post_init__(self) -> None:
        for key in ("max_boxes", "max_batch"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}: needs 1 or more, got {getattr(self, key)}")
        found = inspect(self)
        if found.input.others:
            raise ValueError(f"model: needs one input, the crops, got {found.input.others[0]} too")
        there = [spec.name for spec in found.outputs]
        if self.output not in ("", *there) or (not self.output and len(there) != 1):
            raise ValueError(f"output: needs one of {', '.join(there)}, got {self.output or 'none'}")
        shape = next(spec.shape for spec in found.outputs if spec.name in (self.output, there[0]))
        if None not in shape[1:]:
            width_of(self.output or there[0], shape)


def width_of(name: str, shape: tuple[int | None, ...]) -> int:
    """Numbers of an embedding. Raises ValueError: needed, got."""
    rest = shape[1:]
    width = rest[0] if rest and all(n == 1 for n in rest[1:]) else None
    if width is None or not 1 <= width <= MAX_EMBEDDING:
        dims = ", ".join("free" if n is None else str(n) for n in shape)
        raise ValueError(f"output: needs (batch, E) with E of 1..{MAX_EMBEDDING}, got {name} ({dims})")
    return width


def crops(picture: np.ndarray, boxes2d: np.ndarray) -> list[np.ndarray | None]:
    """Views of the picture, None for a box outside it. boxes2d (M, 4) float32 [px]"""
    height, width = picture.shape[:2]
    finite = np.isfinite(boxes2d).all(axis=1)
    whole = np.where(finite[:, None], boxes2d, 0)
    low = np.clip(np.floor(whole[:, :2]), 0, [width, height]).astype(int)
    high = np.clip(np.ceil(whole[:, 2:]), 0, [width, height]).astype(int)
    sizes = (high - low).min(axis=1).tolist()
    return [
        picture[y1:y2, x1:x2] if size > 0 else None
        for (x1, y1), (x2, y2), size in zip(low.tolist(), high.tolist(), sizes, strict=True)
    ]


class Reid(Operator):
    Config, outputs = ReidConfig, {"embeddings": EMBEDDINGS}
    inputs = {"image": optional(IMAGE), "grey": optional(GREY), "boxes2d": BOXES2D}

    def open(self) -> None:
        self.net = OwnNet(self.config, self.name, self.threads)
        self.output = self.config.output or next(iter(self.net.shapes))
        self.width = self.net.fit(lambda shapes: width_of(self.output, shapes[self.output]))

    def process(self, boxes2d: Boxes2D, image: np.ndarray | None = None, grey: np.ndarray | None = None) -> np.ndarray:
        picture, config = one_picture(image, grey, self.name), self.config
        embeddings = self.alloc("embeddings", "embeddings", (len(boxes2d.labels), self.width), np.float32)
        embeddings[...] = 0
        cut = crops(picture, boxes2d.boxes2d)
        best_first = np.argsort(-boxes2d.scores, kind="stable")[: config.max_boxes].tolist()
        least = -np.inf if config.min_score is None else config.min_score
        wanted = [row for row in best_first if cut[row] is not None and boxes2d.scores[row] >= least]
        batch = self.net.input.batch or config.max_batch
        for start in range(0, len(wanted), batch):
            rows = wanted[start : start + batch]
            pictures = [crop for row in rows if (crop := cut[row]) is not None]
            if self.net.input.batch:
                pictures += pictures[-1:] * (batch - len(rows))  # the file's batch is full
            outputs, _ = self.net.run(pictures)
            embeddings[rows] = unit(outputs[self.output].reshape(len(pictures), -1)[: len(rows)])
        if not np.isfinite(embeddings).all():
            raise FrameError(f"{self.name} at {self.header}: {self.config.model}: needs finite embeddings, got NaN or inf")
        return embeddings


def unit(rows: np.ndarray) -> np.ndarray:
    """(N, E) -> of unit length, float32; rows of zeros stay."""
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros(rows.shape), where=lengths > 0).astype(np.float32)
