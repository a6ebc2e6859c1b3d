"""Runs one source: read, number the reading, publish."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from time import monotonic_ns, time_ns
from typing import Any

import numpy as np

from pipeline.errors import explain
from pipeline.flow import faults
from pipeline.flow.latched import StaticPort
from pipeline.flow.log import ERROR
from pipeline.flow.slot import who
from pipeline.flow.writer import OutPort
from pipeline.frame import NEVER, Header, Reading, new_header
from pipeline.graph.layout import BUSY_SINCE, FIRST_STAMP, HAS_FIRST, IDLE, OPENING, READING, STATE
from pipeline.operator import Source
from pipeline.runtime import readings, threads
from pipeline.runtime.runner import Failure, Runner, Shared

FAST_ERRORS, PAUSE_S = 8, 0.02
"""After so many failed readings in a row, a pause follows each further one: a sensor that is gone fails at once, for ever."""


class SourceRunner(Runner):
    """limit: number of readings (`--frames`); last_stamp_ns: end of the run; horizon_ns: limit for now (`--rate step`)."""

    def __init__(
        self,
        source: Source,
        index: int,
        source_index: int,
        outputs: dict[str, OutPort],
        statics: Mapping[str, StaticPort],
        shared: Shared,
        on_error: str,
    ) -> None:
        super().__init__(source, index, outputs, shared, on_error)
        self.source, self.source_index = source, source_index
        self.limit: int | None = None
        self.last_stamp_ns: int | None = None
        self.horizon_ns: int | None = None
        self.next_id = 0 if source.resume is None else source.resume.frame_id + 1
        self.last_emitted_ns = NEVER
        self.held: Reading | None = None
        self._failed: BaseException | None = None
        self._failed_in_a_row = 0
        self._has_first = False
        self._statics = statics
        self._max_stamp = NEVER
        self._read_ns = self._made_ns = 0
        self._disorder_ns = round(source.max_disorder_ms * 1e6)
        edges: dict[str, list[Any]] = {name: list(port.edges) for name, port in outputs.items()}
        edges |= {name: list(port.edges) for name, port in statics.items()}
        source.wanted = frozenset(name for name, to in edges.items() if to)
        source.needed = frozenset(name for name, to in edges.items() if any(not (e.spec.tap or e.spec.spare) for e in to))

    def open(self) -> None:
        with self.calling("open", OPENING):
            with threads.limit(self.node.threads):
                self.source.open(self.next_id)
            self._disorder_ns = round(self.source.max_disorder_ms * 1e6)
            latched: dict[str, list[tuple[int, Mapping[str, np.ndarray]]]] = {name: [] for name in self._statics}
            for value in self.source.statics():
                port = self._statics[value.port]
                latched[value.port].append((value.from_ns, port.schema.accept(value.value, port.label)))
            for name, values in latched.items():
                self._statics[name].latch(values)
        self.opened = True

    def end_at(self, stamp_ns: int) -> None:
        """No reading after this stamp is emitted."""
        self.last_stamp_ns = stamp_ns if self.last_stamp_ns is None else min(stamp_ns, self.last_stamp_ns)
        self.source.ending = True

    def peek(self) -> Reading | None:
        """The next reading, kept until `step` emits it; None at the end. The exception of a failed reading is kept too."""
        if self._failed is not None:
            raise self._failed
        if self.held is None and not self.finished:
            if self.limit is not None and self.next_id >= self.limit:
                return None
            started = monotonic_ns()
            self.state(READING, started)
            try:
                threads.apply(self.node.threads)
                reading = self.source.read()
                self._made_ns = self._returned_ns = monotonic_ns()
                self.log.check_owner()
                self._read_ns = self._made_ns - started
                if faults.armed:
                    faults.point("reading")
                if reading is not None:
                    self.held = readings.checked(reading, self.next_id)
                    if self.source.live:
                        self.held.stamp_ns = self.clock.steady(self.held.stamp_ns)
            except BaseException as error:  # sys.exit(), too, is an error of this reading
                self.log.check_owner()
                self.abort()
                if self.inline and isinstance(error, KeyboardInterrupt):
                    raise
                self._failed = error
                raise
            finally:
                self._words[self._at + BUSY_SINCE] = 0
                self._words[self._at + STATE] = IDLE
        if self.held is not None and self.last_stamp_ns is not None and self.held.stamp_ns > self.last_stamp_ns:
            self.held = None
            self.abort()
            self.limit = self.next_id  # no further readings
        return self.held

    def step(self) -> bool:
        """Read and publish one reading; False when the stream has ended (the caller has checked `room()`)."""
        try:
            reading = self.peek()
        except BaseException as error:
            if error is not self._failed:
                raise
            return self._raised(error)
        if reading is None:
            return False
        self.held = None
        if self.clock.rate is not None:
            self._made_ns = monotonic_ns()  # the reading was read ahead and has waited for its time
        frame_id = self.next_id if reading.frame_id is None else reading.frame_id
        stamp_ns = reading.stamp_ns
        header = new_header(Header, (self.node.name, frame_id, reading.item, stamp_ns, reading.recv_ns or time_ns()))
        if stamp_ns > self._max_stamp:
            self._max_stamp = stamp_ns
        bound = self._max_stamp - self._disorder_ns if self._disorder_ns else self._max_stamp + 1
        for name, meta in reading.meta.items():
            self._meta[name] = meta
        number = who(self.source_index, frame_id)
        try:
            written = self.write(reading.values, header, number, bound, self._made_ns)
        except Exception as error:
            return self._raised(error)
        reading = None
        self.next_id, self._failed_in_a_row = frame_id + 1, 0
        self.board.set_item(self.index, self._steps, header.item)
        now = monotonic_ns()
        step = (self.index, self._steps, number, header.stamp_ns, self._read_ns, -1, now)
        self.last_emitted_ns = header.stamp_ns
        if not self._has_first:
            self._set_first(header.stamp_ns)
        self.publish(step, (), written, bound, now)
        return True

    def _set_first(self, stamp_ns: int) -> None:
        """Windows of faults count from the first frame of the source, that of its first life."""
        self._has_first = True
        if not self._words[self._at + HAS_FIRST]:
            self._words[self._at + FIRST_STAMP] = stamp_ns
            self._words[self._at + HAS_FIRST] = 1

    def _raised(self, error: BaseException) -> bool:
        """A reading failed: its number is skipped, or the run stops."""
        details = traceback.format_exc()
        self.held = self._failed = None
        self.abort()
        frame_id, self.next_id = self.next_id, self.next_id + 1
        self._failed_in_a_row += 1
        message = f"{self.node.name}: reading {frame_id}: {explain(error)}"
        with self.log.lock:
            self.log.add(ERROR, self.index, 0, who(self.source_index, frame_id), 0, monotonic_ns())
            self.log.commit()
        if self.on_error == "stop":
            if self.passes(error):
                raise error
            raise Failure(message, details) from None
        count = self._failed_in_a_row
        if count & (count - 1) == 0:  # 1, 2, 4, ...: the log of a sensor that is gone must not grow for ever
            self.report(message if count == 1 else f"{message} ({count} in a row)", details)
        if count > FAST_ERRORS:
            time.sleep(PAUSE_S)
        return True
