"""Any two folders of RGB and thermal pictures that belong together, by equal names or by their order.

out  image        (H, W, 3) uint8  RGB
     thermal      (H, W) uint8     after gain control
     thermal_raw  (H, W) uint16    counts, from PNG or TIFF
     truth        boxes2d in the thermal picture; fact class_names: the categories

Each folder may be left out. Annotations are a COCO file, or a folder with a file per picture of the same name: bbGt text (KAIST)
or XML (Pascal VOC). Pairs of unequal sizes and pictures without a partner are left out and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from drivers.flir.annotations import Annotations, Coco, Files, in_folder
from drivers.flir.forms import RAW_SUFFIXES
from drivers.flir.pairs import OUTPUTS, Layout, Pairs, Sizes, Unpaired, by_number, joined, pictures
from drivers.kaist import CLASS_NAMES
from drivers.kitti.files import check_rate
from drivers.pictures import SUFFIXES
from operators import folders
from pipeline.errors import InputError
from pipeline.operator import Source

_WHO = "image_pairs"


@dataclass(frozen=True, slots=True)
class ImagePairsConfig:
    image: str = ""  # folder of RGB pictures
    thermal: str = ""  # folder of 8-bit thermal pictures
    thermal_raw: str = ""  # folder of 16-bit ones, .tiff or .png
    annotations: str = ""  # COCO .json, or a folder of .txt (bbGt) or .xml (Pascal VOC) files
    class_names: tuple[str, ...] = CLASS_NAMES  # of .txt and .xml files; a COCO file has its own
    match: Literal["name", "order"] = "name"  # name: equal names up to the suffix; order: the k-th of each folder
    unpaired: Unpaired = "skip"  # pictures without a partner; keep: the frame lacks the other port
    sizes: Sizes = "equal"  # equal: pairs of one size; common: each of the size that most have; any
    rate_hz: float = 10.0


class ImagePairs(Pairs, Source):
    Config, outputs, who = ImagePairsConfig, OUTPUTS, _WHO

    @classmethod
    def layout(cls, config: ImagePairsConfig) -> Layout:
        check_rate(_WHO, config.rate_hz)
        image, thermal = (_folder(config, key, SUFFIXES) for key in ("image", "thermal"))
        raw = _folder(config, "thermal_raw", RAW_SUFFIXES)
        if not image and not thermal and not raw:
            raise InputError(
                f"{_WHO}: config.image: needs a folder, or thermal or thermal_raw, got none; set --set NODE.config.image=DIR"
            )
        if config.match == "order":
            image, raw = _renamed(config, "image", image, thermal or raw), _renamed(config, "thermal_raw", raw, thermal or raw)
        return Layout({"": joined(image, thermal, raw)}, _annotations(config))


def _folder(config: ImagePairsConfig, key: str, suffixes: tuple[str, ...]) -> dict[str, Path]:
    name = getattr(config, key)
    if not name:
        return {}
    path = folders.at(name)
    found = pictures(path, *suffixes) if (there := folders.kind(path)) == folders.FOLDER else {}
    if found:
        return found
    hint = ""
    if key == "thermal" and pictures(path, ".tif", ".tiff"):
        hint = "; TIFF files are counts of 16 bits: set config.thermal_raw in its place"
    got = f"{name} without any" if there == folders.FOLDER else f"{name} ({there or 'not there'})"
    raise InputError(f"{_WHO}: config.{key}: needs a folder of {' '.join(suffixes)}, got {got}{hint}")


def _renamed(config: ImagePairsConfig, key: str, files: Mapping[str, Path], thermal: Mapping[str, Path]) -> dict[str, Path]:
    """The files under the names of the thermal ones, in the order of names."""
    if not files or not thermal:
        return dict(files)
    if len(files) != len(thermal):
        raise InputError(
            f"{_WHO}: config.match: order needs folders with the same number of pictures, got {len(files)} in {key}, "
            f"{len(thermal)} thermal ones"
        )
    return {name: files[own] for own, name in zip(sorted(files, key=by_number), sorted(thermal, key=by_number), strict=True)}


def _annotations(config: ImagePairsConfig) -> Callable[[], Annotations] | None:
    if not config.annotations:
        return None
    path = folders.at(config.annotations)
    if (there := folders.kind(path)) == folders.FOLDER:
        return lambda: Files(in_folder(path), config.class_names)
    if there == folders.FILE and path.suffix.lower() == ".json":
        return lambda: Coco(path)
    raise InputError(
        f"{_WHO}: config.annotations: needs a COCO .json or a folder of .txt or .xml, "
        f"got {config.annotations} ({there or 'not there'})"
    )
