"""Write a data set in the folders of FLIR's ADAS sets: the driver flir reads them, as do the tools of others.

in   image        IMAGE        optional
     thermal      GREY         optional: the picture after gain control
     thermal_raw  THERMAL_RAW  optional
     truth        TRUTH        optional: boxes2d in the thermal picture; the fact class_names where labels are not CLASSES
     image_truth  TRUTH        optional: boxes2d in the image; v1 has no place for it
Frame k goes below DIR/<node>/ to

  v1  SPLIT/: RGB/FLIR_00001.jpg  thermal_8_bit/FLIR_00001.jpeg  thermal_16_bit/FLIR_00001.tiff  thermal_annotations.json;
      SPLIT is train, val or video; number = frame_id + 1
  v2  images_rgb_SPLIT/, images_thermal_SPLIT/: data/video-SEQUENCE-frame-000000-ID.jpg  coco.json  index.json;
      16-bit: images_thermal_SPLIT/analyticsData/NAME.tiff. Split video: video_rgb_test/, video_thermal_test/ and
      rgb_to_thermal_vid_map.json

Annotations are COCO's, x y w h [px]. Categories are FLIR's: v1 person 1, bicycle 2, car 3, dog 18, other vehicle 91; v2 person 1,
bike 2, car 3, train 7, truck 8, other vehicle 79. Van becomes car, and a Cyclist, rider included, one bicycle (bike).
Lost: boxes3d, occluded, truncated, DontCare, and in v1 track ids; objects without a box in the picture get no line, boxes are
rounded to 0.001 px. JPEG changes pixels (`quality`); the TIFF is exact. Frames without a connected picture have none.
The JSON files are written at the end of the run, from a line per frame in `annotations.jsonl`; after a kill without a restart
only that file is there.
State: none but the files.   Empty truth: an image without annotations.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from operators import files
from operators.files import failed, frame_number
from operators.streams import DONT_CARE, GREY, IMAGE, THERMAL_RAW, TRUTH, Truth, names_of
from operators.write.folder import Folder, Write
from pipeline.errors import FrameError, RunError
from pipeline.operator import Operator
from pipeline.schema import optional

_ROWS = "annotations.jsonl"
_NAMES: dict[str, dict[int, str]] = {
    "v1": {1: "person", 2: "bicycle", 3: "car", 18: "dog", 91: "other vehicle"},
    "v2": {
        1: "person", 2: "bike", 3: "car", 4: "motor", 6: "bus", 7: "train", 8: "truck", 10: "light", 11: "hydrant", 12: "sign",
        17: "dog", 37: "skateboard", 73: "stroller", 77: "scooter", 79: "other vehicle",
    },
}  # fmt: skip
_SAME: dict[str, dict[str, str]] = {  # our names, and names of the other version -> the version's own
    "v1": {
        "Pedestrian": "person", "Person_sitting": "person", "Cyclist": "bicycle", "Car": "car", "Van": "car",
        "Truck": "other vehicle", "Tram": "other vehicle", "Misc": "other vehicle", "bike": "bicycle", "motor": "bicycle",
        "truck": "other vehicle", "bus": "other vehicle", "train": "other vehicle",
    },
    "v2": {
        "Pedestrian": "person", "Person_sitting": "person", "Cyclist": "bike", "Car": "car", "Van": "car", "Truck": "truck",
        "Tram": "train", "Misc": "other vehicle", "bicycle": "bike",
    },
}  # fmt: skip
_FOLDERS = {"train": "images_{}_train", "val": "images_{}_val", "video": "video_{}_test"}


@dataclass(frozen=True, slots=True)
class FlirConfig:
    layout: Literal["v1", "v2"] = "v2"
    split: Literal["train", "val", "video"] = "video"
    quality: int = 95  # of JPEG

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality: needs 1..100, got {self.quality}")


class Flir(Operator):
    Config = FlirConfig
    inputs = {
        "image": optional(IMAGE),
        "thermal": optional(GREY),
        "thermal_raw": optional(THERMAL_RAW),
        "truth": optional(TRUTH),
        "image_truth": optional(TRUTH),
    }

    def open(self) -> None:
        self.folder = Folder(self.name, self.out_dir, self.resume)

    def process(
        self,
        image: np.ndarray | None,
        thermal: np.ndarray | None,
        thermal_raw: np.ndarray | None,
        truth: Truth | None,
        image_truth: Truth | None,
    ) -> None:
        config, header = self.config, self.header
        if image_truth is not None and config.layout == "v1":
            raise RunError(f"{self.name}: image_truth is connected, but layout v1 has no place for it; disconnect it?")
        for port, value, of, picture in (("truth", truth, "thermal", thermal), ("image_truth", image_truth, "image", image)):
            if value is not None and picture is None:
                raise FrameError(f"{self.name} at {header}: {port} needs the picture of {of} that it annotates, got none")
        names = self._names()
        writes: list[Write] = []
        row: dict[str, Any] = {}
        for port, spectrum, picture, of, annotated in (
            ("image", "rgb", image, "image_truth", image_truth),
            ("thermal", "thermal", thermal, "truth", truth),
        ):
            if picture is not None:
                row[spectrum] = {
                    "file": names[port], "width": picture.shape[1], "height": picture.shape[0],
                    "sequence": header.sequence or "0000", "frame": frame_number(header.item, header.frame_id),
                    "objects": [] if annotated is None else self._objects(annotated, self.meta.get(of, {})),
                }  # fmt: skip
        jpeg = [cv2.IMWRITE_JPEG_QUALITY, config.quality]
        if image is not None:
            writes.append(Write(names["image"], _encoded(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), jpeg), "new"))
        if thermal is not None:
            writes.append(Write(names["thermal"], _encoded(".jpg", thermal, jpeg), "new"))
        if thermal_raw is not None:
            writes.append(Write(names["thermal_raw"], _encoded(".tiff", thermal_raw, [cv2.IMWRITE_TIFF_COMPRESSION, 1]), "new"))
        writes.append(Write(_ROWS, json.dumps(row).encode() + b"\n", "append"))
        self.folder.write(header, writes)

    def close(self) -> None:
        self.folder.close()
        rows = self.out_dir / _ROWS
        if not rows.exists():
            return
        path = rows
        try:
            for path, text in _json_files(rows, self.config):
                path.parent.mkdir(parents=True, exist_ok=True)
                files.replace(path, text)
            rows.unlink()
        except OSError as error:
            raise failed(self.name, path, error, "the annotations") from error

    def _names(self) -> dict[str, str]:
        """Port -> name of its file in this frame."""
        config, header = self.config, self.header
        if config.layout == "v1":
            stem = f"FLIR_{header.frame_id + 1:05d}"
            return {
                "image": f"{config.split}/RGB/{stem}.jpg",
                "thermal": f"{config.split}/thermal_8_bit/{stem}.jpeg",
                "thermal_raw": f"{config.split}/thermal_16_bit/{stem}.tiff",
            }
        sequence = self.folder.sequence(header, "".join(c if c.isalnum() else "_" for c in header.sequence) or "0000")
        number = frame_number(header.item, header.frame_id)
        rgb, thermal = (_FOLDERS[config.split].format(spectrum) for spectrum in ("rgb", "thermal"))
        stems = {
            spectrum: f"video-{sequence}-frame-{number:06d}-{_id(f'{spectrum}/{sequence}/{number}')}"
            for spectrum in ("rgb", "thermal")
        }
        return {
            "image": f"{rgb}/data/{stems['rgb']}.jpg",
            "thermal": f"{thermal}/data/{stems['thermal']}.jpg",
            "thermal_raw": f"{thermal}/analyticsData/{stems['thermal']}.tiff",
        }

    def _objects(self, truth: Truth, meta: Mapping[str, Any]) -> list[list[float | int]]:
        """category, x, y, w, h, track id of each object with a box."""
        names, layout = names_of(meta), self.config.layout
        ids = {name: number for number, name in _NAMES[layout].items()}
        found: list[list[float | int]] = []
        for label, track_id, box in zip(truth.labels.tolist(), truth.track_ids.tolist(), truth.boxes2d.tolist(), strict=True):
            x1, y1, x2, y2 = box
            if label == DONT_CARE or not (x2 > x1 and y2 > y1):
                continue
            name = names[label] if 0 <= label < len(names) else str(label)
            category = ids.get(_SAME[layout].get(name, name))
            if category is None:
                raise FrameError(
                    f"{self.name} at {self.header}: needs a class that FLIR's {layout} has, got {name}; it has {', '.join(ids)}"
                )
            found.append([category, *(round(v, 3) for v in (x1, y1, x2 - x1, y2 - y1)), track_id])
        return found


def _id(text: str) -> str:
    """17 letters and digits, as Conservator's, but the same in every run."""
    return hashlib.blake2b(text.encode(), digest_size=9).hexdigest()[:17]


