"""The loop of a batch: starts jobs while there is room, takes what ends, tries again what failed, and reports."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.batch import merge, report
from pipeline.batch.folder import Folder
from pipeline.batch.job import Job, read_record, write_record
from pipeline.batch.key import changed
from pipeline.batch.local import Local
from pipeline.batch.plan import Options, Plan, Planned, memory_warning, plan
from pipeline.batch.pool import STOP_S, Ended, Pool
from pipeline.batch.progress import Progress
from pipeline.batch.report import Row
from pipeline.errors import GraphError, RunError, printable
from pipeline.runtime import signals

POLL_S = 0.2


class Result(NamedTuple):
    """report: what batch.json says; code: exit code of `pipe batch`."""

    report: dict[str, Any]
    code: int


def run(options: Options, warn: Callable[[str], None]) -> Result:
    """Raises GraphError before anything starts."""
    planned = plan(options, warn)
    with Folder(options.out.resolve(), [p.item for p in planned.items], options.overwrite) as folder:
        return _Batch(options, planned, folder, warn).run()


class _Batch:
    def __init__(self, options: Options, planned: Plan, folder: Folder, warn: Callable[[str], None]) -> None:
        self.options, self.plan, self.folder, self.warn = options, planned, folder, warn
        self.began = time.monotonic()
        self.rows = {p.item.name: Row(p.item) for p in planned.items}
        self.todo: deque[Planned] = deque()
        self.running: dict[str, Planned] = {}
        self.stopped = 0  # the signal
        self.again = False  # a second one
        self._sort_out()

    def _sort_out(self) -> None:
        """Which items are done, wrong, or to do? Raises GraphError if results are there of another graph, input or version."""
        stale = []
        for p in self.plan.items:
            row = self.rows[p.item.name]
            record = self.folder.done(p.item)
            if p.wrong:
                row.fail(p.wrong)
                self.warn(f"{p.item.name}: {p.wrong}")
            elif record is None:
                self.todo.append(p)
            elif parts := changed(record.get("key"), p.key):
                stale.append(f"{p.item.name} ({', '.join(parts)})")
                self.todo.append(p)
            else:
                row.skip(record)
        if stale and not self.options.overwrite:
            more = f" and {len(stale) - 3} more" if len(stale) > 3 else ""
            raise GraphError(
                f"{self.folder.path}: results are there, of {', '.join(stale[:3])}{more}, which differ from now in what is in "
                "brackets; use --overwrite to do these again, or another --out"
            )

    def run(self) -> Result:
        skipped = len(self.rows) - len(self.todo) - sum(row.state == "failed" for row in self.rows.values())
        progress = Progress(self.plan.spec.name, len(self.rows), skipped, sum(p.weight for p in self.todo), self.options.quiet)
        if self.todo:
            pool = self._pool()
            try:
                with signals.caught(self._came), progress:
                    self._loop(pool, progress)
            finally:
                pool.close()
        done = [row.item for row in self.rows.values() if row.done and not self.stopped]  # a stop has no time for scores
        found = merge.merge(self.plan.spec, self.folder, done)
        for text in found.problems:
            self.warn(text)
        made = report.make(self.plan.spec, self.options, self.rows.values(), found, self._exit(), time.monotonic() - self.began)
        self.folder.save(made)
        return Result(made, 128 + self.stopped if self.stopped else int(made["exit"] == "failed"))

    def _exit(self) -> str:
        if self.stopped:
            return "stopped"
        return "completed" if all(row.done for row in self.rows.values()) else "failed"

    def _pool(self) -> Pool:
        cores = max(1, len(os.sched_getaffinity(0)) // self.plan.threads)
        if self.options.engine == "ray":
            from pipeline.batch.cluster import Cluster

            return Cluster(self.options.address, self.options.workers, self.plan.threads, self.folder.path)
        workers = min(self.options.workers or cores, len(self.todo))
        if text := memory_warning(self.plan, workers):
            self.warn(text)
        return Local(workers)

    def _came(self, number: int) -> None:
        self.again = bool(self.stopped)
        self.stopped = self.stopped or number

    def _loop(self, pool: Pool, progress: Progress) -> None:
        while (self.todo or self.running) and not self.stopped:
            while self.todo and pool.free > 0 and not self.stopped:
                self._start(pool, self.todo.popleft())
            for ended in pool.ended(POLL_S):
                self._take(ended, progress)
            progress.tick()
        if self.stopped:
            progress.say("stopping; what is done stays, the same command goes on with the rest")
            for ended in pool.stop(0.0 if self.again else STOP_S):
                if (read_record(Path(ended.job.folder)) or {}).get("exit") == "completed":
                    self._take(ended, progress)

    def _start(self, pool: Pool, planned: Planned) -> None:
        item = planned.item
        self.running[item.name] = planned
        tried = self.rows[item.name].tries + 1
        pool.start(
            Job(
                item.name,
                str(self.folder.try_of(item, tried)),
                tried,
                self.options.graph,
                planned.sets,
                self.options.frames,
                self.plan.threads,
                str(Path.cwd()),
                self.plan.variables,
                planned.key,
            )
        )

    def _take(self, ended: Ended, progress: Progress) -> None:
        """A try has ended: the item is done, is tried again, or has failed."""
        job = ended.job
        planned = self.running.pop(job.item)
        row, folder = self.rows[job.item], Path(job.folder)
        record = read_record(folder) or {
            "item": job.item,
            "try": job.tried,
            "key": job.key,
            "exit": "killed",
            "errors": [ended.death],
        }
        last = job.tried > self.options.retries
        good = record["exit"] == "completed"
        reason = "" if good else "; ".join(record.get("errors") or []) or ended.death or record["exit"]
        if good or last:
            try:
                if folder.is_dir():
                    if "wall_s" not in record:
                        write_record(folder, record)
                    self.folder.take(planned.item, folder)
            except (RunError, OSError) as error:
                good, last, reason = False, True, str(error)
        row.add(record, reason)
        if good:
            progress.done(job.item, planned.weight, f"done, {record['frames']} frames in {record['wall_s']:.1f} s")
        elif last:
            row.fail(reason)
            progress.done(job.item, planned.weight, f"failed: {printable(reason)}", error=True)
        else:
            self.todo.append(planned)
            progress.say(f"{job.item}: try {job.tried} failed, one more: {printable(reason)}")
