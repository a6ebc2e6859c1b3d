"""Log lines of a worker: plain text on its stderr, which is the log file of its process; and the size of that file."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from pipeline.errors import printable

MAX_RECORD, MAX_LINE = 1 << 16, 1 << 13
"""Longest entry and longest line of it [characters]: an exception's text may have any size."""

MAX_LOG, KEPT_LOG = 64 << 20, 16 << 20
"""Largest log file [bytes], and what stays of its beginning when it is larger: the newest lines follow."""


class _Printable(logging.Formatter):
    """A text from outside must not control the terminal that shows the log."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        lines = "\n".join(printable(line, MAX_LINE) for line in text[:MAX_RECORD].split("\n"))
        return lines if len(text) <= MAX_RECORD else f"{lines}... ({len(text)} characters)"


def configure_logging(node_label: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Printable(f"%(asctime)s {node_label} %(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)


def cap(path: Path) -> None:
    """Cut a log file that has become too large. Its process goes on writing at the new end."""
    with contextlib.suppress(OSError):
        size = path.stat().st_size
        if size > MAX_LOG:
            os.truncate(path, KEPT_LOG)
            with path.open("ab") as file:
                file.write(f"\n... {(size - KEPT_LOG) >> 20} MB of this log were cut out here ...\n".encode())
