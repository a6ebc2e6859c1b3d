"""Shared by the writers of 2D tracks: one text file per sequence, DIR/<node>/SEQ.txt; each frame appends its lines."""

from __future__ import annotations

from pathlib import Path

from operators import files
from operators.write.undo import Undo
from pipeline.frame import Header
from pipeline.operator import Resume


class SequenceFiles:
    """Whole frames or nothing, on disk when `add` returns. After a crash, undelivered frames are removed."""

    def __init__(self, who: str, folder: Path, resume: Resume | None) -> None:
        self.who, self.folder, self.undo = who, folder, Undo(folder, resume)

    def add(self, header: Header, text: str) -> None:
        """The lines of one frame; without lines, the file of its sequence is created all the same. Raises RunError."""
        path = self.folder / f"{header.sequence.replace('/', '_') or '0000'}.txt"
        try:
            self.undo.note(header.frame_id, [path])
            files.append(path, text.encode())
        except OSError as error:
            raise files.failed(self.who, path, error, f"frame {header} ({header.item})") from error

    def close(self) -> None:
        self.undo.close()
