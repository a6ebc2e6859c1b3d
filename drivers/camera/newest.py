"""The newest picture wins: a thread reads and decodes the camera, off the path of the frames, and keeps one picture.

A picture that is not taken before the next one comes is dropped and counted (`Live.skipped`): latency cannot grow.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from drivers.clock import SAYS, Name
from drivers.live import Live, Malformed
from pipeline.frame import Reading

LEAVE_S = 0.3
"""How long `stop` waits for a thread that is inside a device or a decoder."""


class Picture(NamedTuple):
    """pixels: (H, W, 3) uint8 RGB (or BGR), or (H, W) uint16 counts; stamp_ns, arrival_ns: by the host's clock; clock: whose time
    the stamp is; item: name of the file; extra: what else a recording says of it."""

    pixels: np.ndarray
    stamp_ns: int
    arrival_ns: int
    clock: Name = "arrival"
    item: str = ""
    bgr: bool = False
    extra: Any = None


class Capture(Protocol):
    """An open camera. All calls come from one thread, but `stop`, which comes from another one, before `close`."""

    def grab(self) -> Picture:
        """The next picture; blocks. Raises Malformed for one that is damaged, Lost when the camera is gone, EOFError at the end
        of a recording, RunError for what does not heal."""

    def stop(self) -> None:
        """`grab` need not return a picture any more."""

    def close(self) -> None: ...


class Newest:
    """Runs `capture.grab` in a thread until `stop` or its exception, then closes it."""

    def __init__(self, capture: Capture, name: str) -> None:
        self._capture = capture
        self._news = threading.Condition()
        self._picture: Picture | None = None
        self._dropped, self._malformed, self._why = 0, 0, ""
        self._end: BaseException | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=f"{name}-camera", daemon=True)
        self._thread.start()

    def take(self, timeout_s: float, malformed: Callable[[str, int], None]) -> tuple[Picture, int] | None:
        """The newest picture and the number of dropped ones before it; None if none came. Raises the exception that ended the
        thread when the last picture has been taken. malformed(text, count): told of damaged pictures."""
        with self._news:
            self._news.wait_for(lambda: self._picture is not None or self._end is not None or self._malformed > 0, timeout_s)
            picture, dropped, self._picture, self._dropped = self._picture, self._dropped, None, 0
            damaged, self._malformed = self._malformed, 0
            end = self._end
        if damaged:
            malformed(self._why, damaged)
        if picture is not None:
            return picture, dropped
        if end is not None:
            raise end
        return None

    def stop(self) -> None:
        """A thread that does not return from the device is left alone: it closes the device when it does."""
        self._stopped = True
        self._capture.stop()
        self._thread.join(LEAVE_S)

    def _run(self) -> None:
        try:
            while not self._stopped:
                try:
                    picture = self._capture.grab()
                except Malformed as error:
                    with self._news:
                        self._malformed, self._why = self._malformed + 1, str(error)
                        self._news.notify_all()
                    continue
                with self._news:
                    self._dropped += self._picture is not None
                    self._picture = picture
                    self._news.notify_all()
        except Exception as error:
            with self._news:
                self._end = error
                self._news.notify_all()
        finally:
            self._capture.close()


class NewestPicture(Live):
    """`connect`, `receive`, `disconnect` of a driver whose pictures a thread reads. It implements `capture` and `reading`.

    number     of the next picture, counted from the start of the run, dropped ones included
    delivered  a picture has come in this life of the node
    """

    config: Any
    number = 0
    delivered = False
    _due_ns = 0
    """Arrival of the next picture that is taken, at `max_hz`."""
    _newest: Newest | None = None

    def capture(self) -> Capture:
        """Opens the camera. Raises as `Live.connect` does."""
        raise NotImplementedError(f"{type(self).__name__}.capture")

    def reading(self, picture: Picture, item: str) -> Reading | None:
        """The pixels in the loaned slot of the frame; None: this picture is left out."""
        raise NotImplementedError(f"{type(self).__name__}.reading")

    def open(self, start: int = 0) -> None:
        self.number, self.delivered = start, False
        super().open(start)

    def connect(self) -> None:
        self.disconnect()
        self._newest = Newest(self.capture(), self.name)

    def receive(self, timeout_s: float) -> Reading | None:
        assert self._newest is not None
        try:
            taken = self._newest.take(timeout_s, self.malformed)
        except EOFError:  # of a recording
            self.ending = True
            return None
        if taken is None:
            return None
        picture, dropped = taken
        self.delivered = True
        self.number += dropped + 1
        if self.config.max_hz and picture.arrival_ns < self._due_ns:
            self.skipped(dropped + 1)
            return None
        if self.config.max_hz:  # a deadline keeps the mean rate, unless the camera itself is slower
            period_ns = round(1e9 / self.config.max_hz)
            self._due_ns = max(self._due_ns + period_ns, picture.arrival_ns + period_ns // 2)
        if dropped:
            self.skipped(dropped)
        self.note("clock", SAYS[picture.clock])
        return self.reading(picture, picture.item or f"{self.number - 1:06d}")

    def disconnect(self) -> None:
        newest, self._newest = self._newest, None
        if newest is not None:
            newest.stop()
