"""`pipe bench batch`: items per second of `pipe batch` against 1 to 8 workers, beside `xargs -P` with `pipe run` of each item.

Two kinds of items. `compute`: a second of arithmetic in one thread, for as many workers as there are cores; more of them would
share the cores. `sleep`: a second of sleep in place of cores that this machine does not have. That shows the cost of the batch
itself, not the speed of more cores. With ray installed, `--engine ray` runs the same items in a cluster on this machine.
The start of an item's process is in all figures.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.common import header
from pipeline.frame import Reading
from pipeline.nodes.counts import COUNT
from pipeline.operator import Found, Source

SECOND, PER_WORKER = 1.0, 4
WORKERS = (1, 2, 4, 8)
GRAPH = """version: 1
nodes:
  work: {driver: "bench.batch:Work"}
  sink: {op: test.null, inputs: {in: work.out}}
"""


@dataclass(frozen=True)
class WorkConfig:
    item: str = ""
    seconds: float = SECOND  # of one item
    sleep: bool = False


class Work(Source):
    """One reading that takes `seconds`, of CPU time or of sleep."""

    Config, outputs = WorkConfig, {"out": COUNT}

    @classmethod
    def find(cls, config: WorkConfig) -> Found:
        return Found(1, 1.0, np.array([0], np.int64))

    def open(self, start: int = 0) -> None:
        self.left = 1 - start

    def read(self) -> Reading | None:
        if not self.left:
            return None
        self.left = 0
        if self.config.sleep:
            time.sleep(self.config.seconds)
        else:
            until = time.thread_time() + self.config.seconds
            while time.thread_time() < until:
                sum(range(1000))
        return Reading({"out": np.array([1], np.int64)}, self.config.item, 0)


def batch(graph: Path, engine: str, workers: int, items: list[str], sets: list[str]) -> float:
    """Items per second, from the command to its end."""
    with tempfile.TemporaryDirectory(prefix="pipe-bench-") as out:
        words = ["batch", str(graph), "--items", ",".join(items), "--engine", engine, "--workers", str(workers), "--quiet"]
        words += [*_sets(["work.config.item={item}", *sets]), "--out", out]
        return len(items) / _seconds([sys.executable, "-m", "pipeline", *words])


def xargs(graph: Path, workers: int, items: list[str], sets: list[str]) -> float:
    """The rival: a shell's own way to do it, without resume, retries and report."""
    with tempfile.TemporaryDirectory(prefix="pipe-bench-") as out:
        words = [sys.executable, "-m", "pipeline", "run", str(graph), "--place", "inline", "--quiet", "--out", f"{out}/@"]
        command = ["xargs", "-P", str(workers), "-I", "@", *words, *_sets(["work.config.item=@", *sets])]
        return len(items) / _seconds(command, "\n".join(items))


def _sets(texts: list[str]) -> list[str]:
    return [word for text in texts for word in ("--set", text)]


def engines_here() -> list[str]:
    return ["local", "ray"] if importlib.util.find_spec("ray") else ["local"]


def _seconds(command: list[str], given: str | None = None) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {done.stdout}{done.stderr}")
    return time.perf_counter() - began


def main(per_worker: int = PER_WORKER, second: float = SECOND) -> dict[str, Any]:
    about = header("pipe bench batch", f"{per_worker} items of {second:g} s for each worker")
    cores, engines = len(os.sched_getaffinity(0)), engines_here()
    rows, figures = list[dict[str, Any]](), dict[str, float]()
    print("items    workers  ideal/s  xargs/s" + "".join(f" {engine + '/s':>8} {'share':>6}" for engine in engines))
    with tempfile.TemporaryDirectory(prefix="pipe-bench-") as folder:
        graph = Path(folder) / "graph.yaml"
        graph.write_text(GRAPH)
        for kind in ("compute", "sleep"):
            sets = [f"work.config.seconds={second}", f"work.config.sleep={str(kind == 'sleep').lower()}"]
            for workers in WORKERS:
                if kind == "compute" and workers > cores:
                    continue  # they would share the cores
                items = [f"{i:03d}" for i in range(per_worker * workers)]
                row: dict[str, Any] = {"items": kind, "workers": workers, "xargs": xargs(graph, workers, items, sets)}
                row |= {engine: batch(graph, engine, workers, items, sets) for engine in engines}
                rows.append(row)
                figures |= {f"{kind}.{workers}.{engine}": row[engine] for engine in ("xargs", *engines)}
                shares = "".join(f" {row[engine]:8.2f} {row[engine] * second / workers:6.0%}" for engine in engines)
                print(f"{kind:<8} {workers:>7} {workers / second:8.2f} {row['xargs']:8.2f}{shares}", flush=True)
    return {"about": about, "rows": rows, "figures": figures}
