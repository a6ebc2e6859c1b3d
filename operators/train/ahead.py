"""Batches made ahead by a thread while the net computes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Ahead(Generic[Item]):
    """Runs an endless iterator in a thread, at most `size` items ahead. `get` raises an error of the iterator."""

    def __init__(self, items: Iterator[Item], size: int) -> None:
        self._queue: queue.Queue[Item | BaseException] = queue.Queue(size)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(items,), name="batches", daemon=True)
        self._thread.start()

    def get(self) -> Item:
        item = self._queue.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def close(self) -> None:
        self._stop.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.05)
            except queue.Empty:
                continue
        self._thread.join()

    def _run(self, items: Iterator[Item]) -> None:
        try:
            while not self._stop.is_set():
                self._put(next(items))
        except BaseException as error:  # the thread has nobody else to tell
            self._put(error)

    def _put(self, item: Item | BaseException) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return
            except queue.Full:
                continue
