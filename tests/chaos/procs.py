"""Processes, descriptors, memfds and folders, from the kernel. Imports no engine."""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from pathlib import Path


def children(pid: int) -> dict[str, int]:
    """Name after `--node` -> pid, of the living children of a supervisor."""
    found = {}
    for child in _children(pid):
        try:
            argv = Path(f"/proc/{child}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
        except OSError:
            continue
        if len(argv) > 2 and argv[-2] == "--node":
            found[argv[-1]] = child
    return found


def _children(pid: int) -> list[int]:
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
        return [int(c) for task in tasks for c in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    except OSError:
        pass
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(stat[1]) == pid:
                found.append(int(entry))
    return found


def state(pid: int) -> str:
    """R, S, D, T, Z, ... or "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if state(pid) not in ("", "Z", "X")]


def _opened(pid: int | str) -> list[str]:
    """Target of each descriptor of a process. Raises OSError if the process is gone; a descriptor may vanish meanwhile."""
    names = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            names.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return names


def descriptors(pid: int) -> Counter[str]:
    """Open files by kind: memfd, socket, pipe, eventfd, ..., else the name."""
    kinds: Counter[str] = Counter()
    for name in _opened(pid):
        kind = re.match(r"(/memfd:pipe|socket|pipe|anon_inode:\[?\w+)", name)
        kinds[kind[1] if kind else name] += 1
    return kinds


def memfds_of(supervisor: int) -> list[str]:
    """`pid: name` of every mapping or descriptor, anywhere, of memory made by a supervisor (its pid is in the names)."""
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                maps = Path(f"/proc/{entry}/maps").read_text()
                names = {line.split(maxsplit=5)[-1] for line in maps.splitlines() if "memfd:" in line} | set(_opened(entry))
                found |= {f"{entry}: {name}" for name in names if "memfd:pipe:" in name and f"-{supervisor}-" in name}
    return sorted(found)
