"""Take anything, keep nothing. `write: true` notes every frame in frames.txt: an account independent of the engine's.

in   in   any frame
Writes DIR/<node>/frames.txt: `source frame_id stamp_ns item` per frame, each line with one write.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import Any

from pipeline.operator import Operator
from pipeline.schema import ANY


@dataclass(frozen=True)
class NullConfig:
    write: bool = False


class Null(Operator):
    Config, inputs = NullConfig, {"in": ANY}

    def open(self) -> None:
        self.file = -1
        if not self.config.write:
            return
        self.out_dir.mkdir(parents=True, exist_ok=True)
        path = self.out_dir / "frames.txt"
        if self.resume is not None and path.exists():
            # frames after the last delivered one come again: drop their lines, and a line cut short
            lines = path.read_text().splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and int(line.split()[1]) <= self.resume.frame_id]
            path.write_text("".join(kept))
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | (0 if self.resume else os.O_TRUNC), 0o644)

    def process(self, **inputs: Any) -> None:
        if self.file >= 0:
            h = self.header
            line = f"{h.source} {h.frame_id} {h.stamp_ns} {h.item}\n".encode()
            size = os.fstat(self.file).st_size
            if os.write(self.file, line) < len(line):  # the disk became full within the line
                os.ftruncate(self.file, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.out_dir / "frames.txt"))

    def close(self) -> None:
        if self.file >= 0:
            os.close(self.file)
            self.file = -1
