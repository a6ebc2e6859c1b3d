"""Runs one operator: take a set of inputs, call it, commit the step, send the outputs."""

from __future__ import annotations

import contextlib
import errno
import gc
import hashlib
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic_ns, time_ns
from typing import Any, NamedTuple

import numpy as np

from pipeline.errors import FrameError, explain
from pipeline.flow import faults
from pipeline.flow.edge import Sent
from pipeline.flow.latched import StaticIn
from pipeline.flow.log import ERROR
from pipeline.flow.reader import Arrived
from pipeline.flow.writer import OutPort
from pipeline.frame import FOREVER, NEVER, Header
from pipeline.graph.layout import BUSY_SINCE, IDLE, OPENING, PROCESSING, STATE, WAITING, WANTED_LEVEL
from pipeline.operator import Operator
from pipeline.outputs import by_port
from pipeline.runtime import poison, threads
from pipeline.runtime.digests import digest_frame, digest_latched
from pipeline.runtime.line import Line
from pipeline.runtime.messages import Configured
from pipeline.runtime.runner import Failure, Runner, Shared
from pipeline.schema import Port

MAX_POISON = 20
"""Most frames saved per node when its operator raises; further ones are only counted."""


class Asked(NamedTuple):
    """A change of the config (live_config.py). config: None = it is in place since `open`."""

    number: int
    config: Any


