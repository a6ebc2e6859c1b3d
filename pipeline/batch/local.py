"""The jobs of a batch on this machine: at most `workers` processes at once, a fresh one for each job."""

from __future__ import annotations

import select
import time

from pipeline.batch.job import Job
from pipeline.batch.pool import Ended
from pipeline.batch.process import Process


class Local:
    name = "local"

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._running: dict[int, Process] = {}
        self._poll = select.poll()
        self._unstarted: list[Ended] = []

    @property
    def free(self) -> int:
        return self.workers - len(self._running)

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._running.values()]

    def start(self, job: Job) -> None:
        try:
            process = Process(job)
        except OSError as error:
            self._unstarted.append(Ended(job, f"no process could start: {error.strerror}"))
            return
        self._running[process.pidfd] = process
        self._poll.register(process.pidfd, select.POLLIN)

    def ended(self, timeout_s: float) -> list[Ended]:
        found, self._unstarted = self._unstarted, []
        for fd, _ in self._poll.poll(0 if found else timeout_s * 1000):
            self._poll.unregister(fd)
            process = self._running.pop(fd)
            found.append(Ended(process.job, process.death()))
        return found

    def stop(self, patience_s: float) -> list[Ended]:
        for process in self._running.values():
            process.ask()
        found, until = [], time.monotonic() + patience_s
        while self._running and (left := until - time.monotonic()) > 0:
            found += self.ended(left)
        for process in self._running.values():
            process.kill()
        while self._running:
            found += self.ended(0.1)
        return found

    def close(self) -> None:
        self.stop(0.0)
