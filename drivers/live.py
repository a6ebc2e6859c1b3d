"""The skeleton of a sensor driver: connects, waits, loses, connects again; the graph never restarts for it.

A driver derives from `Live` and `Source`, its config from `LiveConfig`. It implements `connect`, `receive`, `disconnect`; a class
that overrides `open`, `close` or the config's `__post_init__` calls the one here too. States: link.py. Every change of state is
one line in the log; the state, the counters and `note`s are the node's status: in the table, the summary and the report.

What can heal waits: absent device, silent port, server gone. Any OSError of `connect` and `receive` counts as `Lost`, but for
FINAL_ERRORS. What cannot heal (those, any PipeError) is raised once by `read`; with `on_error: skip`, the default of live
graphs, the stream then ends and the rest of the graph goes on.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from drivers.link import Link
from pipeline.errors import PipeError, RunError
from pipeline.frame import Reading

SLICE_S = 0.1
"""Longest wait of one `receive`: between two of them the end of the run and the states are checked."""
LEAVE_S = 0.3
"""How long `close` waits for a `receive` that is under way. A device is not closed under a thread that reads it."""
FINAL_ERRORS = frozenset({errno.EACCES, errno.EPERM, errno.EADDRINUSE, errno.EADDRNOTAVAIL})


class Lost(Exception):
    """The connection has ended, or cannot be made now. The text is the reason that the user reads."""


class Malformed(Exception):
    """One message that is not as the sensor sends them: counted and left out. The text says needed and got."""


@dataclass(frozen=True, slots=True)
class LiveConfig:
    """The keys of all sensors. A subclass with a `__post_init__` calls `LiveConfig.__post_init__(self)`, not super()."""

    stale_s: float = 1.0  # without a reading for so long: stale
    lost_s: float = 5.0  # lost: connect again
    retry_s: tuple[float, float] = (0.5, 10.0)  # first and largest pause after a failed attempt to connect

    def __post_init__(self) -> None:
        if not 0 < self.stale_s <= self.lost_s < 1e9:
            raise ValueError(f"stale_s: needs more than 0 and at most lost_s, got {self.stale_s:g} with lost_s = {self.lost_s:g}")
        first, largest = self.retry_s
        if not 0 < first <= largest < 1e9:
            raise ValueError(f"retry_s: needs [FIRST, LARGEST] with 0 < FIRST <= LARGEST, got [{first:g}, {largest:g}]")


class Live:
    live: ClassVar[bool] = True

    name: str
    config: LiveConfig
    log: logging.Logger
    status: Callable[[str], None]
    ending: bool

    def connect(self) -> None:
        """Open device or socket; called again after each loss. Raises Lost."""
        raise NotImplementedError(f"{type(self).__name__}.connect")

    def receive(self, timeout_s: float) -> Reading | None:
        """The next reading; None if none is complete after `timeout_s` (0: only look). Raises Lost, or Malformed for one message.

        One call may return earlier with None, as after a message that completes nothing.
        """
        raise NotImplementedError(f"{type(self).__name__}.receive")

    def disconnect(self) -> None:
        """Release what `connect` took, also after a failed `connect`. May be called twice."""

    # -- for the driver ---------------------------------------------------------------------------------------------
    def skipped(self, count: int = 1) -> None:
        """So many frames were dropped at the source since the last reading: the next frame id leaves this gap."""
        self._gap += count
        self._count("dropped at the source", count)

    def malformed(self, text: str, count: int = 1) -> None:
        """As raising Malformed, for a driver that goes on with the messages after it."""
        self._why_malformed = text
        self._count("malformed", count)

    def note(self, key: str, text: str) -> None:
        """A short fact in the status, such as key "clock", text "stamps by the sensor's clock". "" removes it. For facts that
        change rarely: each change is a line where the table cannot be drawn."""
        if self._notes.get(key, "") != text:
            self._notes[key] = text
            self._report()

    # -- of the engine ----------------------------------------------------------------------------------------------
    def open(self, start: int = 0) -> None:
        config = self.config
        self._link = Link(config.stale_s, config.lost_s, config.retry_s, time.monotonic_ns())
        self._number, self._gap = start, 0
        self._counts: dict[str, int] = {}
        self._notes: dict[str, str] = {}
        self._why_malformed = ""
        self._over = False
        self._closing, self._reading = threading.Event(), threading.Lock()
        self._said = (self._link.state, "")
        self._report()

    def read(self) -> Reading | None:
        with self._reading:
            if self._over:
                return None
            try:
                reading = self._wait_for_reading()
            except PipeError:
                self._over = True
                self.disconnect()
                raise
            finally:
                number, self._number = self._number, self._number + 1  # the engine counts a failed reading, too
            if reading is not None and self._gap:
                reading.frame_id = number + self._gap
                self._number, self._gap = reading.frame_id + 1, 0
            return reading

    def _wait_for_reading(self) -> Reading | None:
        link = self._link
        while not self._closing.is_set():
            now = time.monotonic_ns()
            if not link.connected:
                if self.ending:
                    return None
                if pause_ns := link.pause_ns(now):
                    self._closing.wait(min(pause_ns * 1e-9, SLICE_S))
                    continue
                self._connect()
                continue
            try:
                reading = self.receive(0.0 if self.ending else SLICE_S)
            except Malformed as error:
                self.malformed(str(error))
                reading = None
            except Lost as error:
                self._lose(str(error))
                continue
            except OSError as error:
                self._lose(self._reason(error))
                continue
            now = time.monotonic_ns()
            if reading is not None:
                link.read(now)
                self._tell()
                return reading
            if self.ending:
                return None
            if link.silent(now):
                self.disconnect()
            self._tell()
        return None

    def _connect(self) -> None:
        self._link.connecting()
        self._tell()
        try:
            self.connect()
        except Lost as error:
            self._lose(str(error))
        except OSError as error:
            self._lose(self._reason(error))
        else:
            self._link.connect(time.monotonic_ns())

    def _reason(self, error: OSError) -> str:
        """Its text. Raises RunError for what does not heal."""
        text = error.strerror or str(error) or type(error).__name__
        if error.filename is not None:
            text = f"{error.filename}: {text}"
        if error.errno in FINAL_ERRORS:
            raise RunError(f"{self.name}: {text}") from error
        return text

    def _lose(self, reason: str) -> None:
        self._link.lose(time.monotonic_ns(), reason)
        self.disconnect()
        self._tell()

    def close(self) -> None:
        """Ends `read`, then disconnects. A `receive` that does not return is left alone: its device closes with the process."""
        if not hasattr(self, "_closing"):
            return  # open() failed
        self._closing.set()
        if self._reading.acquire(timeout=LEAVE_S):
            self._reading.release()
            self.disconnect()
        self._report()  # the last counts

    # -- what the user sees -----------------------------------------------------------------------------------------
    def _count(self, what: str, count: int) -> None:
        """The status names the first, and then each time that the number has doubled: it changes rarely."""
        before = self._counts.get(what, 0)
        self._counts[what] = before + count
        if self._counts[what].bit_length() > before.bit_length():
            self._report()

    def _tell(self) -> None:
        """One line in the log if the state has changed, or if `waiting` has got its first reason."""
        link = self._link
        now = (link.state, link.reason if link.state == "waiting" else "")
        if now[0] != self._said[0] or (now[1] and not self._said[1]):
            self._said = now
            level = logging.INFO if link.state in ("running", "reconnecting") else logging.WARNING
            self.log.log(level, "%s", link.text())
            self._report()

    def _report(self) -> None:
        counts = (f"{count} {what}" for what, count in self._counts.items())
        last = f"last malformed: {self._why_malformed}" if self._why_malformed else ""  # at the end: it may be cut
        self.status("; ".join(filter(None, [self._link.text(), *counts, *self._notes.values(), last])))
