"""The jobs of a batch on a Ray cluster (extra `ray`). Ray says where and when; the work is that of `process.py`, as locally.

A Ray task starts the process of its item, as `local.py` does, and waits for it. Frames never go through Ray, and no result does:
the process writes into DIR, which all machines see under the same path (a shared file system); that is tested before the start.
So are the versions of the code there. A task asks for as many CPUs as the graph has threads in one node.

Ray pickles what it sends: whoever reaches its ports runs code on its machines. Keep them in a network that you trust.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.batch import version
from pipeline.batch.job import Job
from pipeline.batch.pool import Ended
from pipeline.batch.process import Process
from pipeline.errors import GraphError, explain

_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""Nothing phones home."""
_STORE_BYTES = 100_000_000  # of a cluster that is started here; nothing is stored in it
_LOOK_S = 120.0
"""A machine may need so long to start a first Python process for Ray."""


class Cluster:
    """address: of a cluster; None: one is started here, on loopback, without dashboard. Raises GraphError."""

    name = "ray"

    def __init__(self, address: str | None, workers: int | None, threads: int, folder: Path) -> None:
        os.environ.update(_QUIET)
        try:
            import ray
        except ImportError:
            raise GraphError("--engine ray: needs ray, which is not installed; pip install 'perception-pipe[ray]'") from None
        self._ray, self._threads = ray, threads
        self._jobs: dict[Any, Job] = {}
        options: dict[str, Any] = {"address": address}
        if address is None:
            cores = len(os.sched_getaffinity(0))
            wanted = cores if workers is None else workers * threads
            options = {
                "address": "local", "num_cpus": wanted, "include_dashboard": False, "object_store_memory": _STORE_BYTES,
                "_node_ip_address": "127.0.0.1",
            }  # fmt: skip
        try:
            ray.init(**options, log_to_driver=False, configure_logging=True, logging_level=logging.ERROR)
        except Exception as error:
            at = "" if address is None else f" --address {address}"
            raise GraphError(f"--engine ray{at}: needs a cluster, got: {explain(error)[:300]}") from None
        try:
            self.workers = self._checked(workers, folder)
        except BaseException:
            self.close()
            raise

    def _checked(self, workers: int | None, folder: Path) -> int:
        """The number of items at the same time. Raises RunError if a machine cannot run them."""
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        cpus = [int(node["Resources"].get("CPU", 0)) // self._threads for node in nodes]
        if not sum(cpus):
            raise GraphError(
                f"--engine ray: needs a machine with {self._threads} CPUs (threads of one node), got none in the cluster"
            )
        with _probe(folder) as (path, text):
            for node, there in self._looks(nodes, path):
                who = f"machine {node['NodeManagerAddress']} of the cluster"
                if there is None:
                    raise GraphError(f"{who}: needs to answer within {_LOOK_S:g} s, got nothing")
                if parts := version.differences(version.code(), there["code"]):
                    raise GraphError(f"{who}: needs the code of this machine, got other: {', '.join(parts)}")
                if there["probe"] != text:
                    raise GraphError(
                        f"{who}: needs {folder} as it is here (a shared file system), and does not see what is written"
                    )
        return sum(cpus) if workers is None else min(workers, sum(cpus))

    def _looks(self, nodes: list[dict[str, Any]], path: Path) -> Iterator[tuple[dict[str, Any], Any]]:
        """Each machine, and what it says; None: nothing."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        task = self._ray.remote(num_cpus=0, max_retries=0)(look)
        asked = {}
        for node in nodes:
            strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            asked[node["NodeID"]] = task.options(scheduling_strategy=strategy).remote(str(path))
        until = time.monotonic() + _LOOK_S
        for node in nodes:
            try:
                yield node, self._ray.get(asked[node["NodeID"]], timeout=max(0.1, until - time.monotonic()))
            except self._ray.exceptions.GetTimeoutError:
                yield node, None
            except self._ray.exceptions.RayError as error:
                raise GraphError(f"machine {node['NodeManagerAddress']} of the cluster: {_line(error)}") from None

    @property
    def free(self) -> int:
        return self.workers - len(self._jobs)

    def start(self, job: Job) -> None:
        task = self._ray.remote(num_cpus=self._threads, max_retries=0, name=f"pipe {job.item}")(work)  # run.py tries again
        self._jobs[task.remote(job.text())] = job

    def ended(self, timeout_s: float) -> list[Ended]:
        if not self._jobs:
            return []
        found = []
        ready, _ = self._ray.wait(list(self._jobs), num_returns=1, timeout=timeout_s)
        for ref in ready:
            job = self._jobs.pop(ref)
            try:
                death = self._ray.get(ref)
            except self._ray.exceptions.RayError as error:
                death = f"lost with its worker or machine: {_line(error)}"
            found.append(Ended(job, death))
        return found

    def stop(self, patience_s: float) -> list[Ended]:
        """Ray can only end the worker of a task; the process of the item ends with it."""
        for ref in self._jobs:
            with contextlib.suppress(Exception):
                self._ray.cancel(ref, force=True)
        self._jobs.clear()
        return []

    def close(self) -> None:
        self.stop(0.0)
        self._ray.shutdown()


def work(job: str) -> str:
    """On a machine of the cluster: runs an item -> why its process left no record, "" if it did."""
    process = Process(Job.parse(job))
    try:
        return process.death()
    except BaseException:  # cancelled
        process.kill()
        raise


def look(probe: str) -> dict[str, Any]:
    """On a machine of the cluster: the version of its code, and what it reads in DIR."""
    try:
        text = Path(probe).read_text()
    except OSError:
        text = ""
    return {"host": platform.node(), "code": version.code(), "probe": text}


@contextlib.contextmanager
def _probe(folder: Path) -> Iterator[tuple[Path, str]]:
    """A file in DIR with a random text."""
    text = os.urandom(8).hex()
    path = folder / f".probe-{text}"
    path.write_text(text)
    try:
        yield path, text
    finally:
        path.unlink(missing_ok=True)


def _line(error: BaseException) -> str:
    """The first sentence of what Ray says, without its advice."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200] if lines else ''}".rstrip(": ")
