"""Annotations of thermal pictures: a COCO file for all, or a file per picture (bbGt of KAIST, XML of Pascal VOC or KAIST)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, Protocol
from xml.etree import ElementTree

from drivers.flir.boxes import UNKNOWN_OCCLUSION, UNKNOWN_TRUNCATION, Box
from operators import folders, textfile
from operators.streams import DONT_CARE
from pipeline.errors import InputError
from pipeline.outside import parse_json

Named = Mapping[str, Path]
"""Key of a picture (its stem, below its sequence) -> file."""
_OCCLUDED = {"no_(fully_visible)": 0, "1%_-_70%_occluded_(partially_occluded)": 1, "70%_-_90%_occluded_(difficult_to_see)": 2}
"""Words of FLIR ADAS v2."""
_BBGT = "bbGt version=3"
_COLUMNS = "label x y w h occluded vx vy vw vh ignore angle"


class Annotations(Protocol):
    """class_names: what labels index; `boxes(key)`: of a picture, None: not annotated; `annotated()`: keys of those that are."""

    @property
    def class_names(self) -> Sequence[str]: ...

    def boxes(self, key: str) -> list[Box] | None: ...

    def annotated(self) -> Iterable[str]: ...


class Coco:
    """A COCO file; the key of a picture is the stem of its file_name. Raises InputError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            whole = parse_json(textfile.read(path))
        except ValueError as error:
            raise InputError(f"{path}: needs JSON, got: {error}; copied incompletely?") from None
        tables: list[Any] = [
            whole.get(key) if isinstance(whole, dict) else None for key in ("images", "annotations", "categories")
        ]
        if not all(isinstance(table, list) and all(isinstance(row, dict) for row in table) for table in tables):
            raise InputError(f"{path}: needs COCO's lists images, annotations and categories, got other JSON")
        images, annotations, categories = tables
        numbers = {}
        for at, row in enumerate(categories):
            numbers[self._id(f"categories[{at}]", row)] = at
        self.class_names = [str(row.get("name", row["id"])) for row in categories]
        self._boxes: dict[str, list[Box]] = {}
        pictures: dict[int, list[Box]] = {}
        for at, row in enumerate(images):
            key = Path(str(row.get("file_name", ""))).stem
            if not key or key in self._boxes:
                self._refuse(f"images[{at}]", "a file_name of its own", repr(row.get("file_name", "none")))
            pictures[self._id(f"images[{at}]", row)] = self._boxes[key] = []
        for at, row in enumerate(annotations):
            where = f"annotations[{at}]"
            of, kind, xywh = row.get("image_id"), row.get("category_id"), row.get("bbox")
            if not isinstance(of, int) or of not in pictures:
                self._refuse(where, f"the image_id of one of {len(images)} images", f"{of}, an annotation without image")
            if not isinstance(kind, int) or kind not in numbers:
                self._refuse(where, f"the category_id of one of {len(categories)} categories", str(kind))
            if not isinstance(xywh, list) or len(xywh) != 4 or not all(isinstance(n, (int, float)) for n in xywh):
                self._refuse(where, "bbox: [x, y, w, h]", repr(xywh)[:40])
            pictures[of].append(self._box(where, row, DONT_CARE if row.get("iscrowd") else numbers[kind]))

    def boxes(self, key: str) -> list[Box] | None:
        return self._boxes.get(key)

    def annotated(self) -> Iterable[str]:
        return self._boxes

    def _box(self, where: str, row: Mapping[str, Any], label: int) -> Box:
        extra = row.get("extra_info")
        facts = extra if isinstance(extra, dict) else {}
        track = row.get("track_id", -1)
        x, y, width, height = map(float, row["bbox"])
        return Box(
            f"{self._path}: {where}",
            (x, y, width, height),
            label,
            track if isinstance(track, int) and abs(track) < 1 << 62 else -1,
            _OCCLUDED.get(str(facts.get("occluded")), UNKNOWN_OCCLUSION),
        )

    def _id(self, where: str, row: Mapping[str, Any]) -> int:
        number = row.get("id")
        if not isinstance(number, int):
            self._refuse(where, "a whole number id", repr(number)[:40])
        return number

    def _refuse(self, where: str, needs: str, got: str) -> NoReturn:
        raise InputError(f"{self._path}: {where}: needs {needs}, got {got}")


