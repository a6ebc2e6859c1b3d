"""Undo undelivered frames after a crash: for sinks that write many files, some of them line by line.

`.undo` in the sink's folder holds a line per file about to be changed: frame_id, its size [bytes] (-1: no file), path. The line
is on disk before the change. A process may write a frame and die before the engine records it; its successor truncates each
file to its size after the last delivered frame.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from operators.files import append, replace
from pipeline.operator import Resume


class Undo:
    """`note` before writing, `close` at the end of the run."""

    def __init__(self, folder: Path, resume: Resume | None) -> None:
        self.folder, self.path = folder, folder / ".undo"
        folder.mkdir(parents=True, exist_ok=True)
        replace(self.path, b"" if resume is None else self._take_back(resume.frame_id))

    def note(self, frame_id: int, paths: Iterable[Path]) -> None:
        """The files that this frame is going to change, each once."""
        lines = [f"{frame_id} {path.stat().st_size if path.exists() else -1} {path.relative_to(self.folder)}\n" for path in paths]
        append(self.path, "".join(lines).encode())

    def close(self) -> None:
        self.path.unlink(missing_ok=True)

    def _take_back(self, last_frame_id: int) -> bytes:
        """-> the lines of delivered frames. An incomplete line is ignored: its file was not changed yet."""
        text = self.path.read_text() if self.path.exists() else ""
        lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
        for line in reversed(lines):
            frame_id, size, name = line.rstrip("\n").split(" ", 2)
            if int(frame_id) <= last_frame_id:
                continue
            path = self.folder / name
            path.with_name(f".{path.name}.part").unlink(missing_ok=True)
            if int(size) < 0:
                path.unlink(missing_ok=True)
            elif path.stat().st_size > int(size):
                os.truncate(path, int(size))
        return "".join(line for line in lines if int(line.split(" ", 1)[0]) <= last_frame_id).encode()
