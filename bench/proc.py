"""Figures of processes and the machine from /proc. Imports nothing of the engine."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")
CPU_OF_PROCESS = 2
"""Linux: the clock ~pid << 3 | 2 is the CPU time of a process."""


def process(pid: int) -> dict[str, Any]:
    """Resident memory [MB], descriptors (without loss files, which open at the first loss), threads, CPU seconds."""
    with contextlib.suppress(OSError):
        folder = Path(f"/proc/{pid}")
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
        stat = (folder / "stat").read_text().rpartition(")")[2].split()
        opened = []
        for fd in os.listdir(folder / "fd"):
            with contextlib.suppress(OSError):  # the descriptor of the listing itself
                opened.append(os.readlink(folder / "fd" / fd))
        return {
            "rss_mb": round(int(status["VmRSS"].split()[0]) * 1024 / 1e6, 3),
            "fds": sum(not name.endswith(".jsonl") for name in opened),
            "threads": int(status["Threads"]),
            "cpu_s": (int(stat[11]) + int(stat[12])) / _TICKS,
        }
    return {"cpu_s": 0.0}


def sizes(folder: Path) -> dict[str, int]:
    """Bytes in a folder, per file or per folder of a node."""
    out: dict[str, int] = {}
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        key = "/".join(parts[:2] if parts[0] == "run" and parts[1:2] != ("logs",) else parts)
        with contextlib.suppress(OSError):
            out[key] = out.get(key, 0) + (path.stat().st_size if path.is_file() else 0)
    return out


def busy_s() -> float:
    """Busy seconds of all cores so far."""
    user, nice, system, _, _, irq, soft = (int(x) / _TICKS for x in Path("/proc/stat").read_text().split()[1:8])
    return user + nice + system + irq + soft


def cpu_ns(root: int, itself: bool) -> int:
    """CPU time so far of all living descendants of a process, and of the process if `itself`, ended threads included."""
    total, todo = 0, [root]
    while todo:
        pid = todo.pop()
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(OSError):  # a thread has just ended; the process goes on
                    todo += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
            if pid != root or itself:
                total += time.clock_gettime_ns(~pid << 3 | CPU_OF_PROCESS)
        except OSError:
            continue  # it has just ended
    return total