class Files:
    """A file per picture, read when its boxes are asked for. files: key -> .txt or .xml."""

    def __init__(self, files: Named, class_names: Sequence[str]) -> None:
        self._files, self.class_names = files, class_names

    def boxes(self, key: str) -> list[Box] | None:
        path = self._files.get(key)
        if path is None:
            return None
        return (_xml if path.suffix.lower() == ".xml" else _bbgt)(path, self._label(path))

    def annotated(self) -> Iterable[str]:
        return self._files

    def _label(self, path: Path) -> Callable[[str, str], int]:
        def label(where: str, name: str) -> int:
            if name not in self.class_names:
                raise InputError(f"{where}: needs a category of {', '.join(self.class_names)}, got {textfile.shown(name)}")
            return list(self.class_names).index(name)

        return label


def in_folder(folder: Path, prefix: str = "") -> dict[str, Path]:
    """Key -> annotation file of a folder: PREFIX/stem."""
    found = (folder / name for name in folders.names(folder) if Path(name).suffix.lower() in (".txt", ".xml"))
    return {f"{prefix}/{path.stem}" if prefix else path.stem: path for path in found}


def _bbgt(path: Path, label: Callable[[str, str], int]) -> list[Box]:
    """Lines `label x y w h occluded vx vy vw vh ignore angle` of Dollar's toolbox; `ignore` makes a label -1."""
    lines = textfile.lines(path)
    if not lines or _BBGT not in lines[0]:
        textfile.refuse(path, 1, f"the line % {_BBGT}", textfile.shown(lines[0]) if lines else "an empty file")
    out = []
    for number, line in enumerate(lines[1:], 2):
        name, _, rest = line.strip().partition(" ")
        values = textfile.numbers(path, number, f"the label ({_COLUMNS})", rest, 11)
        where = f"{path}:{number}"
        kind = label(where, name)
        x, y, width, height, occluded = values[:5].tolist()
        if occluded not in (0, 1, 2):
            textfile.refuse(path, number, "occluded 0, 1 or 2 in column 6", f"{occluded:g}")
        out.append(Box(where, (x, y, width, height), DONT_CARE if values[9] else kind, occluded=int(occluded)))
    return out


def _xml(path: Path, label: Callable[[str, str], int]) -> list[Box]:
    """<object> with <name> and <bndbox> of xmin ymin xmax ymax (Pascal VOC) or x y w h (KAIST)."""
    try:
        root = ElementTree.fromstring(textfile.read(path))
    except ElementTree.ParseError as error:
        raise InputError(f"{path}: needs XML, got: {error}; copied incompletely?") from None
    out = []
    for number, element in enumerate(root.iter("object"), 1):
        where = f"{path}: object {number}"
        box = element.find("bndbox")
        kaist = box is not None and box.find("w") is not None
        x, y, right, bottom = (
            _number(where, box, key) for key in (("x", "y", "w", "h") if kaist else ("xmin", "ymin", "xmax", "ymax"))
        )
        kind = label(where, (element.findtext("name") or "").strip())
        occluded, truncated = element.findtext("occlusion"), element.findtext("truncated")
        out.append(
            Box(
                where,
                (x, y, right, bottom) if kaist else (x, y, right - x, bottom - y),
                kind,
                occluded=int(occluded) if occluded in ("0", "1", "2") else UNKNOWN_OCCLUSION,
                truncated=float(truncated) if truncated in ("0", "1") else UNKNOWN_TRUNCATION,
            )
        )
    return out


def _number(where: str, box: ElementTree.Element | None, key: str) -> float:
    written = (box.findtext(key) or "").strip() if box is not None else ""
    try:
        return textfile.number(written.encode())
    except ValueError:
        raise InputError(f"{where}: needs a number in bndbox/{key}, got {textfile.shown(written)}") from None
