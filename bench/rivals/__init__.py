"""Other libraries that send a frame from one Python process to another, measured as `pipe bench hop` measures Pipe.

One file each, with an `INSTALL` line, a `Producer` and a `Consumer` (bench/rivals/ends.py). The contract equals that of the
engine's rows: the producer writes every byte of the frame, in the rival's memory if the rival allows it; the hop is one way, from
"producer has finished the frame" to "consumer has it"; one frame in flight, or one per period; CPU of all its processes.

`pipe bench rivals` (comparison.py) compares what is around the hop: start, stop, kill -9, cost, a slow reader of two sensors.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

NAMES = {"pyzmq": "zmq", "iceoryx2": "iceoryx2", "zenoh": "zenoh", "ezmsg": "ezmsg", "dora": "dora"}
"""Rival -> the module it needs."""
PACKAGES = {"pyzmq": "pyzmq", "iceoryx2": "iceoryx2", "zenoh": "eclipse-zenoh", "ezmsg": "ezmsg", "dora": "dora-rs"}
EXTRA = "perception-pipe[bench]"
TIMEOUT_S, CLEAN_UP_S = 120.0, 2.0


def main() -> dict[str, Any]:
    """`pipe bench rivals`."""
    from bench.rivals import comparison  # it imports this package

    return comparison.main()


class Measured(NamedTuple):
    """hop_us, fill_us: per frame; cpu_us: per frame, of all processes."""

    hop_us: list[float]
    fill_us: list[float]
    cpu_us: float


class Failed(Exception):
    """An installed rival failed or did not finish."""


def installed() -> list[str]:
    return [name for name, module in NAMES.items() if importlib.util.find_spec(module)]


def missing() -> list[str]:
    """One line for each rival that is not installed."""
    return [f"{name}: not installed (pip install {PACKAGES[name]}, or '{EXTRA}')" for name in NAMES if name not in installed()]


def measure(name: str, size: int, frames: int, period_s: float = 0.0) -> Measured:
    """period_s 0: send the next frame when the last has arrived. Raises Failed."""
    with tempfile.TemporaryDirectory(prefix="rv") as folder:
        task = json.dumps({"folder": folder, "size": size, "frames": frames, "period_s": period_s, "root": os.getpid()})
        command = [sys.executable, "-m", f"bench.rivals.{name}"]
        log, rows = Path(folder) / "log", Path(folder) / "rows.json"
        with log.open("w") as said:
            started = subprocess.Popen([*command, "both", task], stdout=said, stderr=said, start_new_session=True)
            try:
                _wait(started, rows)
            finally:
                _end(started)
        if not rows.exists():
            lines = log.read_text(errors="replace").splitlines()
            told = [line for line in lines if re.search("rror|panicked", line)] or lines
            raise Failed(f"did not come to its end: {' / '.join(told[-2:])[:400]}")
        found = json.loads(rows.read_text())
    hop, filled = zip(*found["ns"], strict=True)
    return Measured([ns * 1e-3 for ns in hop], [ns * 1e-3 for ns in filled], found["cpu_ns"] * 1e-3 / len(hop))


def _wait(process: subprocess.Popen[bytes], rows: Path) -> None:
    """Waits for the end of the process; once its rows exist, at most CLEAN_UP_S more for its clean-up."""
    until = time.monotonic() + TIMEOUT_S
    done = False
    while process.poll() is None and time.monotonic() < until:
        if not done and rows.exists():
            done, until = True, time.monotonic() + CLEAN_UP_S
        time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the whole session of the process: a rival may have started servers."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
