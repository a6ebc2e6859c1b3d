"""The overlay of a panoptic picture: a tint per segment, lines between segments, names of things, a legend of stuff."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from operators.geometry.extents import extents
from operators.render import colors
from operators.render.camera import label
from operators.streams import Panoptic

_LINE = 16  # px from one name of the legend to the next
_NAMED_PX = 24  # width or height from which a thing has its name written on it


class Segment(NamedTuple):
    number: int
    name: str
    is_thing: bool
    track_id: int

    @property
    def color(self) -> colors.Color:
        """Stuff: of the class; a thing: of its track, without one of its number in the frame."""
        if not self.is_thing:
            return colors.of_stuff(self.name)
        return colors.of_track(self.track_id if self.track_id >= 0 else self.number)


def segments_of(panoptic: Panoptic, names: Sequence[str], things: Collection[str]) -> list[Segment]:
    rows = zip(panoptic.segment_ids.tolist(), panoptic.labels.tolist(), panoptic.track_ids.tolist(), strict=True)
    named = [(number, names[at] if 0 <= at < len(names) else "?", track_id) for number, at, track_id in rows]
    return [Segment(number, name, name in things, track_id) for number, name, track_id in named]


def painted(picture: np.ndarray, panoptic: Panoptic, names: Sequence[str], things: Collection[str], share: float) -> None:
    """Draws into the picture (H, W, 3) uint8; the map may have another size and is stretched. Void (0) and ids without a
    segment keep the picture. share: of the colours."""
    rows, columns = picture.shape[:2]
    drawn = panoptic.panoptic
    if drawn.shape != (rows, columns):
        drawn = cv2.resize(drawn, (columns, rows), interpolation=cv2.INTER_NEAREST)
    segments = segments_of(panoptic, names, things)
    largest = max(int(drawn.max(initial=0)), int(panoptic.segment_ids.max(initial=0)))
    table, known = np.zeros((largest + 1, 3), np.uint8), np.zeros(largest + 1, np.bool_)
    for segment in segments:
        table[segment.number], known[segment.number] = segment.color, True
    mixed = cv2.addWeighted(picture, 1 - share, table[drawn], share, 0)
    np.copyto(picture, mixed, where=known[drawn][:, :, None])
    picture[edges(drawn)] = colors.TEXT
    areas, boxes = extents(drawn, largest + 1)
    seen = [segment for segment in segments if areas[segment.number]]
    for segment in seen:
        left, top, width, height = boxes[segment.number].tolist()
        if segment.is_thing and max(width, height) >= _NAMED_PX:
            text = segment.name if segment.track_id < 0 else f"{segment.name} {segment.track_id}"
            label(picture, text, left, top, segment.color)
    legend = {segment.name: segment.color for segment in seen if not segment.is_thing}
    for k, (name, color) in enumerate(reversed(legend.items())):
        label(picture, name, 4, rows - 4 - _LINE * k, color)


def edges(drawn: np.ndarray) -> np.ndarray:
    """(H, W) ids -> (H, W) bool: the neighbour to the right or below is of another segment."""
    out = np.zeros(drawn.shape, np.bool_)
    out[:, :-1] |= drawn[:, :-1] != drawn[:, 1:]
    out[:-1] |= drawn[:-1] != drawn[1:]
    return out
