"""Two ends that run until they are stopped: one frame per period, a line per arrival. `lives.py` kills and stops them."""

from __future__ import annotations

import os
import time
from contextlib import closing
from functools import partial
from pathlib import Path

from bench import stamps
from bench.rivals.ends import Consumer, Producer, Task


def send(task: Task, end: Producer) -> None:
    """A frame per period until Ctrl-C; an end that cannot send is an error, whose text is in the log."""
    note_pid(task, "send")
    due, number = time.monotonic(), 0
    with closing(end):
        while True:
            due = max(due + task.period_s, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
            end.publish(partial(stamps.fill, number=number))
            number += 1


def take(task: Task, end: Consumer) -> None:
    """Appends `time of arrival, age of the frame` [ns] to the file of arrivals, until Ctrl-C."""
    note_pid(task, "take")
    task.ready.touch()
    with closing(end), arrivals(task.folder).open("a", buffering=1) as out:
        while True:
            data = end.take()
            age_ns, _ = stamps.taken(data)
            del data
            out.write(f"{time.monotonic_ns()} {age_ns}\n")


def note_pid(task: Task, role: str) -> None:
    part = Path(task.folder) / f"pid-{role}.part"
    part.write_text(str(os.getpid()))
    os.replace(part, part.with_suffix(""))


def arrivals(folder: str | Path) -> Path:
    return Path(folder) / "arrivals"
