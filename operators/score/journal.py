"""Files of a sink that scores while the graph runs. They last over a kill: what a restarted node reads, what people read.

.frames.jsonl  a line per frame: frame_id, item, value; JSON holds float32 exactly. It is removed at the end, unless the node's
               config says keep_journal: pipe batch makes the scores of several runs together from it
scores.csv     the results so far; a row begins with the number of frames, frame_id and item of the latest one
scores.json    the latest result
Errors of the disk are RunError.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from operators import files
from pipeline.frame import Header

JOURNAL = ".frames.jsonl"


class Journal:
    """columns: the first line of scores.csv, with its end; "": there is no such file."""

    def __init__(self, who: str, folder: Path, columns: str = "") -> None:
        self.who, self.columns = who, columns
        self.path, self.csv, self.json = folder / JOURNAL, folder / "scores.csv", folder / "scores.json"

    def add(self, header: Header, value: Any) -> None:
        """The value of a frame, which is on disk when this returns."""
        self._append(self.path, header, json.dumps([header.frame_id, header.item, value]) + "\n")

    def tell(self, header: Header, rows: Iterable[str]) -> None:
        """Rows of scores.csv, each with its end."""
        self._append(self.csv, header, ("" if self.csv.exists() else self.columns) + "".join(rows))

    def save(self, result: Any, num_frames: int) -> None:
        """scores.json, in place of the one before."""
        try:
            files.replace(self.json, (json.dumps(result, indent=1) + "\n").encode())
        except OSError as error:
            raise files.failed(self.who, self.json, error, f"the scores of {num_frames} frames") from error

    def kept(self, last_frame_id: int) -> Iterator[tuple[int, str, Any]]:
        """After a restart: the frames up to this one. Later ones, which are delivered again, and lines cut short are dropped."""
        lines = [(line, json.loads(line)) for line in _whole_lines(self.path)]
        there = [(line, row) for line, row in lines if row[0] <= last_frame_id]
        rows = [row for row in _whole_lines(self.csv)[1:] if int(row.split(",")[1]) <= last_frame_id]
        for path, left in ((self.path, [line for line, _ in there]), (self.csv, [self.columns, *rows])):
            if path.exists():
                files.replace(path, "".join(left).encode())
        yield from ((frame_id, item, value) for _, (frame_id, item, value) in there)

    @property
    def saved(self) -> bool:
        return self.json.exists()

    def close(self, keep: bool = False) -> None:
        if not keep:
            self.path.unlink(missing_ok=True)

    def _append(self, path: Path, header: Header, text: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.append(path, text.encode())
        except OSError as error:
            raise files.failed(self.who, path, error, f"frame {header} ({header.item})") from error


def _whole_lines(path: Path) -> list[str]:
    """`str.splitlines` would also split at U+2028, which a name may hold."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return [f"{line}\n" for line in text.split("\n")[:-1]]
