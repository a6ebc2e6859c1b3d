"""zenoh: peers joined by one TCP connection on this machine, frames in its shared memory.

The Python binding gives no view of a loan: the producer fills a frame in private memory and copies it into the loan
(`loan[:] = ...`); the consumer copies it out. Both copies count as zenoh's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import zenoh
from zenoh import shm

from bench.rivals.ends import Task, main

SMALL = 64
"""Frames up to so many bytes go without shared memory, which costs them more than it saves."""


def session(task: Task, listens: bool) -> zenoh.Session:
    config = zenoh.Config()
    config.insert_json5("scouting/multicast/enabled", "false")
    config.insert_json5("transport/shared_memory/enabled", "true")
    address = json.dumps([f"unixsock-stream/{task.folder}/z"])
    if not listens:
        config.insert_json5("listen/endpoints", "[]")
    config.insert_json5("listen/endpoints" if listens else "connect/endpoints", address)
    return zenoh.open(config)


class Producer:
    def __init__(self, task: Task) -> None:
        self.session = session(task, False)
        self.data = bytearray(task.size)
        self.pool = shm.ShmProvider.default_backend(8 * task.size + (1 << 16)) if task.size > SMALL else None
        self.answers = self.session.declare_subscriber("back", zenoh.handlers.FifoChannel(16))
        self.publisher = self.session.declare_publisher("frames", congestion_control=zenoh.CongestionControl.BLOCK)
        while not self.publisher.matching_status.matching:
            time.sleep(0.01)

    def publish(self, fill: Callable[[Any], None]) -> None:
        fill(self.data)
        if self.pool is None:
            self.publisher.put(bytes(self.data))
            return
        loan = self.pool.alloc(len(self.data), policy=shm.BlockOn(shm.GarbageCollect()))
        loan[:] = self.data
        self.publisher.put(loan)

    def wait(self) -> None:
        self.answers.recv()

    def close(self) -> None:
        self.session.close()


class Consumer:
    def __init__(self, task: Task) -> None:
        self.session = session(task, True)
        self.subscriber = self.session.declare_subscriber("frames", zenoh.handlers.FifoChannel(16))
        self.publisher = self.session.declare_publisher("back", congestion_control=zenoh.CongestionControl.BLOCK)

    def take(self) -> Any:
        return bytes(self.subscriber.recv().payload)

    def answer(self) -> None:
        self.publisher.put(b"1")

    def close(self) -> None:
        self.session.close()


if __name__ == "__main__":
    main(Producer, Consumer, "bench.rivals.zenoh")