def _encoded(suffix: str, picture: np.ndarray, options: list[int]) -> bytes:
    done, data = cv2.imencode(suffix, picture, options)
    if not done:
        raise FrameError(f"needs a picture that OpenCV writes as {suffix}, got {picture.shape} {picture.dtype}")
    return data.tobytes()


def _json_files(rows: Path, config: FlirConfig) -> Iterator[tuple[Path, bytes]]:
    """Path and content of each JSON file, from the frames in `rows`."""
    root = rows.parent
    with rows.open("rb") as lines:
        frames = [json.loads(line) for line in lines]
    spectra = [s for s in ("rgb", "thermal") if any(s in frame for frame in frames)]
    if config.layout == "v1":
        if "thermal" in spectra:
            yield root / config.split / "thermal_annotations.json", _coco(frames, "thermal", config)
        return
    for spectrum in spectra:
        folder = root / _FOLDERS[config.split].format(spectrum)
        yield folder / "coco.json", _coco(frames, spectrum, config)
        yield folder / "index.json", _index(frames, spectrum, config)
    if config.split == "video":
        pairs = {Path(f["rgb"]["file"]).name: Path(f["thermal"]["file"]).name for f in frames if "rgb" in f and "thermal" in f}
        yield root / "rgb_to_thermal_vid_map.json", json.dumps(pairs, indent=1).encode()


