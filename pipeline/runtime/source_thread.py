"""The thread of one source in a worker: waits for room and for the reading's time, then steps it."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns

from pipeline.flow.bell import Bell
from pipeline.runtime.source_runner import SourceRunner


class SourceThread:
    """started, stopped: asked before each step. raised(node, error); at_horizon(node, stamp): the node waits."""

    def __init__(
        self,
        source: SourceRunner,
        bell: Bell,
        started: Callable[[], bool],
        stopped: Callable[[], bool],
        raised: Callable[[str, BaseException], None],
        done: Callable[[SourceRunner], None],
        at_horizon: Callable[[str, int], None],
    ) -> None:
        self._source, self._bell, self._started, self._stopped = source, bell, started, stopped
        self._raised, self._done, self._at_horizon = raised, done, at_horizon

    def run(self) -> None:
        """Run until the stream's end or a stop."""
        name = self._source.node.name
        try:
            while not self._started() and not self._stopped():
                self._bell.sleep(self._started, None)
            self._read()
            if not self._stopped():
                self._source.end()
                self._done(self._source)
        except BaseException as error:  # a thread that dies unheard would leave the run waiting for its frames
            self._raised(name, error)

    def _read(self) -> None:
        source = self._source
        while not self._stopped():
            if not source.room():
                self._bell.sleep(source.room, None)
            elif self._is_due() and not source.step():
                return

    def _is_due(self) -> bool:
        """Paced replay: wait for the next reading's time. False if stop, room or horizon must be checked again first."""
        source, clock = self._source, self._source.clock
        if (clock.rate is None and source.horizon_ns is None) or source.source.live:
            return True
        try:
            reading = source.peek()
        except BaseException:
            return True  # step() raises it again and reports it
        if reading is None:
            return True
        if source.horizon_ns is not None and reading.stamp_ns > source.horizon_ns:
            self._at_horizon(source.node.name, reading.stamp_ns)
            self._bell.sleep(_no_work, None)
            return False
        if clock.rate is not None and clock.anchor_stamp_ns is None:
            clock.anchor_stamp_ns = reading.stamp_ns
        due = clock.due_mono_ns(reading.stamp_ns)
        left_ns = 0 if due is None else due - monotonic_ns()
        if left_ns > 0:
            self._bell.sleep(_no_work, left_ns * 1e-9)
            return False
        return True


def _no_work() -> bool:
    return False
