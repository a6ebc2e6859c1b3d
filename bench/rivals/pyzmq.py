"""Plain pyzmq: a DEALER at each end of a Unix socket. Three copies: into its buffer, into the socket, out of the socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import zmq

from bench.rivals.ends import Task, main


class End:
    def __init__(self, task: Task, first: bool) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.set_hwm(2)  # a fast producer waits, so the bench measures the hop, not a queue
        address = f"ipc://{task.folder}/s"
        if first:
            self.socket.bind(address)
        else:
            self.socket.connect(address)

    def close(self) -> None:
        self.context.destroy(0)


class Producer(End):
    def __init__(self, task: Task) -> None:
        super().__init__(task, False)
        self.data = bytearray(task.size)

    def publish(self, fill: Callable[[Any], None]) -> None:
        fill(self.data)
        self.socket.send(self.data)

    def wait(self) -> None:
        self.socket.recv()


class Consumer(End):
    def __init__(self, task: Task) -> None:
        super().__init__(task, True)

    def take(self) -> Any:
        return self.socket.recv()

    def answer(self) -> None:
        self.socket.send(b"1")


if __name__ == "__main__":
    main(Producer, Consumer, "bench.rivals.pyzmq")
