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
            # one line per step: drop that of a step which does not count, and a line cut short
            lines = path.read_bytes().split(b"\n")[:-1][: self.resume.steps]
            path.write_bytes(b"".join(line + b"\n" for line in lines))
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | (0 if self.resume else os.O_TRUNC), 0o644)

    def process(self, **inputs: Any) -> None:
        if self.file >= 0:
            h = self.header
            item = h.item if h.item.isprintable() else h.item.encode("unicode_escape").decode()  # U+2028 ends a line for some
            line = f"{h.source} {h.frame_id} {h.stamp_ns} {item}\n".encode()
            size = os.fstat(self.file).st_size
            if os.write(self.file, line) < len(line):  # the disk became full within the line
                os.ftruncate(self.file, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.out_dir / "frames.txt"))

    def close(self) -> None:
        if self.file >= 0:
            os.close(self.file)
            self.file = -1