def _coco(frames: list[dict[str, Any]], spectrum: str, config: FlirConfig) -> bytes:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, frame in enumerate(frame[spectrum] for frame in frames if spectrum in frame):
        name = frame["file"].partition("/")[2]  # below the split's folder
        image = {"id": number, "file_name": name, "width": frame["width"], "height": frame["height"]}
        if config.layout == "v2":
            image["extra_info"] = {"video_id": frame["sequence"], "frame_index": frame["frame"]}
        images.append(image)
        for category, x, y, w, h, track_id in frame["objects"]:
            box = {
                "id": len(annotations) + 1, "image_id": number, "category_id": category, "bbox": [x, y, w, h],
                "area": round(w * h, 3), "iscrowd": 0, "segmentation": [[x, y, x, y + h, x + w, y + h, x + w, y]],
            }  # fmt: skip
            if config.layout == "v2":
                box |= {"track_id": track_id, "extra_info": {}}
            annotations.append(box)
    categories = [{"id": k, "name": name, "supercategory": "unknown"} for k, name in _NAMES[config.layout].items()]
    parts = {"info": {"description": f"FLIR ADAS {config.layout} layout"}, "images": images, "annotations": annotations}
    return json.dumps(parts | {"categories": categories}).encode()


def _index(frames: list[dict[str, Any]], spectrum: str, config: FlirConfig) -> bytes:
    """The same in the words of FLIR's Conservator, as far as a stream knows them."""
    out = []
    for frame in (frame[spectrum] for frame in frames if spectrum in frame):
        name = Path(frame["file"]).stem
        found = [
            {
                "boundingBox": {"x": x, "y": y, "w": w, "h": h}, "labels": [_NAMES[config.layout][category]],
                "targetId": track_id, "attributes": [],
            }
            for category, x, y, w, h, track_id in frame["objects"]
        ]  # fmt: skip
        out.append(
            {
                "datasetFrameId": name.rpartition("-")[2], "width": frame["width"], "height": frame["height"],
                "videoMetadata": {"videoId": frame["sequence"], "frameIndex": frame["frame"]}, "annotations": found,
            }
        )  # fmt: skip
    return json.dumps({"frames": out}).encode()
