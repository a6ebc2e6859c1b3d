"""Cores and memory, by the machine and by the cgroup of this process."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pipeline.cli.checks.line import FAIL, OK, WARN, Line, read


def cores(root: Path) -> Line:
    mine, there = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    quota = cpu_quota(root)
    text = f"{mine} of {there} cores" + (f", limited to {quota:g} by the cgroup" if quota is not None else "")
    if min(mine, quota or mine) < 2:
        return Line(WARN, "cores", f"{text}; nodes take turns: expect a fraction of the rates in README")
    return Line(OK, "cores", text)


def cpu_quota(root: Path) -> float | None:
    for folder in cgroup_folders(root, "cpu"):
        both = (read(folder / "cpu.max") or "").split()
        if not both:
            both = [read(folder / "cpu.cfs_quota_us") or "-1", read(folder / "cpu.cfs_period_us") or "100000"]
        if both[0] not in ("max", "-1"):
            return int(both[0]) / int(both[1])
    return None


def memory(root: Path) -> Line:
    info = dict(re.findall(r"^(\w+):\s+(\d+) kB", read(root / "proc/meminfo") or "", re.MULTILINE))
    if "MemAvailable" not in info:
        return Line(WARN, "memory", f"{root / 'proc/meminfo'} has no MemAvailable; the size of pools cannot be checked")
    available = int(info["MemAvailable"]) * 1024
    text = f"{available / 1e9:.1f} of {int(info['MemTotal']) * 1024 / 1e9:.1f} GB available"
    limit = memory_limit(root)
    if limit is not None and limit[0] - limit[1] < available:
        available = max(0, limit[0] - limit[1])
        text += f", {available / 1e9:.1f} of {limit[0] / 1e9:.1f} GB by the cgroup's limit"
    text += "; frames may take half of it"
    if available < 0.5e9:
        return Line(FAIL, "memory", f"{text}; needs 0.5 GB: close something, or raise the container's limit")
    if available < 2e9:
        return Line(WARN, "memory", f"{text}; cameras and big scans need more")
    return Line(OK, "memory", text)


def memory_limit(root: Path) -> tuple[int, int] | None:
    """(limit, used) in bytes of the nearest cgroup that has a limit; version 2 or 1."""
    for folder in cgroup_folders(root, "memory"):
        for limit_file, used_file in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            limit, used = read(folder / limit_file), read(folder / used_file)
            if (
                limit is not None and used is not None and limit != "max" and int(limit) < 1 << 60
            ):  # version 1 writes "no limit" as 2**63
                return int(limit), int(used)
    return None


def cgroup_folders(root: Path, controller: str) -> list[Path]:
    """Folders with the limits of this process: its own group first, then the parent groups."""
    folders = []
    for line in (read(root / "proc/self/cgroup") or "").splitlines():
        number, controllers, path = line.split(":", 2)
        mount = root / "sys/fs/cgroup"
        if number != "0" and controller in controllers.split(","):
            mount = mount / controller
        elif number != "0":
            continue
        parts = Path(path.lstrip("/")).parts
        folders += [mount.joinpath(*parts[:n]) for n in range(len(parts), -1, -1)]
    return folders
