"""Write to a disk without room: every frame fails with ENOSPC.

in   in   any frame
"""

from __future__ import annotations

import os
from typing import Any

from pipeline.operator import NoConfig, Operator
from pipeline.schema import ANY


class FullDisk(Operator):
    Config, inputs = NoConfig, {"in": ANY}

    def open(self) -> None:
        self.file = os.open("/dev/full", os.O_WRONLY)

    def process(self, **inputs: Any) -> None:
        os.write(self.file, f"{self.header}\n".encode())

    def close(self) -> None:
        os.close(self.file)
