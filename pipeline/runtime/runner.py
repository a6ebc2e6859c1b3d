"""One node at work: take a set of inputs, call the operator, commit what happened, send what came out.

`OperatorRunner.step()` does at most one call of `process`; `SourceRunner.step()` one `read`. Neither ever blocks on an edge: a
node is only stepped when its inputs are complete and every output has room. Who steps them (a worker's threads, or the
inline loop) makes no difference to what comes out.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import gc
import hashlib
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic_ns, time_ns
from typing import Any

import numpy as np

from pipeline.errors import FrameError, PipeError
from pipeline.flow.faults import point
from pipeline.flow.log import DELIVERED, DROPPED, ERROR, PUBLISHED, REASON, STEP, Log, who
from pipeline.flow.ports import Arrived, Clock, InEdge, OutPort, Sent
from pipeline.flow.shm import IDLE, OPENING, PROCESSING, READING, WAITING, Board
from pipeline.flow.sync import Joiner, Match, Miss, Release
from pipeline.frame import FOREVER, NEVER, Header, Reading
from pipeline.graph.layout import BUSY_SINCE, STATE, WAITING_EDGE
from pipeline.operator import Node, Operator, Source, Taken
from pipeline.runtime import poison, threads
from pipeline.runtime.digests import Trace, digest_frame
from pipeline.schema import Port

ROUSE_NS = 1_000_000
"""How long before a live frame is due its way is roused; a node that computes for longer does not pass it on."""
MAX_POISON = 20
"""Frames saved per node when its operator raises; the rest is only counted."""

BATCH_BYTES = 1 << 20
"""What is not small is not worth a batch: while one frame is looked at, the next one is being made."""


class Failure(PipeError):
    """A node stops the run: who, on which frame, why; `details` is the traceback."""

    def __init__(self, text: str, details: str) -> None:
        super().__init__(text)
        self.details = details


class _Runner:
    """What sources and operators share: the board's words, outputs, errors."""

    def __init__(
        self,
        node: Node,
        index: int,
        outputs: dict[str, OutPort],
        board: Board,
        log: Log,
        clock: Clock,
        on_error: str,
        inline: bool,
    ) -> None:
        self.node, self.index, self.outputs, self.clock = node, index, outputs, clock
        self.log, self.on_error, self.inline = log, on_error, inline
        self.errors: list[str] = []
        self.finished = False
        self._words, self._at = board.words, board.node(index)
        self._meta: dict[str, dict[str, Any]] = {}
        self._single = next(iter(outputs)) if len(outputs) == 1 else None
        self._board, self._steps = board, 0
        node._show = functools.partial(board.set_status, index)
        self.trace: Trace | None = None
        if outputs:
            node._alloc = self._alloc
            node._emit_meta = self._meta.__setitem__

    def _alloc(self, port: str, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        try:
            out = self.outputs[port]
        except KeyError:
            raise FrameError(f"{self.node.name}: alloc: needs an output port ({', '.join(self.outputs)}), got {port}") from None
        return out.alloc(name, shape, dtype) if out.edges else np.empty(shape, dtype)

    def state(self, state: int, since_ns: int = 0) -> None:
        words, at = self._words, self._at
        words[at + BUSY_SINCE] = since_ns
        words[at + STATE] = state

    def room(self) -> bool:
        """May the next step publish on every port? Tells the board which edge it waits for."""
        for port in self.outputs.values():
            if not port.room():
                edge = port.blocked_by()
                self._words[self._at + WAITING_EDGE] = 0 if edge is None else edge.spec.index + 1
                self._words[self._at + STATE] = WAITING
                return False
        return True

    def write(
        self, values: Mapping[str, Any], header: Header, source: int, bound: int, made_ns: int
    ) -> list[tuple[OutPort, Sent, int, int]]:
        """Check and write the values of all ports; nothing counts yet. Raises FrameError and leaves no slot behind."""
        written: list[tuple[OutPort, Sent, int, int]] = []
        try:
            for name, value in values.items():
                if value is None:
                    continue
                port = self.outputs.get(name)
                if port is None:
                    raise FrameError(f"{self.node.name}: needs output ports {', '.join(self.outputs) or '(none)'}, got {name}")
                arrays = port.schema.unpack(value, port.label)
                port.schema.check(arrays, port.label)
                if not port.edges:
                    continue
                described, nbytes, copied = port.write(arrays)
                meta = self._meta.pop(name, {})
                sent = port.seal(header, source, described, bound, meta, made_ns)
                written.append((port, sent, nbytes, copied))
                if self.trace is not None:
                    self.trace.add("out", name, header, header, arrays, meta)
        except BaseException:
            for port, sent, _, _ in written:
                port.discard(sent)
            self.abort()
            raise
        for port in self.outputs.values():
            port.abort()  # loans nobody returned
        return written

    def rouse(self) -> None:
        """A frame is near: see docs/decisions/006-rouse.md."""
        for port in self.outputs.values():
            port.rouse()
        self.log.rehearse()

    def abort(self) -> None:
        self._meta.clear()
        for port in self.outputs.values():
            port.abort()

    def publish(self, written: list[tuple[OutPort, Sent, int, int]], bound: int) -> None:
        """Send what was committed; ports that emitted nothing tell their bound."""
        for port, sent, _, _ in written:
            port.dispatch(sent)
        if len(written) < len(self.outputs):
            emitted = {id(w[0]) for w in written}
            for port in self.outputs.values():
                if id(port) not in emitted:
                    port.advance(bound)

    def log_published(self, written: list[tuple[OutPort, Sent, int, int]]) -> None:
        for port, sent, nbytes, copied in written:
            self.log.add(PUBLISHED, port.index, sent.gen, sent.who, sent.stamp_ns, nbytes, copied, slot=sent.slot)

    def end(self) -> None:
        """Close the node and tell every reader that this was all."""
        self.state(PROCESSING, monotonic_ns())
        try:
            self.node.close()
        finally:
            self.state(IDLE)
        if self.trace is not None:
            self.trace.close()
        self.finished = True
        for port in self.outputs.values():
            port.advance(FOREVER)


class SourceRunner(_Runner):
    """Reads one source. `limit` = how many readings (`--frames`), `last_stamp_ns` = nothing after it."""

    def __init__(
        self,
        source: Source,
        index: int,
        source_index: int,
        outputs: dict[str, OutPort],
        static: Mapping[str, Port],
        **common: Any,
    ) -> None:
        super().__init__(source, index, outputs, **common)
        self.source, self.source_index = source, source_index
        self.limit: int | None = None
        self.last_stamp_ns: int | None = None
        self.next_id = 0 if source.resume is None else source.resume.frame_id + 1
        self.horizon_ns: int | None = None
        self.last_emitted_ns = NEVER
        self.held: Reading | None = None
        self._failed: Exception | None = None
        self._static = static
        self._max_stamp = NEVER
        self._read_ns = self._made_ns = 0
        self._disorder_ns = round(source.max_disorder_ms * 1e6)
        source.wanted = frozenset(n for n, p in outputs.items() if p.edges)
        source.needed = frozenset(n for n, p in outputs.items() if any(not (e.spec.tap or e.spec.spare) for e in p.edges))

    def open(self) -> None:
        self.state(OPENING, monotonic_ns())
        try:
            with threads.limit(self.node.threads):
                self.source.open(self.next_id)
            self._disorder_ns = round(self.source.max_disorder_ms * 1e6)
            latched: dict[str, list[tuple[int, Mapping[str, np.ndarray]]]] = {name: [] for name in self._static}
            for value in self.source.statics():
                port = self.outputs[value.port]
                arrays = port.schema.unpack(value.value, port.label)
                port.schema.check(arrays, port.label)
                latched[value.port].append((value.from_ns, arrays))
            for name, values in latched.items():
                self.outputs[name].latch(values)
        finally:
            self.state(IDLE)
        self.outputs = {n: p for n, p in self.outputs.items() if n not in self._static}

    def peek(self) -> Reading | None:
        """The next reading, kept until `step` emits it; None at the end. A reading that fails is kept, too: as its exception."""
        if self._failed is not None:
            raise self._failed
        if self.held is None and not self.finished:
            if self.limit is not None and self.next_id >= self.limit:
                return None
            started = monotonic_ns()
            self.state(READING, started)
            try:
                threads.apply(self.node.threads)
                self.held = self.source.read()
                self._made_ns = monotonic_ns()
                self._read_ns = self._made_ns - started
                point("reading")
            except Exception as error:
                self._failed = error
                self.abort()
                raise
            finally:
                self.state(IDLE)
        if self.held is not None and self.last_stamp_ns is not None and self.held.stamp_ns > self.last_stamp_ns:
            self.held = None
            self.abort()
            self.limit = self.next_id  # nothing more
        return self.held

    def step(self) -> bool:
        """Read and publish one reading; False when the stream has ended (the caller has checked `room()`)."""
        try:
            reading = self.peek()
        except PipeError as error:
            return self._raised(error, str(error))
        except Exception as error:
            return self._raised(error, f"{type(error).__name__}: {error}")
        if reading is None:
            return False
        self.held = None
        if self.clock.rate is not None:
            self._made_ns = monotonic_ns()  # it was read ahead and has waited for its time
        frame_id = self.next_id if reading.frame_id is None else reading.frame_id
        self.next_id = frame_id + 1
        header = Header(self.node.name, frame_id, reading.item, reading.stamp_ns, reading.recv_ns or time_ns())
        self._max_stamp = max(self._max_stamp, reading.stamp_ns)
        bound = self._max_stamp - self._disorder_ns if self._disorder_ns else self._max_stamp + 1
        for name, meta in reading.meta.items():
            self._meta[name] = meta
        try:
            written = self.write(reading.values, header, self.source_index, bound, self._made_ns)
        except PipeError as error:
            return self._raised(error, str(error))
        reading = None
        self._board.set_item(self.index, self._steps, header.item)
        with self.log.lock:
            self.log_published(written)
            self.log.add(
                STEP,
                self.index,
                self._steps,
                who(self.source_index, frame_id),
                header.stamp_ns,
                self._read_ns,
                -1,
                monotonic_ns(),
            )
            self.log.commit()
        self._steps += 1
        self.last_emitted_ns = header.stamp_ns
        point("committed")
        self.publish(written, bound)
        return True

    def _raised(self, error: Exception, text: str) -> bool:
        """A reading that could not be made: its number is skipped, or the run stops."""
        details = traceback.format_exc()
        self.held = self._failed = None
        self.abort()
        frame_id, self.next_id = self.next_id, self.next_id + 1
        message = f"{self.node.name}: reading {frame_id}: {text}"
        with self.log.lock:
            self.log.add(ERROR, self.index, 0, who(self.source_index, frame_id), 0)
            self.log.commit()
        if self.inline and self.on_error == "stop" and not isinstance(error, PipeError):
            raise error
        if self.on_error == "stop":
            raise Failure(message, details) from None
        self.node.log.error("%s", message)
        self.errors.append(message)
        return True


class OperatorRunner(_Runner):
    """Feeds one operator. `inputs` are its stream edges, `statics` its latched ones."""

    def __init__(
        self,
        operator: Operator,
        index: int,
        inputs: dict[str, InEdge],
        statics: dict[str, InEdge],
        outputs: dict[str, OutPort],
        ports: Mapping[str, Port],
        joiner: Joiner | None,
        trigger: str,
        poison_dir: Path | None,
        deterministic: bool,
        on_drop_age: Callable[[Arrived], bool],
        **common: Any,
    ) -> None:
        super().__init__(operator, index, outputs, **common)
        self.operator, self.inputs, self.statics, self.ports = operator, inputs, statics, ports
        self.joiner, self.trigger = joiner, trigger
        self.pending: deque[Match | Release | Arrived] = deque()
        self._poison_dir, self._poisoned = poison_dir, 0
        self._too_old = on_drop_age
        self._bounds = dict.fromkeys(inputs, NEVER)
        self._recent: set[int] = set()
        self._compute_ns = 0
        self._ages = any(e.spec.max_age_ns is not None for e in inputs.values())
        self._advanced = NEVER
        self._waiting_none = {p: None for p in ports if p not in inputs and p not in statics}
        self._digest = hashlib.sha256() if deterministic and not outputs else None
        self._unlatched = dict(statics)
        self._collected = 0
        self._barren = False
        self._may_skip = False  # a set was processed since the last look
        self._overtaken = -1  # frames of the trigger up to this generation are not processed any more

    def open(self) -> None:
        self.state(OPENING, monotonic_ns())
        try:
            with threads.limit(self.node.threads):
                self.operator.open()
        finally:
            self.state(IDLE)

    # -- arrivals -------------------------------------------------------------------------------------------------
    def take(self) -> None:
        """Move what has arrived into the joiner, or straight into the line."""
        if self.statics:
            for edge in self.statics.values():
                edge.work_off()
        for port, edge in self.inputs.items():
            if edge.channel is not None and edge.channel.inbox:
                edge.work_off()
            inbox = edge.inbox
            while inbox:
                item = inbox.popleft()
                if isinstance(item, int):
                    bound = item
                else:
                    bound = item.bound
                    self._arrive(port, item)
                if bound > self._bounds[port]:
                    self._bounds[port] = bound
                    if self.joiner is not None:
                        self.joiner.bound(port, bound)
                    elif self._recent:
                        self._recent = {s for s in self._recent if s >= bound}
            if edge.released:
                edge.collect()
            if edge.roused:
                if self._compute_ns < ROUSE_NS:
                    self.rouse()
                edge.rehearse()
        if self.joiner is not None:
            self._settle(self.joiner.pop(monotonic_ns()))

    def _arrive(self, port: str, frame: Arrived) -> None:
        stamp = frame.header.stamp_ns
        if self.joiner is not None:
            self.joiner.push(port, stamp, frame, monotonic_ns())
        elif stamp < self._bounds[port] or stamp in self._recent:
            self._drop(frame, "stale")
        else:
            if frame.bound <= stamp:
                self._recent.add(stamp)
            self.pending.append(frame)

    def _settle(self, events: list[Match | Miss | Release]) -> None:
        for event in events:
            if isinstance(event, Match):
                self.pending.append(event)
            elif isinstance(event, Miss):
                self._drop(event.frame, event.reason)
            else:
                self.pending.append(event)  # its matches lie before it in the line

    def _drop(self, frame: Arrived, reason: str) -> None:
        frame.accounted = True
        with self.log.lock:
            self.log.drop(frame.edge.spec.index, frame.gen, frame.who, frame.header.stamp_ns, reason, frame.slot)
            self.log.commit()
        frame.edge.done(frame)

    def _advance(self, bound: int) -> None:
        self._advanced = bound
        for port in self.outputs.values():
            port.advance(bound)

    def next_deadline(self) -> int | None:
        return None if self.joiner is None else self.joiner.next_deadline(monotonic_ns())

    # -- one call -------------------------------------------------------------------------------------------------
    def step(self) -> bool:
        """Take arrivals and run at most one set; True when something was done."""
        if self.finished:
            return False
        self.take()
        while self.pending and self._is_over(self.pending[0]):
            self.pending.popleft()
        if not self.pending:
            self._ring()
            if self.outputs:
                bound = self._bounds[self.trigger] if self.joiner is None else self.joiner.output_bound()
                if self._advanced < bound < FOREVER:
                    self._advance(bound)
            if self._ended():
                self.end()
                return True
            if self._words[self._at + STATE] == WAITING:
                self.state(IDLE)
            return self._collect_cycles()
        if not self._latched():
            if self._never_latched():
                self._discard(self.pending.popleft(), "error")
                return True
            self._ring()
            return False
        if not self.room():
            self._ring()
            return False
        item = self.pending.popleft()
        if isinstance(item, Arrived):
            self._run(item, {item.edge.port: item}, (), item.bound)
        elif isinstance(item, Match):
            self._run(item.frames[self.trigger], item.frames, item.missing, item.stamp_ns + 1)
        return True

    def _is_over(self, item: Match | Release | Arrived) -> bool:
        """Is there nothing to be processed in the first of the line? Then its frames end here."""
        if isinstance(item, Release):
            frame = item.frame
            if frame.accounted:
                frame.edge.done(frame)
            else:
                self._drop(frame, frame.lost)  # as every trigger it served
            frame.edge.ring()
            return True
        trigger = item if isinstance(item, Arrived) else item.frames[self.trigger]
        if self._may_skip:  # once per process(): whoever is always too slow must process something, too
            self._may_skip = False
            self._overtaken = max(self._overtaken, trigger.edge.overtaken())
        if trigger.gen > self._overtaken:
            return False
        # `latest` holds for what waits here, too: while this node, or another one of its process, stood still
        self._discard(item, "queue_full")
        return True

    def _discard(self, item: Match | Release | Arrived, reason: str) -> None:
        """A set that is not processed: its trigger ends here, its other frames after their last set."""
        if isinstance(item, Arrived):
            self._drop(item, reason)
        elif isinstance(item, Match):
            self._drop(item.frames[self.trigger], reason)
            for frame in item.frames.values():
                if frame is not None:
                    frame.lost = reason

    def _latched(self) -> bool:
        """Are the values of all static inputs here? Raises FrameError where one has none and needs one."""
        for port, edge in list(self._unlatched.items()):
            if not edge.latched.complete and (not edge.cut or not self.ports[port].optional):
                return False
            if not edge.latched.values and not self.ports[port].optional:
                origin = edge.spec.name.partition("->")[0]
                raise FrameError(f"{self.node.name}.{port}: needs a value, got none: statics() of {origin} named none")
            del self._unlatched[port]
        return True

    def _never_latched(self) -> bool:
        """Was the source of a value given up before it sent one (where that does not stop the run)? Said once."""
        cut = next((edge for edge in self._unlatched.values() if edge.cut and not edge.latched.complete), None)
        if cut is None:
            return False
        if not self._barren:
            self._barren = True
            origin = cut.spec.name.partition(".")[0]
            text = f"{self.node.name}.{cut.port}: needs a value, got none: {origin} was given up; all that needs it is dropped"
            self.node.log.error("%s", text)
        return True

    def _ended(self) -> bool:
        return all(b == FOREVER for b in self._bounds.values()) and not any(e.inbox for e in self.inputs.values())

    def _ring(self) -> None:
        """Nothing to do for now: whoever waits for what we gave back must know."""
        for edge in self.inputs.values():
            edge.ring()

    def _collect_cycles(self) -> bool:
        """Views in reference cycles come back only by the collector: run it when they take all the credit. True when some did."""
        kept = sum(edge.kept for edge in self.inputs.values())
        if not kept or kept == self._collected or not any(e.kept >= e.spec.window + e.spec.holds for e in self.inputs.values()):
            return False
        gc.collect()
        freed = any(edge.released for edge in self.inputs.values())
        self._collected = 0 if freed else kept  # a hoarder's views are not looked for again and again
        return freed

    def _run(self, trigger: Arrived, frames: dict[str, Arrived | None], missing: tuple[str, ...], bound: int) -> None:
        operator = self.operator
        header = trigger.header
        if self._ages and self._too_old(trigger):
            for frame in frames.values():
                if frame is not None and not frame.accounted and (frame is trigger or self.joiner is None):
                    self._drop(frame, "too_old")
            self._advance(bound)
            return
        operator.header = header
        operator.missing = missing
        operator.headers, operator.meta = headers, meta = {}, {}
        for port, f in frames.items():
            if f is not None:
                headers[port], meta[port] = f.header, f.meta
        written: list[tuple[OutPort, Sent, int, int]] = []
        started = monotonic_ns()
        error: BaseException | None = None
        values: dict[str, Any] | None = None
        result: Any = None
        outputs: Any = None
        try:
            values = self._values(frames, header.stamp_ns)
            started = monotonic_ns()
            self.state(PROCESSING, started)
            point("processing")
            threads.apply(operator.threads)
            result = operator.process(**values)
            finished = monotonic_ns()
            for frame in frames.values():
                if frame is not None:
                    frame.edge.verify(frame)
            if result is not None:
                if not self.outputs:
                    raise FrameError(f"{operator.name}: is a sink, its process() must return None, got {type(result).__name__}")
                outputs = {self._single: result} if self._single is not None else result
                if type(outputs) is not dict and not isinstance(outputs, Mapping):
                    raise FrameError(
                        f"{operator.name}: process() must return {{port: value}} for {', '.join(self.outputs)}, "
                        f"got {type(result).__name__}"
                    )
                written = self.write(outputs, header, trigger.source, bound, finished)
            else:
                self.abort()
            if self._digest is not None or self.trace is not None:
                self._digest_set(header, frames)
        except Exception as raised:
            error = raised
            finished = monotonic_ns()
            self.abort()
        except BaseException:
            self.abort()
            raise
        finally:
            self.state(IDLE)
        point("processed")
        self._overtaken = max(self._overtaken, trigger.edge.overtaken())  # before giving back: the newer one is then on its way
        self._may_skip = True
        if error is None:
            self._commit(frames, trigger, written, started, finished)
        else:
            self._save_poison(frames, trigger, self._text(error))
            self._raised(error, [f for f in frames.values() if f is not None], trigger)
        self.publish(written, bound)
        # Views end here unless the operator kept some: nothing of ours may outlive this line.
        values = result = outputs = error = None
        for frame in frames.values():
            if frame is not None and (self.joiner is None or frame is trigger):
                frame.edge.done(frame)
        if self.inline or not self.pending:
            for edge in self.inputs.values():
                if edge.released:
                    edge.collect()

    def _values(self, frames: dict[str, Arrived | None], stamp_ns: int) -> dict[str, Any]:
        values: dict[str, Any] = dict(self._waiting_none)
        for port, frame in frames.items():
            values[port] = None if frame is None else self.ports[port].schema.pack(frame.edge.views(frame))
        if len(frames) < len(self.inputs):
            for port in self.inputs:
                values.setdefault(port, None)
        for port, edge in self.statics.items():
            arrays = edge.latched.at(stamp_ns)
            values[port] = None if arrays is None else self.ports[port].schema.pack(arrays)
        return values

    def _commit(
        self, frames: dict[str, Arrived | None], trigger: Arrived, written: list[Any], started: int, finished: int
    ) -> None:
        """One store makes the whole step true: inputs delivered, outputs published."""
        latency = -1
        if not self.outputs:
            latency = self._latency_ns(trigger.header)
            self._board.set_item(self.index, self._steps, trigger.header.item)
        log = self.log
        with log.lock:
            for frame in frames.values():
                if frame is not None and not frame.accounted:
                    self._delivered(frame, started)
            self.log_published(written)
            log.add(STEP, self.index, self._steps, trigger.who, trigger.header.stamp_ns, finished - started, latency, started)
            log.commit()
        self._steps += 1
        self._compute_ns = finished - started
        point("committed")

    def _delivered(self, frame: Arrived, started: int) -> None:
        frame.accounted = True
        edge, stamp_ns = frame.edge.spec.index, frame.header.stamp_ns
        self.log.add(DELIVERED, edge, frame.gen, frame.who, stamp_ns, started - frame.made_ns, slot=frame.slot)

    def _latency_ns(self, header: Header) -> int:
        """From its capture (or, without a clock, its arrival) to now."""
        now = self.clock.stamp_now()
        return max(0, now - header.stamp_ns if now is not None else time_ns() - header.recv_ns)

    def _raised(self, error: BaseException, frames: Sequence[Arrived], trigger: Arrived) -> None:
        """Count it, say it: once. The traceback becomes text here, or it would keep the frame's memory."""
        details = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        text = self._text(error)
        message = f"{self.node.name}: frame {trigger.header} ({trigger.header.item}): {text}"
        with self.log.lock:
            for frame in frames:
                if not frame.accounted:
                    frame.accounted = True
                    self.log.add(
                        DROPPED,
                        frame.edge.spec.index,
                        frame.gen,
                        frame.who,
                        frame.header.stamp_ns,
                        reason=REASON["error"],
                        slot=frame.slot,
                    )
            self.log.add(ERROR, self.index, 0, trigger.who, trigger.header.stamp_ns)
            self.log.commit()
        if self.inline and self.on_error == "stop" and not isinstance(error, PipeError):
            raise error
        traceback.clear_frames(error.__traceback__)
        error.__traceback__ = error.__context__ = error.__cause__ = None
        self.node.log.error("%s\n%s", message, details)
        if self.on_error == "stop":
            raise Failure(message, details) from None
        self.errors.append(message)

    def _text(self, error: BaseException) -> str:
        if isinstance(error, PipeError):
            return str(error)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return f"needs room to write {error.filename or self.node.out_dir}, got a full disk; free some or use another --out"
        return f"{type(error).__name__}: {error}"

    def _save_poison(self, frames: dict[str, Arrived | None], trigger: Arrived, text: str) -> None:
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
            self.trigger,
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
    def _digest_set(self, trigger: Header, frames: dict[str, Arrived | None]) -> None:
        for port in sorted(frames):
            frame = frames[port]
            if frame is not None:
                arrays = frame.edge.views(frame)
                if self._digest is not None:
                    digest_frame(self._digest, frame.header, port, arrays, frame.meta)
                if self.trace is not None:
                    self.trace.add("in", port, trigger, frame.header, arrays, frame.meta)

    @property
    def digest(self) -> str | None:
        """sha256 over everything this sink was given, in order; None for live runs and for nodes with outputs."""
        return None if self._digest is None else self._digest.hexdigest()


class TapRunner(OperatorRunner):
    """Feeds an operator that only watches: every frame of any input is a step of its own, late and repeated ones, too."""

    def _arrive(self, port: str, frame: Arrived) -> None:
        self.pending.append(frame)

    def _run(self, trigger: Arrived, frames: dict[str, Arrived | None], missing: tuple[str, ...], bound: int) -> None:
        if self.operator.batch > 1:
            self._run_all(trigger)
        else:
            self.operator.bound = bound
            super()._run(trigger, frames, missing, bound)

    def _run_all(self, first: Arrived) -> None:
        """The frames that have come, up to a batch: one call, one commit, and for the books as many steps."""
        operator = self.operator
        frames = [first]
        nbytes = first.used
        while self.pending and len(frames) < operator.batch:
            frame = self.pending[0]
            assert isinstance(frame, Arrived)
            nbytes += frame.used
            if nbytes > BATCH_BYTES:
                break
            frames.append(frame)
            self.pending.popleft()
        if self._ages:
            for f in [f for f in frames if self._too_old(f)]:
                self._drop(f, "too_old")
                frames.remove(f)
            if not frames:
                return
        given: list[Taken] = []
        error: Exception | None = None
        started = monotonic_ns()
        try:
            for f in frames:
                port = f.edge.port
                given.append(Taken(port, f.header, f.bound, f.meta, self.ports[port].schema.pack(f.edge.views(f))))
            started = monotonic_ns()
            self.state(PROCESSING, started)
            threads.apply(operator.threads)
            for _ in frames:
                point("processing")
            operator.process_all(given)
            for f in frames:
                f.edge.verify(f)
        except Exception as raised:
            error = raised
        finally:
            self.state(IDLE)
        finished = monotonic_ns()
        for _ in frames:
            point("processed")
        if error is None:
            self._commit_all(frames, started, finished)
        else:
            self._raised(error, frames, frames[0])
        error = None
        given.clear()
        for f in frames:
            f.edge.done(f)
        for edge in self.inputs.values():
            if edge.released:
                edge.collect()

    def _commit_all(self, frames: Sequence[Arrived], started: int, finished: int) -> None:
        """One store makes all of them delivered."""
        each_ns = (finished - started) // len(frames)
        self._board.set_item(self.index, self._steps, frames[-1].header.item)
        with self.log.lock:
            for f in frames:
                self._delivered(f, started)
                # all under one number: it tells in which of two places the item stands
                latency = self._latency_ns(f.header)
                self.log.add(STEP, self.index, self._steps, f.who, f.header.stamp_ns, each_ns, latency, started)
            self.log.commit()
        self._steps += 1
        for _ in frames:
            point("committed")

    def _latched(self) -> bool:
        for port, edge in list(self._unlatched.items()):
            if edge.latched.complete:
                del self._unlatched[port]
                schema = self.ports[port].schema
                self.operator.latched(port, [(from_ns, schema.pack(arrays)) for from_ns, arrays in edge.latched.ordered()])
        return True  # it waits for nothing

    def _values(self, frames: dict[str, Arrived | None], stamp_ns: int) -> dict[str, Any]:
        return {port: self.ports[port].schema.pack(f.edge.views(f)) for port, f in frames.items() if f is not None}

    def end(self) -> None:
        self._latched()
        super().end()
