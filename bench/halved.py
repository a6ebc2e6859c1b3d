"""Half of the cores for a run, for a part of its time: by the quota of a cgroup, or beside busy processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from pipeline.cli.checks.resources import cgroup_folders
from pipeline.runtime.observer import Observer, Pids


@contextlib.contextmanager
def halved(pids: list[int]) -> Iterator[str]:
    """Half of the cores for these processes; says how."""
    cores = len(os.sched_getaffinity(0))
    parent = cgroup_folders(Path("/"), "cpu")[0]
    group = parent / f"pipe-bench-{os.getpid()}"
    try:
        group.mkdir()
        if (group / "cpu.cfs_quota_us").exists():
            (group / "cpu.cfs_quota_us").write_text(f"{cores * 50_000}")
        else:
            (group / "cpu.max").write_text(f"{cores * 50_000} 100000")
        for pid in pids:
            (group / "cgroup.procs").write_text(f"{pid}")
        how = "quota of a cgroup"
    except OSError:
        how = f"{cores} busy processes beside it"
    rivals = [
        multiprocessing.get_context("spawn").Process(target=_busy, daemon=True) for _ in range(cores if how[0] != "q" else 0)
    ]
    for rival in rivals:
        rival.start()
    try:
        yield how
    finally:
        for rival in rivals:
            rival.kill()
        if group.is_dir():
            for member in (group / "cgroup.procs").read_text().split():
                with contextlib.suppress(OSError):
                    (parent / "cgroup.procs").write_text(member)
            group.rmdir()


def _busy() -> None:
    while True:
        pass


class Load(Observer):
    """Halves the cores for the middle third of a run."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.how, self.lines = seconds, "", list[str]()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def started(self, pids: Pids) -> None:
        self._thread = threading.Thread(target=self._run, args=(list(pids.values()),))
        self._thread.start()

    def event(self, text: str) -> None:
        self.lines.append(text)

    def stop(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, pids: list[int]) -> None:
        if not self._over.wait(self.seconds / 3):
            with halved(pids) as self.how:
                self._over.wait(self.seconds / 3)