class OperatorRunner(Runner):
    """line: the stream inputs; statics: the latched inputs; ports: all input ports, connected or not.

    poison_dir  folder for frames that make the operator raise, None = not saved
    digest      of a sink's whole input, for runs whose result depends on their input alone
    asked       the config from the next frame on, set by another thread; `confirm` is called when it holds
    """

    asked: Asked | None = None
    confirm: Callable[[Configured], None]

    def __init__(
        self,
        operator: Operator,
        index: int,
        line: Line,
        statics: Mapping[str, StaticIn],
        ports: Mapping[str, Port],
        outputs: dict[str, OutPort],
        shared: Shared,
        on_error: str,
        poison_dir: Path | None,
        deterministic: bool,
    ) -> None:
        super().__init__(operator, index, outputs, shared, on_error)
        self.operator, self.line, self.statics, self.ports = operator, line, statics, ports
        self._inputs = line.inputs
        self._poison_dir, self._poisoned = poison_dir, 0
        self._advanced = NEVER
        self._unconnected = {p: None for p in ports if p not in line.inputs and p not in statics}
        self._one_input = next(iter(line.inputs)) if len(line.inputs) == 1 and len(ports) == 1 else None
        self._roomy = not outputs  # there is room for the next step
        self._digest = hashlib.sha256() if deterministic and not outputs else None
        self._unlatched = dict(statics)
        self._latched_before: dict[str, tuple[Any, bytes]] = {}  # port -> the value in the digest, and its own digest
        self._collected = 0
        self._value_missing = False
        self._has_levels = bool(operator.levels_of(operator.config))

    def open(self) -> None:
        with self.calling("open", OPENING), threads.limit(self.node.threads):
            self.operator.open()
        self.opened = True

    # -- one step -------------------------------------------------------------------------------------------------
    def step(self) -> bool:
        """Take arrivals and run at most one set; True if there was any work."""
        if self.finished:
            return False
        line = self.line
        item = line.next()
        if item is None:
            return self._idle()
        if self._unlatched and not self._latched():
            if self._never_latched():
                line.remove()
                line.discard(item, "error")
                return True
            line.ring()
            return False
        if not self._roomy and not self.room():
            line.ring()
            return False
        self._roomy = not self.outputs
        line.remove()
        if isinstance(item, Arrived):
            self._run(item, {item.edge.port: item}, (), item.bound)
        else:
            self._run(item.frames[line.trigger], item.frames, item.missing, item.stamp_ns + 1)
        return True

    def _idle(self) -> bool:
        """No set to process: pass the bound on, or end."""
        self.line.ring()
        if self.outputs:
            self._roomy = self.has_credit()  # check now, not after the next arrival
            bound = self.line.output_bound()
            if self._advanced < bound < FOREVER:
                self._advanced = bound
                self.advance(bound)
        if self.line.ended():
            self.end()
            return True
        if self._words[self._at + STATE] == WAITING:
            self.state(IDLE)
        return self._collect_cycles()

    def is_work(self) -> bool:
        """Called before the thread sleeps. A static value that arrives later rings the bell."""
        if self.finished or any(not (e.latched.complete or e.cut) for e in self._unlatched.values()):
            return False
        return self.line.is_work(self.room)

    def _latched(self) -> bool:
        """Have the values of all static inputs arrived? Raises FrameError if a required one has no value."""
        for port, edge in list(self._unlatched.items()):
            if not edge.latched.complete and (not edge.cut or not self.ports[port].optional):
                return False
            if not edge.latched.values and not self.ports[port].optional:
                origin = edge.spec.name.partition("->")[0]
                raise FrameError(f"{self.node.name}.{port}: needs a value, got none: statics() of {origin} named none")
            del self._unlatched[port]
        return True

    def _never_latched(self) -> bool:
        """Was the writer of a required value given up before it sent one (and the run continues)? Logged once."""
        cut = next((edge for edge in self._unlatched.values() if edge.cut and not edge.latched.complete), None)
        if cut is None:
            return False
        if not self._value_missing:
            self._value_missing = True
            origin = cut.spec.name.partition("->")[0].rpartition(".")[0]
            text = f"{self.node.name}.{cut.port}: needs a value, got none: {origin} was given up; all that needs it is dropped"
            self.node.log.error("%s", text)
        return True

    def _collect_cycles(self) -> bool:
        """Views in reference cycles end only by garbage collection: run it if they hold all the credit. True if views ended."""
        if not self.line.keeps_views():
            return False
        edges = self._inputs.values()
        kept = sum(edge.kept for edge in edges)
        if kept == self._collected or not any(e.kept >= e.spec.window + e.spec.holds for e in edges):
            return False
        gc.collect()
        freed = any(edge.released for edge in edges)
        self._collected = 0 if freed else kept  # do not collect again for views that the operator keeps
        return freed

    # -- one call -------------------------------------------------------------------------------------------------
    def _run(self, trigger: Arrived, frames: dict[str, Arrived | None], missing: tuple[str, ...], bound: int) -> None:
        self._advanced = bound
        if self.line.ages and self.line.drop_if_old(trigger, frames):
            self.advance(bound)
            return
        operator, header = self.operator, trigger.header
        operator.header, operator.missing = header, missing
        operator._take(frames)
        taken = [trigger] if len(frames) == 1 else [frame for frame in frames.values() if frame is not None]
        words, at = self._words, self._at
        written: list[Sent] = []
        started = finished = 0
        error: BaseException | None = None
        values: dict[str, Any] | None = None
        result: Any = None
        try:
            if self.asked is not None:
                self._configure(header)
            if self._has_levels and words[at + WANTED_LEVEL] != self.level:
                self._set_level(words[at + WANTED_LEVEL])
            values = self._values(frames, header.stamp_ns)
            threads.apply(operator.threads)
            started = words[at + BUSY_SINCE] = monotonic_ns()
            words[at + STATE] = PROCESSING
            if faults.armed:
                faults.point("processing")
            result = operator.process(**values)
            finished = self._returned_ns = monotonic_ns()
            self.log.check_owner()
            for frame in taken:
                frame.edge.verify(frame)
            if result is not None:
                written = self.write(by_port(result, self.outputs, self.node.name), header, trigger.who, bound, finished)
            elif self.outputs:
                self.abort()
            if self._digest is not None or self.trace is not None:
                self._digest_set(header, frames)
        except BaseException as raised:  # sys.exit(), too, is an error of this frame
            self.log.check_owner()
            self.abort()
            if self.inline and isinstance(raised, KeyboardInterrupt):
                raise
            error = raised
        finally:
            words[at + BUSY_SINCE] = 0
            words[at + STATE] = IDLE
        if faults.armed:
            faults.point("processed")
        if self.line.latest:
            self.line.processed(trigger)
        if error is None:
            latency_ns = -1
            if not self.outputs:
                latency_ns = self._latency_ns(header)
                self.board.set_item(self.index, self._steps, header.item)
            step = (self.index, self._steps, trigger.who, header.stamp_ns, finished - started, latency_ns, started)
            self.publish(step, taken, written, bound, monotonic_ns())
        else:
            self._save_poison(frames, trigger, self._text(error))
            self._raised(error, taken, trigger)
            self.advance(bound)
        # Views end here unless the operator kept some: no reference of this runner may remain.
        values = result = error = None
        for frame in taken:
            if frame is trigger or not self.line.joins:
                frame.edge.done(frame)  # a join's other frames are given back after their last set
            if frame.edge.released:
                frame.edge.collect()

    def _set_level(self, level: int) -> None:
        """An operator that cannot loses this frame only: it stays at the level it has."""
        self._has_levels = False
        threads.apply(self.operator.threads)
        self.operator.set_level(level)
        self._has_levels, self.level = True, level

    def _configure(self, header: Header) -> None:
        """The config that was asked for holds from this frame on. An operator that refuses it keeps the one it has."""
        asked, self.asked = self.asked, None
        assert asked is not None
        error = None
        if asked.config is not None:
            threads.apply(self.operator.threads)
            self.state(PROCESSING, monotonic_ns())
            try:
                self.operator.reconfigure(asked.config)
            except Exception as raised:
                error = explain(raised)
        self.confirm(Configured(self.node.name, asked.number, header.source, header.frame_id, error))

    def _values(self, frames: Mapping[str, Arrived | None], stamp_ns: int) -> dict[str, Any]:
        if self._one_input is not None:
            frame = frames[self._one_input]
            assert frame is not None
            return {self._one_input: self.ports[self._one_input].schema.pack(frame.edge.views(frame))}
        values: dict[str, Any] = dict(self._unconnected)
        for port, frame in frames.items():
            values[port] = None if frame is None else self.ports[port].schema.pack(frame.edge.views(frame))
        if len(frames) < len(self._inputs):
            for port in self._inputs:
                values.setdefault(port, None)
        for port, edge in self.statics.items():
            arrays = edge.latched.at(stamp_ns)
            values[port] = None if arrays is None else self.ports[port].schema.pack(arrays)
        return values

    def _latency_ns(self, header: Header) -> int:
        """Time since the frame's capture (without a clock: its arrival)."""
        now = self.clock.stamp_now()
        return max(0, now - header.stamp_ns if now is not None else time_ns() - header.recv_ns)

    # -- errors ---------------------------------------------------------------------------------------------------
    def _raised(self, error: BaseException, frames: Sequence[Arrived], trigger: Arrived) -> None:
        """Count and log the error once. The traceback is converted to text, otherwise it would keep the frame's memory."""
        details = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        message = f"{self.node.name}: frame {trigger.header} ({trigger.header.item}): {self._text(error)}"
        with self.log.lock:
            for frame in frames:
                if not frame.accounted:
                    frame.accounted = True
                    stamp_ns, injected = frame.header.stamp_ns, frame.injected
                    self.log.drop(frame.edge.index, frame.gen, frame.who, stamp_ns, "error", frame.slot, injected)
            self.log.add(ERROR, self.index, 0, trigger.who, trigger.header.stamp_ns, monotonic_ns())
            self.log.commit()
        if self.on_error == "stop" and self.passes(error):
            raise error
        traceback.clear_frames(error.__traceback__)
        error.__traceback__ = error.__context__ = error.__cause__ = None
        if self.on_error == "stop":
            raise Failure(message, details) from None
        self.report(message, details)

    def _text(self, error: BaseException) -> str:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return f"needs room to write {error.filename or self.node.out_dir}, got a full disk; free some or use another --out"
        return explain(error)

    def _save_poison(self, frames: Mapping[str, Arrived | None], trigger: Arrived, text: str) -> None:
        if self._poison_dir is None or self._poisoned >= MAX_POISON:
            return
        self._poisoned += 1
        arrays: dict[str, dict[str, np.ndarray]] = {}
        taken = {port: frame for port, frame in frames.items() if frame is not None}
        for port, frame in taken.items():
            with contextlib.suppress(FrameError):
                arrays[port] = dict(frame.edge.views(frame))
        for port, edge in self.statics.items():
            arrays[port] = dict(edge.latched.at(trigger.header.stamp_ns) or {})
        saved = poison.Poison(
            self.node.name,
            self.line.trigger,
            {port: frame.header for port, frame in taken.items()},
            {port: frame.meta for port, frame in taken.items()},
            self.operator.missing,
            poison.as_config(self.node.config),
            text,
            arrays,
        )
        try:
            saved.save(self._poison_dir)
        except OSError as failed:
            self.node.log.error("cannot save the frame that failed: %s", failed)

    # -- digest ---------------------------------------------------------------------------------------------------
    def _digest_set(self, trigger: Header, frames: Mapping[str, Arrived | None]) -> None:
        if self._digest is not None and self.statics:
            self._digest_latched(self._digest, trigger.stamp_ns)
        for port in sorted(frames):
            frame = frames[port]
            if frame is not None:
                arrays = frame.edge.views(frame)
                if self._digest is not None:
                    digest_frame(self._digest, frame.header, port, arrays, frame.meta)
                if self.trace is not None:
                    self.trace.add("in", port, trigger, frame.header, arrays, frame.meta)

    def _digest_latched(self, digest: Any, stamp_ns: int) -> None:
        """Add the latched values that differ from those of the frame before."""
        for port, edge in sorted(self.statics.items()):
            arrays = edge.latched.at(stamp_ns)
            before, its_digest = self._latched_before.get(port, (None, b""))
            if arrays is before or arrays is None:
                continue
            made = digest_latched(port, arrays)  # a restarted source sends its values again
            if made != its_digest:
                digest.update(made)
            self._latched_before[port] = arrays, made

    @property
    def digest(self) -> str | None:
        """sha256 over this sink's whole input, in order; None for live runs and for nodes with outputs."""
        return None if self._digest is None else self._digest.hexdigest()
