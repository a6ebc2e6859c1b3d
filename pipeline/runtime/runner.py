"""Shared by all runners: a node, its outputs, its words on the board, its errors.

A runner's `step()` calls the node at most once and never blocks on an edge: a node is stepped only if its inputs are complete
and every output has room. The output does not depend on the caller (a thread of a worker, or the inline loop).
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic_ns
from typing import Any

import numpy as np

from pipeline.errors import FrameError, PipeError, explain, printable_lines
from pipeline.flow import faults
from pipeline.flow.board import Board
from pipeline.flow.clock import Clock
from pipeline.flow.edge import Sent
from pipeline.flow.log import Log, Step
from pipeline.flow.reader import Arrived
from pipeline.flow.writer import OutPort
from pipeline.frame import FOREVER, Header
from pipeline.graph.layout import BUSY_SINCE, CLOSING, IDLE, STATE, WAITING, WAITING_EDGE
from pipeline.operator import Node, attach
from pipeline.runtime.digests import Trace


class Failure(PipeError):
    """A node stops the run. The text names node, frame and reason; `details` is the traceback."""

    def __init__(self, text: str, details: str) -> None:
        super().__init__(text)
        self.details = details


@dataclass(frozen=True, slots=True)
class Shared:
    """Objects shared by the runners of one process. raises: see `RunOptions`."""

    board: Board
    log: Log
    clock: Clock
    inline: bool
    raises: bool


class Runner:
    """index: of the node on the board."""

    def __init__(self, node: Node, index: int, outputs: dict[str, OutPort], shared: Shared, on_error: str) -> None:
        self.node, self.index, self.outputs = node, index, outputs
        self.board, self.log, self.clock, self.inline = shared.board, shared.log, shared.clock, shared.inline
        self.raises = shared.raises
        self.on_error = on_error
        self.finished = self.opened = self.closed = False
        self.trace: Trace | None = None
        self._words, self._at = self.board.words, self.board.node(index)
        self._meta: dict[str, dict[str, Any]] = {}
        self._steps = 0
        self.level = 0  # of an operator
        self._returned_ns = 0  # when its last read() or process() did
        attach(
            node,
            alloc=self._alloc if outputs else None,
            describe=self._meta.__setitem__ if outputs else None,
            show=functools.partial(self.board.set_status, index),
        )

    def _alloc(self, port: str, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        try:
            out = self.outputs[port]
        except KeyError:
            raise FrameError(f"{self.node.name}: alloc: needs an output port ({', '.join(self.outputs)}), got {port}") from None
        return out.alloc(name, shape, dtype) if out.edges else np.empty(shape, dtype)

    def state(self, state: int, since_ns: int = 0) -> None:
        """Write the node's state to the board. The supervisor uses `since_ns` to detect hangs."""
        words, at = self._words, self._at
        words[at + BUSY_SINCE] = since_ns
        words[at + STATE] = state

    def has_credit(self) -> bool:
        """Is there room, without asking the readers?"""
        for port in self.outputs.values():
            if not port.has_credit():
                return False
        return True

    def room(self) -> bool:
        """May the next step publish on every port? If not, writes the blocking edge to the board."""
        for port in self.outputs.values():
            if not port.room():
                edge = port.blocked_by
                self._words[self._at + WAITING_EDGE] = 0 if edge is None else edge.spec.index + 1
                self._words[self._at + STATE] = WAITING
                return False
        return True

    # -- one step's outputs ---------------------------------------------------------------------------------------
    def write(self, values: Mapping[str, Any], header: Header, who: int, bound: int, made_ns: int) -> list[Sent]:
        """Check and write the values of all ports; the frames do not count yet. On FrameError all slots are freed."""
        written: list[Sent] = []
        try:
            for name, value in values.items():
                if value is None:
                    continue
                port = self.outputs.get(name)
                if port is None:
                    raise FrameError(f"{self.node.name}: needs output ports {', '.join(self.outputs) or '(none)'}, got {name}")
                arrays = port.schema.accept(value, port.label)
                if not port.edges:
                    continue
                meta = self._meta.pop(name, {})
                written.append(port.write(arrays, header, who, bound, made_ns, meta))
                if self.trace is not None:
                    self.trace.add("out", name, header, header, arrays, meta)
        except BaseException:
            for sent in written:
                sent.port.discard(sent)
            self.abort()
            raise
        if len(written) < len(self.outputs):
            for port in self.outputs.values():
                port.abort()  # loans that the node did not return
        return written

    def abort(self) -> None:
        """The step failed: free its slots."""
        self._meta.clear()
        for port in self.outputs.values():
            port.abort()

    def publish(self, step: Step, inputs: Sequence[Arrived], written: list[Sent], bound: int, now_ns: int) -> None:
        """One store commits the step: inputs delivered, outputs published. Then the outputs are sent; ports without output
        send their bound."""
        with self.log.lock:
            self.log.step(step, inputs, written, self.level, now_ns, now_ns - self._returned_ns)
            self._steps += 1
            if faults.armed:
                faults.point("committed")
            for sent in written:
                sent.port.send(sent)
            if len(written) < len(self.outputs):
                emitted = [sent.port for sent in written]
                for port in self.outputs.values():
                    if port not in emitted:
                        port.advance(bound)

    def advance(self, bound: int) -> None:
        """No output older than `bound` follows."""
        with self.log.lock:
            for port in self.outputs.values():
                port.advance(bound)

    # -- errors ---------------------------------------------------------------------------------------------------
    def passes(self, error: BaseException) -> bool:
        """Inline, an exception of a node may leave the run as it is (`RunOptions.raises`), not `sys.exit()`; Ctrl-C does."""
        if not self.inline or isinstance(error, PipeError):
            return False
        return isinstance(error, KeyboardInterrupt) or (self.raises and isinstance(error, Exception))

    @contextmanager
    def calling(self, call: str, state: int) -> Iterator[None]:
        """For open() and close(): an exception of any kind stops the run, by the name of node and call."""
        self.state(state, monotonic_ns())
        try:
            yield
        except PipeError:
            raise
        except BaseException as error:
            if self.passes(error):
                raise
            raise Failure(f"{self.node.name}: {call}: {explain(error)}", traceback.format_exc()) from None
        finally:
            self.log.check_owner()
            self.state(IDLE)

    def report(self, message: str, details: str) -> None:
        """Log an error that does not stop the run. Inline the log is the user's terminal: no traceback there."""
        self.node.log.error("%s", printable_lines(message) if self.inline else f"{message}\n{details}")

    # -- the end --------------------------------------------------------------------------------------------------
    def close(self) -> None:
        """Finish the node's files. Called once."""
        self.closed = True
        with self.calling("close", CLOSING):
            self.node.close()

    def end(self) -> None:
        """Close the node and tell every reader that no frame follows."""
        self.close()
        if self.trace is not None:
            self.trace.close()
        self.finished = True
        self.advance(FOREVER)
