"""A process that wakes ten times a second and computes for about a millisecond, as a measure of the machine's own speed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PERIOD_S, WORK = 0.1, 20_000


@contextlib.contextmanager
def bare_process(file: Path) -> Iterator[None]:
    """Runs the process in the background; it writes its lines to the file."""
    beside = subprocess.Popen([sys.executable, "-m", "bench.bare", str(file)])
    try:
        yield
    finally:
        beside.kill()
        beside.wait()


def compute(file: Path) -> None:
    """Writes one line per wake, ten per second: the time of the same work [us]. Ends with its parent."""
    parent, due = os.getppid(), time.monotonic()
    with file.open("a", buffering=1) as out:
        while os.getppid() == parent:
            due = max(due + PERIOD_S, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
            began = time.monotonic()
            sum(range(WORK))
            out.write(f"{(time.monotonic() - began) * 1e6:.0f}\n")


if __name__ == "__main__":
    compute(Path(sys.argv[1]))
