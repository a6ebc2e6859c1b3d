"""2D detections as COCO results, DIR/<node>/results.json, and the truth to score them with, truth.json.

in  boxes2d  BOXES2D
    truth    TRUTH   optional: what `pipe eval coco --gt` needs; its 2D boxes
    image    IMAGE   optional: the size of the pictures in truth.json, nothing else
    thermal  GREY    optional: the same
results  {"image_id", "category_id", "bbox": [x, y, w, h], "score"} of each box: pixels to 1e-4, scores exact
truth    images (id, file_name: the item, width and height if known), categories, annotations. An object occluded more than
         `max_occluded` is a crowd: it forgives detections. A region without a label (DontCare) is a crowd of every category
Image ids: the number of the frame in its source (frame_id), the same in every run of the source. Category ids: 1, 2, .. in the
order of the truth's class names, then of the detector's. Instead, `like` names a COCO file whose ids are used: those of its
images with the item's name (file_name or im_name, with or without folder and suffix), those of its categories with the class's
name. `categories` maps class names to ids by hand; other classes are left out.
State: none but the files.   Empty frame: an image without annotations. Boxes that are unknown (NaN) or have no area are left out.
With truth connected, a frame that lacks it goes to neither file.
Both files are valid JSON after every frame, also after a kill. After a crash, what a frame that does not count has written is
taken back (undo.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from operators import folders
from operators.files import exact_decimals, failed
from operators.score.coco_files import read_truth
from operators.streams import BOXES2D, DONT_CARE, GREY, IMAGE, TRUTH, Boxes2D, Truth, names_of
from operators.write.coco_files import TruthFile, results
from operators.write.folder import Folder, Write
from pipeline.errors import FrameError
from pipeline.operator import Operator
from pipeline.schema import optional


@dataclass(frozen=True, slots=True)
class CocoConfig:
    like: str = ""  # a COCO truth file whose image and category ids are used; empty: ids as above
    categories: dict[str, int] = field(default_factory=dict)  # class -> category id; empty: all classes
    max_occluded: int = 3  # truth occluded more than this is a crowd; 3: none

    def __post_init__(self) -> None:
        if len(set(self.categories.values())) < len(self.categories):
            raise ValueError(f"categories: needs an id of its own for each class, got {dict(self.categories)}")
        if self.max_occluded < 0:
            raise ValueError(f"max_occluded: needs 0 or more, got {self.max_occluded}")


class Coco(Operator):
    Config = CocoConfig
    inputs = {"boxes2d": BOXES2D, "truth": optional(TRUTH), "image": optional(IMAGE), "thermal": optional(GREY)}

    def open(self) -> None:
        self.folder = Folder(self.name, self.out_dir, self.resume)
        self.like = read_truth(folders.at(self.config.like)) if self.config.like else None
        self.image_ids = image_ids(self.like.images) if self.like is not None else {}
        self.ids: dict[str, int] | None = None  # class -> category id
        self.truth: TruthFile | None = None

    def process(
        self,
        boxes2d: Boxes2D,
        truth: Truth | None = None,
        image: np.ndarray | None = None,
        thermal: np.ndarray | None = None,
    ) -> None:
        picture = image if image is not None else thermal
        try:
            complete = truth is not None or "truth" not in self.missing
            writes = self._writes(boxes2d, truth, picture) if complete else []
        except OSError as error:
            raise failed(self.name, self.out_dir, error, f"frame {self.header} ({self.header.item})") from error
        try:
            self.folder.write(self.header, writes)  # also none: the frame counts
        except BaseException:
            if self.truth is not None:
                self.truth.forget()
            raise

    def _writes(self, boxes2d: Boxes2D, truth: Truth | None, picture: np.ndarray | None) -> list[Write]:
        """Truth first: a kill between two writes leaves no result without its image."""
        image_id, found_names = self._image_id(), names_of(self.meta.get("boxes2d", {}))
        truth_names = names_of(self.meta.get("truth", {})) if truth is not None else ()
        ids, writes = self._category_ids(truth_names, found_names), list[Write]()
        if truth is not None:
            if self.truth is None:
                self.truth = TruthFile(self.out_dir / "truth.json", ids)
                self.ids = ids = self.truth.categories  # those of the process before this one, if it began the file
            size = {} if picture is None else {"width": picture.shape[1], "height": picture.shape[0]}
            about = {"id": image_id, "file_name": self.header.item, **size}
            writes = self.truth.changes(about, list(self._annotations(truth, truth_names, ids, image_id)))
        rows = list(self._found(boxes2d, found_names, ids, image_id))
        return [*writes, *results(self.out_dir / "results.json", rows)]

    def close(self) -> None:
        self.folder.close()

    def _image_id(self) -> int:
        if self.like is None:
            return self.header.frame_id
        return image_id_of(self.image_ids, self.header.item, f"{self.name}: frame {self.header}", self.like.path)

    def _category_ids(self, truth_names: tuple[str, ...], found_names: tuple[str, ...]) -> dict[str, int]:
        """Class -> id; fixed by the first frame."""
        names, asked = tuple(dict.fromkeys((*truth_names, *found_names))), self.config.categories
        if self.ids is None:
            if self.like is not None and not asked:
                self.ids = {name: number for number, name in self.like.categories.items()}
            else:
                self.ids = dict(asked) or {name: number for number, name in enumerate(names, start=1)}
        known, needed = (names, asked) if asked else (tuple(self.ids), names if self.like is None else ())
        for name in needed:
            if name not in known:
                of = f"config.categories: {name}" if asked else f"{name}, which the first frame did not have"
                raise FrameError(f"{self.name}: frame {self.header}: needs classes of {', '.join(known)}, got {of}")
        return self.ids

    def _found(self, found: Boxes2D, names: tuple[str, ...], ids: Mapping[str, int], image_id: int) -> Iterator[dict[str, Any]]:
        scores = exact_decimals(found.scores).tolist()
        for row, label, box in _known(found.boxes2d, found.labels):
            if (category := self._category(names[label], ids)) is not None:
                yield {"image_id": image_id, "category_id": category, "bbox": box, "score": scores[row]}

    def _annotations(
        self, truth: Truth, names: tuple[str, ...], ids: Mapping[str, int], image_id: int
    ) -> Iterator[dict[str, Any]]:
        occluded = truth.occluded.tolist()
        for row, label, box in _known(truth.boxes2d, truth.labels):
            crowd = int(label == DONT_CARE or occluded[row] > self.config.max_occluded)
            of = list(ids.values()) if label == DONT_CARE else [self._category(names[label], ids)]
            for category in of:
                if category is not None:
                    area = round(box[2] * box[3], 4)
                    about = {"image_id": image_id, "category_id": category, "bbox": box, "area": area, "iscrowd": crowd}
                    yield about | {"occluded": occluded[row]}

    def _category(self, name: str, ids: Mapping[str, int]) -> int | None:
        """None: the class is left out. Raises FrameError for a class that `like` does not have."""
        if name in ids or self.config.categories or self.like is None:
            return ids.get(name)
        raise FrameError(
            f"{self.name}: frame {self.header}: needs a category of {self.like.path}, got class {name}; "
            "config.categories maps classes to ids, and leaves out the others"
        )


def _known(boxes2d: np.ndarray, labels: np.ndarray) -> Iterator[tuple[int, int, list[float]]]:
    """Row, label, [x, y, w, h] of the boxes that have an area."""
    corners = exact_decimals(boxes2d)
    boxes = np.round(np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1), 4)
    rows = np.flatnonzero(np.isfinite(boxes).all(1) & (boxes[:, 2:] > 0).all(1))
    return zip(rows.tolist(), labels[rows].tolist(), boxes[rows].tolist(), strict=True)


def image_ids(images: Mapping[int, Mapping[str, Any]]) -> dict[str, int]:
    """images of a COCO file by id -> name, with and without suffix and folder -> id. A name that several have is left out."""
    found: dict[str, set[int]] = {}
    for number, image in images.items():
        path = PurePosixPath(str(image.get("file_name") or image.get("im_name") or ""))
        for name in (str(path), str(path.parent / path.stem), path.name, path.stem):
            found.setdefault(name, set()).add(number)
    return {name: min(numbers) for name, numbers in found.items() if len(numbers) == 1}


def image_id_of(ids: Mapping[str, int], item: str, who: str, path: str | Path) -> int:
    """Raises FrameError for an item that is no image of the file."""
    for name in (item, PurePosixPath(item).name):
        if name in ids:
            return ids[name]
    raise FrameError(f"{who}: needs an item that is an image of {path}, got {item!r}")
