"""Events on disk: rows of `flow/log.py` in files of bounded number and size, which are readable after any kill.

A file `00000012.events` holds whole rows of EVENT_WORDS little-endian int64; only the last row of the last file may be cut off.
When there are too many files, the oldest is deleted, so its number tells what is missing.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np

from pipeline.graph.layout import EVENT_WORDS

ROW_BYTES = 8 * EVENT_WORDS
CHUNK_BYTES, MOST_CHUNKS = 4 << 20, 16
"""A file is full at this size; so many are kept: 64 MB, a million events."""
MOST_PENDING = 16 << 20
"""Bytes that wait in memory while the disk is full."""
ENDING = ".events"


class Chunks:
    """Appends rows below `folder`, which is made with the first row. `flush` never raises.

    missing  rows that no file and no memory had room for
    why      reason of the last failure to write
    """

    def __init__(self, folder: Path, chunk_bytes: int = CHUNK_BYTES, most: int = MOST_CHUNKS) -> None:
        self.path = folder
        self.missing, self.why = 0, ""
        self._chunk_bytes, self._most = chunk_bytes, most
        self._number, self._size, self._fd = 0, 0, -1
        self._pending = bytearray()

    @property
    def pending(self) -> int:
        """Bytes not yet in a file. They may begin with the rest of a partly written row."""
        return len(self._pending)

    def add(self, rows: np.ndarray) -> None:
        """rows (n, EVENT_WORDS) int64. The rows of one call stay in one file."""
        if len(self._pending) > MOST_PENDING:
            self.missing += len(rows)
        else:
            self._pending += rows.astype("<i8", order="C", copy=False).tobytes()

    def flush(self) -> None:
        if not self._pending:
            return
        try:
            if self._fd < 0:
                self._open()
            while self._pending:
                written = os.write(self._fd, self._pending)
                self._size += written
                del self._pending[:written]
        except OSError as error:
            self.why = error.strerror or str(error)
            return
        if self._size >= self._chunk_bytes:
            self._end()

    def _open(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self._file(self._number), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        if self._number >= self._most:
            with contextlib.suppress(OSError):
                self._file(self._number - self._most).unlink()

    def _file(self, number: int) -> Path:
        return self.path / f"{number:08d}{ENDING}"

    def _end(self) -> None:
        os.close(self._fd)
        self._number, self._size, self._fd = self._number + 1, 0, -1

    def close(self) -> None:
        self.flush()
        if self._fd >= 0:
            self._end()
