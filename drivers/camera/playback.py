"""Recordings played like a camera: a picture when it is due, whether somebody takes it or not; stamps are the time of play.

A picture that is ready too late moves all later ones: nothing is played faster than it was recorded.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from drivers.camera.network import Decoder
from drivers.camera.newest import Picture
from drivers.live import Malformed
from pipeline.errors import InputError

MOST_PAUSE_S = 2.0
"""A longer pause between two pictures of a file, such as one between two recordings, is cut."""
DEFAULT_HZ = 10.0
"""Of folders, and of videos without times."""


class Pace:
    def __init__(self) -> None:
        self.stopped = threading.Event()
        self._due_s = time.monotonic()

    def wait(self, pause_s: float) -> None:
        """Until `pause_s` after the picture before, or `stopped`."""
        now = time.monotonic()
        self._due_s = max(self._due_s + pause_s, now)
        self.stopped.wait(self._due_s - now)


class Files:
    """Files of one picture each at a constant rate; repeat: begin again after the last."""

    def __init__(
        self, files: Sequence[Any], load: Callable[[Any], Picture], rate_hz: float, repeat: bool, start: int = 0
    ) -> None:
        self._files, self._load, self._period_s, self._repeat = files, load, 1 / rate_hz, repeat
        self._next, self._pace = start % len(files) if repeat else start, Pace()
        self._pause_s = 0.0

    def grab(self) -> Picture:
        if self._next >= len(self._files):
            if not self._repeat:
                raise EOFError
            self._next = 0
        self._next += 1  # before reading: an unreadable file is left out by the next call
        try:
            picture = self._load(self._files[self._next - 1])
        except InputError as error:
            raise Malformed(str(error)) from None
        self._pace.wait(self._pause_s)
        self._pause_s = self._period_s
        now_ns = time.time_ns()
        return picture._replace(stamp_ns=now_ns, arrival_ns=now_ns)

    def stop(self) -> None:
        self._pace.stopped.set()

    def close(self) -> None:
        """No file stays open."""


class VideoFile:
    """A video file at its own times. skip: pictures that an earlier life of the node has sent."""

    def __init__(self, path: Path, repeat: bool, threads: int, skip: int = 0) -> None:
        self._path, self._repeat, self._threads, self._skip = path, repeat, threads, skip
        self._pace, self._played, self._before_ns = Pace(), False, 0
        self._decoder = open_file(path, threads)

    def grab(self) -> Picture:
        while self._skip:
            self._decoder.next()
            self._skip -= 1
        try:
            picture = self._decoder.next()
        except EOFError:
            if not self._repeat or not self._played:
                raise
            self._decoder.container.close()
            self._decoder, self._played = open_file(self._path, self._threads), False
            picture = self._decoder.next()
        if self._played:
            self._pace.wait(self._pause_s(picture.pts_ns))
        self._played, self._before_ns = True, picture.pts_ns or 0
        now_ns = time.time_ns()
        return Picture(picture.pixels, now_ns, now_ns, bgr=picture.bgr)

    def _pause_s(self, pts_ns: int | None) -> float:
        if pts_ns is None:
            return 1 / (self._decoder.rate_hz or DEFAULT_HZ)
        return min(max(pts_ns - self._before_ns, 0) * 1e-9, MOST_PAUSE_S)

    def stop(self) -> None:
        self._pace.stopped.set()

    def close(self) -> None:
        self._decoder.container.close()


def open_file(path: Path, threads: int = 1) -> Decoder:
    """Raises InputError for what is no video."""
    import av
    from av.error import FFmpegError

    try:
        container = av.open(str(path))
    except (FFmpegError, OSError) as error:
        raise InputError(f"{path}: needs a video file, got one that does not open: {error}") from None
    if not container.streams.video:
        container.close()
        raise InputError(f"{path}: needs a video file, got one without pictures")
    return Decoder(container, str(path), threads)
