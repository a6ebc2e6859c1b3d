"""Work shared out to threads. They are Python's: two threads must not start numba's parallel loops at the same time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class Team:
    """`threads` threads, this one included; kernels release the GIL. Results must not depend on who does which piece."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        self.threads, self._others = threads, threads - 1

    def share(self, num: int, work: Callable[[int], object]) -> None:
        """Calls work(0) .. work(num - 1); each thread takes the next piece when it is free. Raises what `work` raises."""
        pieces = iter(range(num))  # its next() is atomic

        def turn() -> None:
            for piece in pieces:
                work(piece)

        others = [self._pool.submit(turn) for _ in range(min(self._others, num - 1))] if self._pool is not None else []
        turn()
        for other in others:
            other.result()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
