"""Undo the frame that was in work at a crash: for sinks that write many files, some of them line by line.

`.undo` in the sink's folder holds the changes that one frame is about to make, as one line of JSON: its frame_id, and per file
its name with its size [bytes] if lines are appended, "new" if it is created, "kept" if it is replaced (a second name keeps the
old content), [size, offset, old bytes] if a part is overwritten. The line is written before the files are changed, and the next
frame overwrites it: the engine has recorded the frame before it calls `process` again. So at most one frame is in doubt. A
process may write a frame and die before the engine records it; its successor takes back this frame, if it is not the last one
that counts (`Resume.frame_id`).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import RunError
from pipeline.names import below
from pipeline.operator import Resume

_NEW, _KEPT = "new", "kept"
Part = tuple[Path, int, int]
"""A file; offset and length of what is overwritten, which may end beyond the file."""
Change = tuple[str, int | str | list[Any]]
"""A file's name below the folder; its size, "new", "kept" or [size, offset, old bytes as Latin-1 text]."""


class Undo:
    """Wrap the changes of a frame in `with undo.frame(...)`; `close` at the end of the run."""

    def __init__(self, folder: Path, resume: Resume | None) -> None:
        self.folder, self.path = folder, folder / ".undo"
        self._changes: list[Change] = []
        folder.mkdir(parents=True, exist_ok=True)
        if resume is not None:
            frame_id, changes = self._read()
            (self._settle if frame_id == resume.frame_id else self._take_back)(changes)
        self.path.write_bytes(b"")

    @contextlib.contextmanager
    def frame(
        self, frame_id: int, append: Iterable[Path] = (), replace: Iterable[Path] = (), patch: Iterable[Part] = ()
    ) -> Iterator[None]:
        """The files to which this frame appends lines, those that it writes anew, and the parts that it overwrites. An error
        inside takes all back."""
        self._settle(self._changes)
        self._changes = []
        changes = [
            *(self._change(path, grows=True) for path in append),
            *(self._change(path, grows=False) for path in replace),
            *(self._part(*part) for part in patch),
        ]
        self.path.write_bytes(json.dumps([frame_id, changes]).encode() + b"\n")
        self._changes = changes
        try:
            for name, before in changes:
                if before == _KEPT:
                    _keep(self.folder / name)
            yield
        except BaseException:
            self._changes = []
            self._take_back(changes)
            with contextlib.suppress(OSError):
                self.path.write_bytes(b"")
            raise

    def close(self) -> None:
        self._settle(self._changes)
        self._changes = []
        self.path.unlink(missing_ok=True)

    def _change(self, path: Path, grows: bool) -> Change:
        name = str(path.relative_to(self.folder))
        if not path.exists():
            return name, _NEW
        return name, path.stat().st_size if grows else _KEPT

    def _part(self, path: Path, at: int, length: int) -> Change:
        with path.open("rb") as file:
            file.seek(at)
            old = file.read(length).decode("latin-1")
        return str(path.relative_to(self.folder)), [path.stat().st_size, at, old]

    def _read(self) -> tuple[int, list[Change]]:
        """Frame and changes of the journal; none if its line is cut short, because no file was changed yet."""
        line = self.path.read_bytes() if self.path.exists() else b""
        if not line.endswith(b"\n"):
            return -1, []
        try:
            frame_id, changes = json.loads(line)
            return int(frame_id), [(str(name), _before(before)) for name, before in changes]
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise RunError(f"{self.path}: needs the changes of one frame, got a line that cannot be read: {error}") from None

    def _take_back(self, changes: Iterable[Change]) -> None:
        for name, before in changes:
            path = below(self.folder, name, str(self.path))
            path.with_name(f".{path.name}.part").unlink(missing_ok=True)
            if before == _NEW:
                path.unlink(missing_ok=True)
            elif before == _KEPT:
                with contextlib.suppress(FileNotFoundError):  # not replaced yet
                    os.replace(_kept(path), path)
            elif isinstance(before, list):
                size, at, old = before
                with path.open("r+b") as file:
                    file.seek(at)
                    file.write(old.encode("latin-1"))
                    file.truncate(size)
            elif path.stat().st_size > int(before):
                os.truncate(path, int(before))
        self._settle(changes)

    def _settle(self, changes: Iterable[Change]) -> None:
        """The frame counts: forget the old content of the files that it has replaced."""
        for name, before in changes:
            if before == _KEPT:
                _kept(below(self.folder, name, str(self.path))).unlink(missing_ok=True)


def _before(value: Any) -> int | str | list[Any]:
    """Raises ValueError or TypeError for a value that no journal has."""
    if isinstance(value, list):
        size, at, old = value
        old.encode("latin-1")
        return [int(size), int(at), old]
    return value if value in (_NEW, _KEPT) else int(value)


def _kept(path: Path) -> Path:
    return path.with_name(f".{path.name}.kept")


def _keep(path: Path) -> None:
    kept = _kept(path)
    kept.unlink(missing_ok=True)
    try:
        os.link(path, kept)
    except OSError:  # a file system without links
        shutil.copyfile(path, kept)
