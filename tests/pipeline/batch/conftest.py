"""A graph that counts, and a pool that runs jobs in the process of the test."""

from pathlib import Path

import pytest

from pipeline.batch import run as loop
from pipeline.batch import work
from pipeline.batch.job import write_record
from pipeline.batch.plan import Options
from pipeline.batch.pool import Ended

GRAPH = """version: 1
nodes:
  src:  {driver: test.counter, config: {frames: 4}}
  mid:  {op: test.fault, inputs: {data: src.out}, config: {kind: none}}
  sink: {op: test.null, inputs: {in: mid.out}, config: {write: true}}
"""


class Here:
    """dies: item -> deaths of its first tries; started: all jobs, in order."""

    name = "here"

    def __init__(self):
        self.started, self.dies, self.todo = [], {}, []
        self.during = lambda job: None

    @property
    def free(self):
        return 1 - len(self.todo)

    def start(self, job):
        self.started.append(f"{job.item}.{job.tried}")
        self.todo.append(job)

    def ended(self, timeout_s):
        found = [self._run(job) for job in self.todo]
        self.todo = []
        return found

    def _run(self, job):
        self.during(job)
        Path(job.folder).mkdir(parents=True)
        if job.tried <= len(self.dies.get(job.item, ())):
            (Path(job.folder) / "item.log").touch()
            return Ended(job, self.dies[job.item][job.tried - 1])
        write_record(Path(job.folder), work.run(job))
        return Ended(job, "")

    def stop(self, patience_s):
        found, self.todo = [Ended(job, "killed by SIGTERM") for job in self.todo], []
        return found

    def close(self):
        pass


@pytest.fixture
def here(monkeypatch):
    pool = Here()
    monkeypatch.setattr(loop, "Local", lambda workers: pool)
    return pool


@pytest.fixture
def graph(tmp_path):
    path = tmp_path / "graph.yaml"
    path.write_text(GRAPH)
    return path


@pytest.fixture
def batch(here, graph, tmp_path, capsys):
    """batch("0,10", "mid.config.at=2", retries=0) -> the result; `batch.pool`, `batch.warned`, `batch.out`."""

    def call(items, *sets, **options):
        call.warned.clear()
        here.started.clear()
        sets = ("src.config.start={item}", *sets)
        return loop.run(Options(str(graph), items, sets, call.out, **{"quiet": True, **options}), call.warned.append)

    call.pool, call.out, call.warned = here, tmp_path / "out", []
    return call
