"""Panoptic maps as COCO panoptic results: DIR/<node>/panoptic.json, and DIR/<node>/panoptic/ITEM.png of each frame.

in  panoptic  PANOPTIC   a prediction, or truth; facts class_names and things
ITEM.png       a pixel is the id of its segment as R + 256 G + 65,536 B, 0 = void; ids as in the frame
panoptic.json  images: id, file_name (the item), width, height; categories: id, name, isthing; annotations: image_id, file_name
               (ITEM.png), segments_info: id, category_id, iscrowd, bbox [x, y, w, h], area; of things also score, and track_id if
               tracked. A thing with score 0 is a crowd
Image ids: the number of the frame in its source (frame_id), the same in every run of the source. Category ids: 1, 2, .. in the
order of the class names. Instead, `like` names a COCO panoptic file whose ids are used: those of its images with the item's name,
those of its categories with the class's name. `categories` maps class names to ids by hand; pixels of other classes become void.
`pipe eval panoptic` compares two such results, of a prediction and of the truth; the driver coco_panoptic reads them again.
State: none but the files.   Empty map: an image without segments. Segments without a pixel are left out.
The JSON is valid after every frame, also after a kill. After a crash, what a frame that does not count has written is taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from operators import folders, textfile
from operators.files import exact_decimals, failed
from operators.geometry.extents import extents
from operators.streams import PANOPTIC, Panoptic, names_of, things_of
from operators.write.coco import image_id_of, image_ids
from operators.write.coco_files import TruthFile
from operators.write.folder import Folder, Write
from pipeline.errors import FrameError, InputError
from pipeline.operator import Operator
from pipeline.outside import parse_json

NAME = "panoptic"


@dataclass(frozen=True, slots=True)
class PanopticConfig:
    like: str = ""  # a COCO panoptic file whose image and category ids are used; empty: ids as above
    categories: dict[str, int] = field(default_factory=dict)  # class -> category id; empty: all classes

    def __post_init__(self) -> None:
        if len(set(self.categories.values())) < len(self.categories):
            raise ValueError(f"categories: needs an id of its own for each class, got {dict(self.categories)}")


class WritePanoptic(Operator):
    Config, inputs = PanopticConfig, {"panoptic": PANOPTIC}

    def open(self) -> None:
        self.folder = Folder(self.name, self.out_dir, self.resume)
        self.like = read_like(folders.at(self.config.like)) if self.config.like else None
        self.image_ids = image_ids(self.like[0]) if self.like is not None else None
        self.ids: dict[str, int] | None = None  # class -> category id
        self.file: TruthFile | None = None

    def process(self, panoptic: Panoptic) -> None:
        facts = self.meta.get("panoptic", {})
        names, things = names_of(facts), things_of(facts)
        _check(panoptic, names, f"{self.name}: frame {self.header}")
        ids = self._category_ids(names)
        try:
            if self.file is None:
                more = {name: {"isthing": int(name in things)} for name in ids}
                self.file = TruthFile(self.out_dir / f"{NAME}.json", ids, more)
                self.ids = ids = self.file.categories  # those of the process before this one, if it began the file
            writes = self._writes(panoptic, names, things, ids)
        except OSError as error:
            raise failed(self.name, self.out_dir, error, f"frame {self.header} ({self.header.item})") from error
        try:
            self.folder.write(self.header, writes)
        except BaseException:
            self.file.forget()
            raise

    def close(self) -> None:
        self.folder.close()

    def _writes(self, panoptic: Panoptic, names: tuple[str, ...], things: frozenset[str], ids: Mapping[str, int]) -> list[Write]:
        """The label picture first: a kill between two writes leaves no annotation without its picture."""
        assert self.file is not None
        item, (height, width) = self.header.item, panoptic.panoptic.shape
        image_id = self.header.frame_id
        if self.like is not None and self.image_ids is not None:
            image_id = image_id_of(self.image_ids, item, f"{self.name}: frame {self.header}", self.config.like)
        kept = np.array([names[label] in ids for label in panoptic.labels.tolist()], np.bool_)
        table = np.zeros(int(panoptic.segment_ids.max(initial=0)) + 1, np.int32)
        table[panoptic.segment_ids[kept]] = panoptic.segment_ids[kept]
        drawn = table[panoptic.panoptic]
        segments = []
        areas, boxes = extents(drawn, len(table))
        scores = exact_decimals(panoptic.scores).tolist()
        for k in np.flatnonzero(kept & (areas[panoptic.segment_ids] > 0)).tolist():
            number, name = int(panoptic.segment_ids[k]), names[panoptic.labels[k]]
            about = {"id": number, "category_id": ids[name], "iscrowd": int(name in things and scores[k] == 0)}
            about |= {"bbox": boxes[number].tolist(), "area": int(areas[number])}
            if name in things:
                about["score"] = scores[k]
            if panoptic.track_ids[k] >= 0:
                about["track_id"] = int(panoptic.track_ids[k])
            segments.append(about)
        image = {"id": image_id, "file_name": item, "width": width, "height": height}
        annotation = {"image_id": image_id, "file_name": f"{item}.png", "segments_info": segments}
        return [Write(f"{NAME}/{item}.png", label_picture(drawn), "new"), *self.file.changes(image, [annotation])]

    def _category_ids(self, names: tuple[str, ...]) -> dict[str, int]:
        """Class -> id; fixed by the first frame. Raises FrameError for a class that has none."""
        if self.ids is None:
            if self.config.categories:
                self.ids = dict(self.config.categories)
            elif self.like is not None:
                self.ids = dict(self.like[1])
            else:
                self.ids = {name: number for number, name in enumerate(names, start=1)}
        asked = self.config.categories
        for name in asked or names:
            if name not in (names if asked else self.ids):
                has = ", ".join(names if asked else self.ids)
                got = (
                    f"config.categories: {name}"
                    if asked
                    else f"{name}, which {'the file' if self.like else 'the first frame'} lacks"
                )
                raise FrameError(f"{self.name}: frame {self.header}: needs classes of {has}, got {got}")
        return self.ids


def label_picture(ids: np.ndarray) -> bytes:
    """(H, W) int32, 0 .. 2^24 - 1 -> PNG, R + 256 G + 65,536 B."""
    rgb0 = np.ascontiguousarray(ids, "<i4").view(np.uint8).reshape(*ids.shape, 4)
    done, data = cv2.imencode(".png", np.ascontiguousarray(rgb0[:, :, 2::-1]))  # OpenCV writes BGR
    assert done
    return data.tobytes()


def _check(panoptic: Panoptic, names: tuple[str, ...], who: str) -> None:
    """Raises FrameError for a table that does not belong to its map."""
    known = np.zeros(max(int(panoptic.panoptic.max(initial=0)), int(panoptic.segment_ids.max(initial=0))) + 1, np.bool_)
    if panoptic.panoptic.min(initial=0) < 0 or panoptic.segment_ids.min(initial=1) < 1 or len(known) > 1 << 24:
        raise FrameError(f"{who}: needs segment ids 1 .. {(1 << 24) - 1:,}, and 0 for void, got others")
    known[panoptic.segment_ids] = True
    if len(set(panoptic.segment_ids.tolist())) < len(panoptic.segment_ids):
        raise FrameError(f"{who}: needs each segment id once, got {len(panoptic.segment_ids)} of {int(known.sum())} ids")
    known[0] = True
    if not (there := known[panoptic.panoptic]).all():
        raise FrameError(f"{who}: needs each id of the map in segment_ids, got {int(panoptic.panoptic[~there][0])} without")
    for label in panoptic.labels.tolist():
        if not 0 <= label < len(names):
            raise FrameError(f"{who}: needs labels 0..{len(names) - 1}, of the class names, got {label}")


def read_like(path: Path) -> tuple[dict[int, dict[str, Any]], dict[str, int]]:
    """Images by id and category ids by name of a COCO panoptic file. Raises InputError."""
    try:
        data = parse_json(textfile.read(path))
        images = {row["id"]: {"file_name": str(row["file_name"])} for row in data["images"]}
        return images, {str(row["name"]): int(row["id"]) for row in data["categories"]}
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"{path}: needs COCO panoptic JSON with images and categories, got {type(error).__name__}: {error}"
        ) from None
