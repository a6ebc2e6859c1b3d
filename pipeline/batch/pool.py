"""What runs the jobs of a batch: processes here (local.py), or a cluster (cluster.py)."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from pipeline.batch.job import Job

STOP_S = 1.2
"""What a run may take to stop between two frames; then it is killed."""


class Ended(NamedTuple):
    """death: why the process of the job left no record; "" if there is one."""

    job: Job
    death: str


class Pool(Protocol):
    name: str

    @property
    def free(self) -> int:
        """How many jobs can start now."""

    def start(self, job: Job) -> None: ...

    def ended(self, timeout_s: float) -> list[Ended]:
        """Waits until a job ends, at most so long."""

    def stop(self, patience_s: float) -> list[Ended]:
        """Ends all jobs: within `patience_s` between two frames, then by SIGKILL. -> those that have ended meanwhile"""

    def close(self) -> None: ...
