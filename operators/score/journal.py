"""What a sink that scores needs to go on after a crash: .frames.jsonl in its folder while the run lasts, a line per frame."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from operators import files
from pipeline.frame import Header


class Journal:
    """Errors of the disk are RunError."""

    def __init__(self, who: str, folder: Path) -> None:
        self.who, self.path = who, folder / ".frames.jsonl"

    def add(self, header: Header, value: Any) -> None:
        """The value of a frame, which is on disk when this returns."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            files.append(self.path, (json.dumps([header.frame_id, header.item, value]) + "\n").encode())
        except OSError as error:
            raise files.failed(self.who, self.path, error, f"frame {header} ({header.item})") from error

    def kept(self, last_frame_id: int) -> Iterator[tuple[str, Any]]:
        """After a restart: item and value of the frames up to this one; later ones, and a line cut short, are dropped."""
        lines = self.path.read_text().splitlines(keepends=True) if self.path.exists() else []
        rows = [(line, json.loads(line)) for line in lines if line.endswith("\n")]
        there = [(line, row) for line, row in rows if row[0] <= last_frame_id]
        if lines:
            files.replace(self.path, "".join(line for line, _ in there).encode())
        yield from ((item, value) for _, (_, item, value) in there)

    def close(self) -> None:
        self.path.unlink(missing_ok=True)
