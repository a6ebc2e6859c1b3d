"""Processes that the comparison has started, in sessions of their own: who lives, what they use, what they leave behind."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from bench.proc import CPU_OF_PROCESS
from bench.watched import pss_mb

LEFT = {
    "pipe": ("/dev/shm/*", f"{os.environ.get('XDG_RUNTIME_DIR', '/nowhere')}/pipe/*", f"/tmp/pipe-{os.getuid()}/*"),
    "pyzmq": (),
    "iceoryx2": ("/dev/shm/iox2_*", "/tmp/iceoryx2/*/*"),
    "zenoh": ("/dev/shm/*.zenoh", "/tmp/*zenoh*"),
    "ezmsg": ("/dev/shm/psm_*",),
    "dora": ("/dev/shm/*", "/tmp/dora*", "/tmp/.dora*"),
    "mediapipe": (),
}
"""Where each of them keeps shared memory and sockets."""


def pids(sessions: list[int]) -> list[int]:
    """Living processes of the sessions and their descendants, whose own sessions are added. A zombie is dead."""
    table: dict[int, tuple[int, int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError):
                state, parent, _, session = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[:4]
                if state not in "ZX":
                    table[int(entry)] = int(parent), int(session)
    found: set[int] = set()
    while new := {pid for pid, (parent, sid) in table.items() if pid not in found and (sid in sessions or parent in found)}:
        found |= new
    sessions += sorted({table[pid][1] for pid in found} - {*sessions, 0})
    return sorted(found)


def use(sessions: list[int]) -> tuple[float, float]:
    """CPU time so far [us] and memory [MB PSS] of the sessions."""
    living = pids(sessions)
    cpu_ns = 0
    for pid in living:
        with contextlib.suppress(OSError):
            cpu_ns += time.clock_gettime_ns(~pid << 3 | CPU_OF_PROCESS)
    return cpu_ns * 1e-3, sum(pss_mb(pid) for pid in living)


def interrupt(sessions: list[int]) -> None:
    """Ctrl-C, as a terminal sends it: SIGINT to all processes of a group."""
    for session in sessions:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(session, signal.SIGINT)


def kill(sessions: list[int]) -> None:
    """Every process of the sessions, by its pid."""
    for pid in pids(sessions):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def entries(who: str) -> set[Path]:
    """Shared memory and sockets of one of them, of whatever run."""
    return {path for pattern in LEFT[who] for path in Path("/").glob(pattern.lstrip("/"))}


def size_mb(paths: set[Path]) -> float:
    """Memory and disk space that they take."""
    total = 0
    for path in paths:
        with contextlib.suppress(OSError):
            total += path.stat().st_blocks * 512
    return total / 1e6


def remove(who: str, paths: set[Path]) -> None:
    """What a candidate has left, by the name that it gives to its files; where any name fits, a file may be another program's."""
    for path in paths if "/dev/shm/*" not in LEFT[who] else ():
        with contextlib.suppress(OSError):
            path.unlink()


def wait_for(what: Callable[[], object], seconds: float) -> float | None:
    """Time until `what()` is true [s]; None if it is not within `seconds`."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if what():
            return time.monotonic() - began
        time.sleep(0.005)
    return None
