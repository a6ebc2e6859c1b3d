"""COCO's two files as they grow: results, one list; truth, an object with the lists images, categories and annotations.

Both are valid JSON after every frame. Records are added before the closing bracket, which is written again with them in one
write. Truth has two lists that grow: `images` ends in blanks that its next records take the place of; when none are left,
the file is written anew with twice the room.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from operators.write.folder import Write
from pipeline.errors import RunError
from pipeline.outside import parse_json

Rows = Sequence[Mapping[str, Any]]

_RESULTS_END, _TRUTH_END = b"\n]\n", b"\n]}\n"
_IMAGES, _CATEGORIES, _ANNOTATIONS = b'{"images": [', b'\n],\n"categories": ', b',\n"annotations": ['
LEAST_ROOM = 4096


def results(path: Path, rows: Rows) -> list[Write]:
    """The changes that add rows; a file that is not there is created."""
    if not path.exists():
        return [Write(path.name, b"[" + _list(rows) + _RESULTS_END, "new")]
    return _grown(path, rows, _RESULTS_END)


class TruthFile:
    """Where the next records go: `changes` before each frame, `forget` if they were not written.

    categories  name -> id, in the file's header
    more        name -> what the header says of it beside id and name
    """

    def __init__(self, path: Path, categories: Mapping[str, int], more: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.path, self.categories, self.more = path, dict(categories), more or {}
        self.next_id = 1  # of an annotation; pycocotools takes a match with annotation 0 for none
        self._images_end = self._room_end = 0
        self.forget()

    def forget(self) -> None:
        """Read the file again. Raises RunError if another program has changed it."""
        if not self.path.exists():
            self.next_id = 1
            return
        data = self.path.read_bytes()
        try:
            there = {row["name"]: row["id"] for row in parse_json(data)["categories"]}
            self._room_end = data.index(_CATEGORIES)
        except (ValueError, LookupError, TypeError) as error:
            raise RunError(f"{self.path}: needs the truth that this run has written, got {error}") from None
        self.categories = there
        self._images_end = len(data[: self._room_end].rstrip(b" "))
        ids = re.findall(rb'"id": (\d+), "image_id"', data)
        self.next_id = int(ids[-1]) + 1 if ids else 1

    def changes(self, image: Mapping[str, Any], annotations: Rows) -> list[Write]:
        """Annotations get their ids here."""
        rows = [{"id": number, **row} for number, row in enumerate(annotations, start=self.next_id)]
        self.next_id += len(rows)
        if not self.path.exists():
            named = _list([{"id": number, "name": name, **self.more.get(name, {})} for name, number in self.categories.items()])
            head, room = _IMAGES + _list([image]), b" " * LEAST_ROOM
            self._images_end, self._room_end = len(head), len(head) + LEAST_ROOM
            data = head + room + _CATEGORIES + b"[" + named + b"\n]" + _ANNOTATIONS + _list(rows) + _TRUTH_END
            return [Write(self.path.name, data, "new")]
        more = _list([image], first=False)
        at, self._images_end = self._images_end, self._images_end + len(more)
        if self._images_end <= self._room_end:
            return [Write(self.path.name, more, "patch", at), *_grown(self.path, rows, _TRUTH_END)]
        data = self.path.read_bytes()
        body = data[self._room_end : -len(_TRUTH_END)]
        images, room = data[:at] + more, b" " * max(LEAST_ROOM, at)
        self._room_end = len(images) + len(room)
        return [Write(self.path.name, images + room + body + _list(rows, body.endswith(b"[")) + _TRUTH_END, "replace")]


def _grown(path: Path, rows: Rows, end: bytes) -> list[Write]:
    """The rows and the end of the file, in place of its end."""
    if not rows:
        return []
    with path.open("rb") as file:
        at = file.seek(-len(end) - 1, 2) + 1
        first = file.read(1) == b"["
    return [Write(path.name, _list(rows, first) + end, "patch", at)]


def _list(rows: Rows, first: bool = True) -> bytes:
    """Each row on a line; after a comma, if it is not the first of its list."""
    text = b"".join(b",\n" + json.dumps(row, allow_nan=False).encode() for row in rows)
    return text[1:] if first else text
