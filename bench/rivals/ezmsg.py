"""ezmsg: publisher and subscriber on an event loop of this thread, NumPy arrays through its shared memory; ezmsg copies in."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
from ezmsg.core.graphcontext import GraphContext

from bench.rivals.ends import Task, main


class End:
    def __init__(self, task: Task, serves: bool) -> None:
        """The consumer starts first and runs the graph server."""
        self.loop = asyncio.new_event_loop()
        file = Path(task.folder) / "port"
        if serves and not file.exists():  # a second one takes over the port of the first
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                file.write_text(str(free.getsockname()[1]))
        self.graph = GraphContext(("127.0.0.1", int(file.read_text())), auto_start=serves)
        self.do(self.graph.__aenter__())

    def do(self, what: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(what)

    def close(self) -> None:
        self.do(self.graph.__aexit__(None, None, None))


class Producer(End):
    def __init__(self, task: Task) -> None:
        super().__init__(task, False)
        self.data = np.zeros(task.size, np.uint8)
        self.publisher = self.do(self.graph.publisher("frames", buf_size=task.size + 4096))
        self.answers = self.do(self.graph.subscriber("back"))

    def publish(self, fill: Callable[[Any], None]) -> None:
        fill(self.data)
        self.do(self.publisher.broadcast(self.data))

    def wait(self) -> None:
        self.do(self.answers.recv())


class Consumer(End):
    def __init__(self, task: Task) -> None:
        super().__init__(task, True)
        self.frames = self.do(self.graph.subscriber("frames"))
        self.publisher = self.do(self.graph.publisher("back"))

    def take(self) -> Any:
        return self.do(self._take())

    async def _take(self) -> np.ndarray:
        async with self.frames.recv_zero_copy() as data:
            return data[:16].copy()  # the view is valid only in this block

    def answer(self) -> None:
        self.do(self.publisher.broadcast(1))


if __name__ == "__main__":
    main(Producer, Consumer, "bench.rivals.ezmsg")
