"""What the bare machine does meanwhile: a process that wakes ten times a second and computes for about a millisecond.

`python -m bench.probe FILE` appends a line per wake: how late it was woken [us], how long the same work took [us]. When these
rise, so do everybody's latencies, and the engine is not the reason.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

PERIOD_S = 0.1
WORK = 20_000


def main(file: Path, parent: int) -> None:
    """Ends when its parent does."""
    import os

    with file.open("a", buffering=1) as out:
        due = time.monotonic()
        while os.getppid() == parent:
            due += PERIOD_S
            time.sleep(max(0.0, due - time.monotonic()))
            woken = time.monotonic()
            sum(range(WORK))
            done = time.monotonic()
            out.write(f"{(woken - due) * 1e6:.0f} {(done - woken) * 1e6:.0f}\n")
            due = max(due, done - PERIOD_S)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
