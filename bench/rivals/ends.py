"""The two ends of a measured hop, the same loop for every rival.

A rival has two classes. `Producer(task)` has `publish(fill)`, which calls `fill(buffer)` on the memory to send and then sends it,
and `wait()`, which returns when the consumer has answered. `Consumer(task)` has `take()`, which returns the bytes of the next
frame, and `answer()`. Both have `close()`. `main` starts the consumer, then the producer when the consumer is ready.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from bench import stamps
from bench.proc import cpu_ns

WARM_UP = 20
PATIENCE_S = 30.0


class Task(NamedTuple):
    """root: the process of the bench; its own CPU time does not count."""

    folder: str
    size: int
    frames: int
    period_s: float
    root: int

    @property
    def ready(self) -> Path:
        return Path(self.folder) / "ready"

    @property
    def rows(self) -> Path:
        """File of the rows that the consumer writes."""
        return Path(self.folder) / "rows.json"


class Producer(Protocol):
    def publish(self, fill: Callable[[Any], None]) -> None: ...
    def wait(self) -> None: ...
    def close(self) -> None: ...


class Consumer(Protocol):
    def take(self) -> Any: ...
    def answer(self) -> None: ...
    def close(self) -> None: ...


def main(producer: Callable[[Task], Producer], consumer: Callable[[Task], Consumer], module: str) -> None:
    """`both`, `produce` or `consume` (`send` or `take`: without an end), and the task as JSON, from the command line."""
    from bench.rivals import life

    role, task = sys.argv[1], Task(**json.loads(sys.argv[2]))
    if role == "send":
        life.send(task, producer(task))
    elif role == "take":
        life.take(task, consumer(task))
    elif role == "produce":
        produce(task, producer(task))
    elif role == "consume":
        consume(task, consumer(task))
    else:
        command = [sys.executable, "-m", module]
        taking = subprocess.Popen([*command, "consume", sys.argv[2]])
        while not task.ready.exists() and taking.poll() is None:
            time.sleep(0.02)
        making = subprocess.Popen([*command, "produce", sys.argv[2]])
        taking.wait()
        making.wait()


def produce(task: Task, end: Producer) -> None:
    due = time.monotonic()
    for number in range(task.frames + WARM_UP):
        if task.period_s:
            due += task.period_s
            time.sleep(max(0.0, due - time.monotonic()))
        elif number:
            end.wait()
        end.publish(partial(stamps.fill, number=number))
    until = time.monotonic() + PATIENCE_S
    while not task.rows.exists() and time.monotonic() < until:  # the last frame may be in this process's memory
        time.sleep(0.02)
    end.close()


def consume(task: Task, end: Consumer) -> None:
    task.ready.touch()
    rows, began = [], 0
    for number in range(task.frames + WARM_UP):
        data = end.take()
        row = stamps.taken(data)
        del data
        if number >= WARM_UP:
            rows.append(row)
        if number == WARM_UP - 1:
            began = cpu_ns(task.root, itself=False)
        if not task.period_s:
            end.answer()
    found = {"ns": rows, "cpu_ns": cpu_ns(task.root, itself=False) - began}
    part = task.rows.with_suffix(".part")
    part.write_text(json.dumps(found))
    os.replace(part, task.rows)
    end.close()
