"""COCO's panoptic files: a JSON of segments and a folder of PNG maps.

truth    {"images": [{"id", "file_name"}], "categories": [{"id", "name", "isthing"}],
          "annotations": [{"image_id", "file_name", "segments_info": [{"id", "category_id", "area", "iscrowd"}]}]}
results  {"annotations": [{"image_id", "file_name", "segments_info": [{"id", "category_id"}]}]}
A path is the JSON, or a folder with one. The maps lie in the folder of the JSON's name without .json, or beside the JSON. A pixel
is the id R + 256 G + 65536 B, 0 = void. `area` of the truth is taken as it stands, counted where missing; iscrowd: 0 where
missing. More keys of a segment, which others ignore: `track_id` (of both; then PTQ and MOTS scores; a sequence is the folder in
`file_name` of the image) and `score` (of results; then mask AP). Ids of images are whole numbers, or names as Cityscapes' are.
Frames come in the order of the truth's annotations.
Errors name file and key: `F.json: annotations[7].segments_info[0].id: needs ...`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from operators import folders, textfile
from operators.score.coco_files import number, refuse, shown
from pipeline.errors import InputError
from pipeline.outside import parse_json

VOID, MAX_ID = 0, (1 << 24) - 1
ImageId = int | str


class Listed(NamedTuple):
    """An annotation: the segments of one map, as arrays of one length. areas: -1 = not stated; tracks: -1 = none; scores: NaN."""

    at: str
    png: Path
    ids: np.ndarray
    classes: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray
    tracks: np.ndarray
    scores: np.ndarray


class Category(NamedTuple):
    name: str
    is_thing: bool


class TruthFile(NamedTuple):
    """categories: id -> name; frames: image id -> file name of the picture ("" = not told), segments."""

    path: Path
    categories: dict[int, Category]
    frames: dict[ImageId, tuple[str, Listed]]


def read_truth(path: Path, maps: Path | None = None) -> TruthFile:
    """maps: folder of the PNG maps; None: as above. Raises InputError."""
    path, data = _read(path, "--gt", ("images", "categories", "annotations"))
    categories: dict[int, Category] = {}
    for i, row in enumerate(data["categories"]):
        at = f"categories[{i}]"
        own = _whole(path, f"{at}.id", _get(path, at, row, "id"))
        if own in categories:
            refuse(path, f"{at}.id", "every id once", f"{own} again")
        categories[own] = Category(str(row.get("name", own)), bool(number(path, f"{at}.isthing", row.get("isthing"))))
    names: dict[ImageId, str] = {}
    for i, row in enumerate(data["images"]):
        image = _image(path, f"images[{i}].id", _get(path, f"images[{i}]", row, "id"))
        names[image] = str(row.get("file_name", ""))
    listed = _annotations(path, data["annotations"], categories, maps)
    return TruthFile(path, categories, {image: (names.get(image, ""), of) for image, of in listed.items()})


def read_results(path: Path, truth: TruthFile) -> dict[ImageId, Listed]:
    """Image id -> segments. Raises InputError, also where an image of the truth has none."""
    path, data = _read(path, "--results", ("annotations",))
    found = _annotations(path, data["annotations"], truth.categories, None)
    for image, (_, listed) in truth.frames.items():
        if image not in found:
            needs = f"a prediction of each of the {len(truth.frames)} images of {truth.path}"
            refuse(path, "annotations", needs, f"none of image {image} ({listed.png.name})")
    return found


def read_map(path: Path) -> np.ndarray:
    """(H, W) int32 ids. Raises InputError."""
    if folders.kind(path) != folders.FILE:
        raise InputError(f"{path}: needs a PNG of segment ids, got {folders.kind(path) or 'no such file'}")
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise InputError(f"{path}: needs a PNG of segment ids, got a file that is no picture")
    ids = cv2.cvtColor(picture, cv2.COLOR_BGR2RGBA).view(np.int32)[:, :, 0]
    return ids & MAX_ID


def _read(path: Path, option: str, lists: tuple[str, ...]) -> tuple[Path, dict[str, Any]]:
    if folders.is_folder(path):
        inside = sorted(path.glob("*.json"))
        if len(inside) != 1:
            got = ", ".join(p.name for p in inside[:4]) or "none"
            raise InputError(f"eval panoptic: {option} {path}: needs one .json with its maps, got {got}; name the file")
        path = inside[0]
    text = textfile.read(path)
    try:
        data = parse_json(text)
    except json.JSONDecodeError as error:
        refuse(path, "", f"JSON (line {error.lineno}, column {error.colno})", f"{error.msg[:1].lower()}{error.msg[1:]}")
    except ValueError as error:
        refuse(path, "", "JSON", str(error))
    if not isinstance(data, dict) or not all(isinstance(data.get(key), list) for key in lists):
        got = f"an object with {', '.join(list(data)[:6]) or 'nothing'}" if isinstance(data, dict) else shown(data)
        refuse(path, "", f"COCO panoptic data (an object with the lists {', '.join(lists)})", got)
    return path, data


def _annotations(path: Path, rows: list[Any], categories: Mapping[int, Category], maps: Path | None) -> dict[ImageId, Listed]:
    if maps is None:
        maps = path.with_suffix("") if folders.is_folder(path.with_suffix("")) else path.parent
    out: dict[ImageId, Listed] = {}
    for i, row in enumerate(rows):
        at = f"annotations[{i}]"
        image = _image(path, f"{at}.image_id", _get(path, at, row, "image_id"))
        if image in out:
            refuse(path, f"{at}.image_id", "every image once", f"{image} again")
        name = row.get("file_name")
        if not isinstance(name, str) or not name:
            refuse(path, f"{at}.file_name", "the name of a PNG", shown(name))
        infos = row.get("segments_info")
        if not isinstance(infos, list):
            refuse(path, f"{at}.segments_info", "a list", shown(infos))
        out[image] = _listed(path, at, maps / name, infos, categories)
    return out


def _listed(path: Path, at: str, png: Path, infos: list[Any], categories: Mapping[int, Category]) -> Listed:
    num = len(infos)
    ids, classes, areas, tracks = np.zeros((4, num), np.int64)
    crowd, scores = np.zeros(num, bool), np.full(num, np.nan)
    seen: dict[int, int] = {}
    for k, info in enumerate(infos):
        here = f"{at}.segments_info[{k}]"
        ids[k] = own = _whole(path, f"{here}.id", _get(path, here, info, "id"))
        if not VOID < own <= MAX_ID:
            refuse(path, f"{here}.id", f"1..{MAX_ID} (0 is void)", str(own))
        if own in seen:
            refuse(path, f"{here}.id", "every id once per image", f"{own} again, first in segments_info[{seen[own]}]")
        seen[own] = k
        classes[k] = category = _whole(path, f"{here}.category_id", _get(path, here, info, "category_id"))
        if category not in categories:
            some = ", ".join(map(str, list(categories)[:8])) or "none"
            refuse(path, f"{here}.category_id", f"one of the {len(categories)} categories ({some}, ..)", str(category))
        areas[k] = number(path, f"{here}.area", info["area"]) if "area" in info else -1
        crowd[k] = bool(number(path, f"{here}.iscrowd", info.get("iscrowd", 0)))
        tracks[k] = _whole(path, f"{here}.track_id", info.get("track_id", -1))
        if info.get("score") is not None:
            scores[k] = number(path, f"{here}.score", info["score"])
    return Listed(f"{path}: {at}", png, ids, classes, areas, crowd, tracks, scores)


def maps_of(truth: TruthFile, found: Mapping[ImageId, Listed]) -> Iterator[tuple[str, Listed, Listed, np.ndarray, np.ndarray]]:
    """Sequence, truth, prediction, their maps (H, W) int32, frame by frame. Raises InputError."""
    for image, (name, listed) in truth.frames.items():
        first, second = read_map(listed.png), read_map(found[image].png)
        if first.shape != second.shape:
            sizes = [f"{array.shape[1]} x {array.shape[0]}" for array in (first, second)]
            raise InputError(f"{found[image].png}: needs {sizes[0]} pixels as {listed.png}, got {sizes[1]}")
        yield name.rpartition("/")[0], listed, found[image], first, second


def check_drawn(listed: Listed, ids: np.ndarray, pixels: np.ndarray) -> None:
    """ids (S,), pixels (S,): those of the map. Raises InputError where a prediction's map and list do not agree."""
    strange = np.flatnonzero(~np.isin(ids, listed.ids) & (ids != VOID))
    if len(strange):
        own, num = int(ids[strange[0]]), int(pixels[strange[0]])
        raise InputError(f"{listed.png}: needs ids of {listed.at}.segments_info, got {own} in {num} pixels")
    absent = listed.ids[~np.isin(listed.ids, ids)]
    if len(absent):
        where = int(np.flatnonzero(listed.ids == absent[0])[0])
        raise InputError(f"{listed.at}.segments_info[{where}].id: needs pixels in {listed.png}, got none of id {absent[0]}")


def _get(path: Path, at: str, row: Any, key: str) -> Any:
    if not isinstance(row, dict):
        refuse(path, at, "an object", shown(row))
    return row.get(key)


def _image(path: Path, at: str, value: Any) -> ImageId:
    return value if isinstance(value, str) and value else _whole(path, at, value)


def _whole(path: Path, at: str, value: Any) -> int:
    whole = number(path, at, value)
    if whole != int(whole) or abs(whole) >= 2**53:
        refuse(path, at, "a whole number", shown(value))
    return int(value)
