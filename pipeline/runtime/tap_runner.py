"""Runs a tap: an operator that only watches. Every frame of any input is a separate step, also late and repeated ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic_ns
from typing import Any

from pipeline.flow import faults
from pipeline.flow.log import DELIVERED, STEP
from pipeline.flow.reader import Arrived
from pipeline.graph.layout import IDLE, PROCESSING
from pipeline.operator import Taken
from pipeline.runtime import threads
from pipeline.runtime.line import TapLine
from pipeline.runtime.operator_runner import OperatorRunner

BATCH_BYTES = 1 << 20
"""Larger batches gain nothing: while a large frame is processed, the next one is being made."""


class TapRunner(OperatorRunner):
    """Calls `process` per frame, or `process_all` per batch if the operator sets `batch`."""

    line: TapLine

    def _run(self, trigger: Arrived, frames: dict[str, Arrived | None], missing: tuple[str, ...], bound: int) -> None:
        if self.operator.batch > 1:
            self._run_all(trigger)
        else:
            self.operator.bound = bound
            super()._run(trigger, frames, missing, bound)

    def _run_all(self, first: Arrived) -> None:
        """The arrived frames, up to a batch: one call and one commit, but one booked step per frame."""
        operator = self.operator
        frames = [
            f
            for f in self.line.batch(first, operator.batch, BATCH_BYTES)
            if not (self.line.ages and self.line.drop_if_old(f, {f.edge.port: f}))
        ]  # fmt: skip
        if not frames:
            return
        given: list[Taken] = []
        error: BaseException | None = None
        started = monotonic_ns()
        try:
            if self.asked is not None:
                self._configure(frames[0].header)
            for f in frames:
                port = f.edge.port
                given.append(Taken(port, f.header, f.bound, f.meta, self.ports[port].schema.pack(f.edge.views(f))))
            threads.apply(operator.threads)
            started = monotonic_ns()
            self.state(PROCESSING, started)
            self._points("processing", len(frames))
            operator.process_all(given)
            self.log.check_owner()
            for f in frames:
                f.edge.verify(f)
        except BaseException as raised:
            self.log.check_owner()
            if self.inline and isinstance(raised, KeyboardInterrupt):
                raise
            error = raised
        finally:
            self.state(IDLE)
        finished = monotonic_ns()
        self._points("processed", len(frames))
        if error is None:
            self._commit_all(frames, started, finished)
        else:
            self._raised(error, frames, frames[0])
        error = None
        given.clear()
        for f in frames:
            f.edge.done(f)
        for edge in self._inputs.values():
            if edge.released:
                edge.collect()

    def _commit_all(self, frames: Sequence[Arrived], started: int, finished: int) -> None:
        """One store delivers all frames. They share one step number, which tells where the item's name is."""
        each_ns = (finished - started) // len(frames)
        self.board.set_item(self.index, self._steps, frames[-1].header.item)
        now = monotonic_ns()
        with self.log.lock:
            for f in frames:
                f.accounted = True
                stamp_ns, latency_ns = f.header.stamp_ns, self._latency_ns(f.header)
                hop_ns, sent_ns, taken_ns = started - f.made_ns, started - f.sent_ns, started - f.taken_ns
                self.log.add(DELIVERED, f.edge.index, f.gen, f.who, stamp_ns, hop_ns, sent_ns, f.injected, taken_ns, slot=f.slot)
                write_ns = now - started - each_ns
                self.log.add(STEP, self.index, self._steps, f.who, stamp_ns, each_ns, latency_ns, started, write_ns << 8)
            self.log.commit()
        self._steps += 1
        self._points("committed", len(frames))

    def _points(self, step: str, count: int) -> None:
        if faults.armed:
            for _ in range(count):
                faults.point(step)

    def _latched(self) -> bool:
        """A tap does not wait for values; it gets all values of a port as soon as they arrive."""
        for port, edge in list(self._unlatched.items()):
            if edge.latched.complete:
                del self._unlatched[port]
                schema = self.ports[port].schema
                self.operator.latched(port, [(from_ns, schema.pack(arrays)) for from_ns, arrays in edge.latched.ordered()])
        return True

    def is_work(self) -> bool:
        return not self.finished and self.line.is_work(self.room)

    def _values(self, frames: Mapping[str, Arrived | None], stamp_ns: int) -> dict[str, Any]:
        return {port: self.ports[port].schema.pack(f.edge.views(f)) for port, f in frames.items() if f is not None}

    def end(self) -> None:
        self._latched()
        super().end()
