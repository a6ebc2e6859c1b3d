"""A file of lines that survives a full disk: unwritten lines are kept and written when there is room again."""

from __future__ import annotations

import os
from pathlib import Path


class Lines:
    """Appends to `path`, created with the first line. `flush` never raises; `pending` counts the unwritten bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.why = ""
        self._fd = -1
        self._pending = bytearray()

    @property
    def pending(self) -> int:
        """Bytes not yet in the file. They may begin with the rest of a partly written line."""
        return len(self._pending)

    def add(self, line: str) -> None:
        self._pending += line.encode() + b"\n"

    def flush(self) -> None:
        if not self._pending:
            return
        try:
            if self._fd < 0:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            while self._pending:
                del self._pending[: os.write(self._fd, self._pending)]
        except OSError as error:
            self.why = error.strerror or str(error)

    def close(self) -> None:
        self.flush()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
