"""ezmsg: two publishers and a reader with a subscriber for each; it keeps the newest b. Buffers are ezmsg's default."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from bench.rivals.ends import Task as EndTask
from bench.rivals.ezmsg import End
from bench.rivals.pairing import A_BYTES, A_HZ, B_BYTES, B_HZ, DRAIN_S, Reader, Task, sense, stamp_of


def sensor(task: Task, name: str) -> None:
    end = End(as_end(task), False)
    hz, size = (A_HZ, A_BYTES) if name == "a" else (B_HZ, B_BYTES)
    publisher = end.do(end.graph.publisher(name, buf_size=size + 4096))

    def send(data: np.ndarray) -> None:
        end.do(publisher.broadcast(data))

    sent = sense(task, hz, size, send)
    if name == "a":
        task.sent.write_text(str(sent))
    time.sleep(DRAIN_S)  # the last frames are in this process's memory
    end.close()


async def pairs(end: End, reader: Reader) -> None:
    a, b = await end.graph.subscriber("a"), await end.graph.subscriber("b")
    newest = 0

    async def keep() -> None:
        nonlocal newest
        while True:
            async with b.recv_zero_copy() as data:
                newest = stamp_of(data)

    keeping = asyncio.ensure_future(keep())
    while not keeping.done():
        async with a.recv_zero_copy() as data:
            at_ns = stamp_of(data)
        if newest:
            reader.take(at_ns, newest)  # blocks the loop, as computing does
        await asyncio.sleep(0)


def as_end(task: Task) -> EndTask:
    return EndTask(task.folder, A_BYTES, 0, 0.0, os.getppid())


def main() -> None:
    """`both` runs the three processes; the reader's runs the graph server."""
    role, task = sys.argv[1], Task(**json.loads(sys.argv[2]))
    if role in ("a", "b"):
        sensor(task, role)
    elif role == "join":
        end = End(as_end(task), True)
        Path(task.folder, "ready").touch()
        end.do(pairs(end, Reader(task)))
    else:
        command = [sys.executable, "-m", "bench.rivals.join_ezmsg"]
        reads = subprocess.Popen([*command, "join", sys.argv[2]])
        while not Path(task.folder, "ready").exists() and reads.poll() is None:
            time.sleep(0.02)
        for sensing in [subprocess.Popen([*command, name, sys.argv[2]]) for name in ("b", "a")]:
            sensing.wait()
        reads.terminate()
        reads.wait()


if __name__ == "__main__":
    main()
