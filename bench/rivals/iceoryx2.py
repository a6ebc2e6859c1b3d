"""iceoryx2: the producer fills the frame in a loan of shared memory; an event wakes the consumer. No copy."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import iceoryx2 as iox2

from bench.rivals.ends import Task, main

iox2.set_log_level_from_env_or(iox2.LogLevel.Error)


class End:
    def __init__(self, task: Task) -> None:
        self.node = iox2.NodeBuilder.new().create(iox2.ServiceType.Ipc)
        name = task.folder.strip("/").replace("/", "_")
        frames, there, back = (self.node.service_builder(iox2.ServiceName.new(f"{name}_{k}")) for k in range(3))
        self.frames = frames.publish_subscribe(iox2.Slice[ctypes.c_uint8]).open_or_create()
        self.there, self.back = there.event().open_or_create(), back.event().open_or_create()

    def close(self) -> None:
        """Nothing to do: the last reference releases everything."""


class Producer(End):
    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.size = task.size
        self.publisher = self.frames.publisher_builder().initial_max_slice_len(task.size).create()
        self.notifier, self.listener = self.there.notifier_builder().create(), self.back.listener_builder().create()

    def publish(self, fill: Callable[[Any], None]) -> None:
        sample = self.publisher.loan_slice_uninit(self.size)
        fill((ctypes.c_uint8 * self.size).from_address(sample.payload_ptr))
        sample.assume_init().send()
        self.notifier.notify()

    def wait(self) -> None:
        self.listener.blocking_wait()


class Consumer(End):
    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.subscriber = self.frames.subscriber_builder().create()
        self.notifier, self.listener = self.back.notifier_builder().create(), self.there.listener_builder().create()
        self.sample: Any = None

    def take(self) -> Any:
        if self.sample is not None:
            self.sample.delete()
        while (sample := self.subscriber.receive()) is None:
            self.listener.blocking_wait()
        self.sample = sample
        return (ctypes.c_uint8 * sample.payload().len()).from_address(sample.payload_ptr)

    def answer(self) -> None:
        self.notifier.notify()


if __name__ == "__main__":
    main(Producer, Consumer, "bench.rivals.iceoryx2")
