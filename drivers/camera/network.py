"""Pictures of a stream through PyAV: RTSP, MJPEG over HTTP, and what else FFmpeg reads under these names.

Stamps: the sender's (RTP, PTS), mapped to the host's clock. MJPEG over HTTP has none (FFmpeg numbers the pictures): arrival.
JPEGs are checked for completeness and decoded by OpenCV; FFmpeg would fill half a picture with grey.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np

from drivers.camera.newest import Picture
from drivers.clock import SensorClock
from drivers.live import Lost, Malformed
from pipeline.errors import RunError

_UNSTAMPED = ("mpjpeg", "mjpeg")
_LOW_DELAY = {"fflags": "nobuffer", "flags": "low_delay", "analyzeduration": "1000000", "fpsprobesize": "0"}


class Decoded(NamedTuple):
    """pixels: (H, W, 3) uint8; pts_ns: by the sender's clock, None: it gives no time; arrival_ns: of the last packet."""

    pixels: np.ndarray
    bgr: bool
    pts_ns: int | None
    arrival_ns: int


def shown(url: str) -> str:
    """The URL without user and password."""
    return re.sub(r"//[^@/]*@", "//", url)


def decode_jpeg(data: bytes) -> np.ndarray:
    """(H, W, 3) uint8 BGR. Raises Malformed, also for half a picture."""
    whole = data.startswith(b"\xff\xd8") and b"\xff\xd9" in data[-64:]
    picture = None
    if whole:
        try:
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        except cv2.error:
            picture = None
    if picture is None:
        got = "that do not decode" if whole else "without its start or end"
        raise Malformed(f"needs a whole JPEG picture, got {len(data)} bytes {got}")
    return picture


class Decoder:
    """The pictures of an open PyAV container. Raises Malformed for a damaged one, EOFError after the last."""

    def __init__(self, container: Any, name: str, threads: int = 1) -> None:
        if not container.streams.video:
            raise RunError(f"{name}: needs a video, got a file or stream without pictures")
        self.container = container
        self._video = container.streams.video[0]
        self._is_jpeg = self._video.codec_context.name == "mjpeg"
        self._has_stamps = container.format.name not in _UNSTAMPED
        context = self._video.codec_context
        context.thread_type, context.thread_count = "SLICE", threads  # threads per frame would add frames of latency
        self.rate_hz = float(self._video.average_rate or 0)
        self._packets: Iterator[Any] = container.demux(self._video)
        self._ready: deque[Decoded] = deque()

    def next(self) -> Decoded:
        while not self._ready:
            packet = next(self._packets, None)
            if packet is None:
                raise EOFError
            self._decode(packet, time.time_ns())
        return self._ready.popleft()

    def _decode(self, packet: Any, arrival_ns: int) -> None:
        if self._is_jpeg:
            if packet.size:  # the last packet of a file is empty
                self._ready.append(Decoded(decode_jpeg(bytes(packet)), True, self._time(packet), arrival_ns))
            return
        from av.error import FFmpegError

        try:
            frames = packet.decode()
        except FFmpegError as error:
            raise Malformed(
                f"needs a packet of {self._video.codec_context.name}, got one that does not decode: {error}"
            ) from None
        whole = [frame for frame in frames if not frame.is_corrupt]
        self._ready += [Decoded(frame.to_ndarray(format="rgb24"), False, self._time(frame), arrival_ns) for frame in whole]
        if len(whole) < len(frames):
            raise Malformed("needs a whole picture, got one with parts missing")

    def _time(self, timed: Any) -> int | None:
        if timed.pts is None or not self._has_stamps:
            return None
        base = timed.time_base
        return int(timed.pts * 1_000_000_000 * base.numerator // base.denominator)


class Stream:
    """An open stream. again: it has delivered before, so that no answer of its server is final."""

    def __init__(self, url: str, rtsp_transport: str, silence_s: float, threads: int, again: bool) -> None:
        import av
        from av.error import FFmpegError

        self._name, self._failure = shown(url), FFmpegError
        options = _LOW_DELAY | ({"rtsp_transport": rtsp_transport} if url.startswith("rtsp") else {})
        try:
            container = av.open(url, options=options, timeout=(silence_s, silence_s))
        except FFmpegError as error:
            if not again and (final := _final(error)):
                raise RunError(f"{self._name}: {final}") from None
            raise Lost(f"{self._name}: {_reason(error, silence_s)}") from None
        self._silence_s, self._clock = silence_s, SensorClock()
        self._decoder = Decoder(container, self._name, threads)

    def grab(self) -> Picture:
        try:
            pixels, bgr, pts_ns, arrival_ns = self._decoder.next()
        except EOFError:
            raise Lost(f"{self._name}: the stream has ended") from None
        except self._failure as error:
            raise Lost(f"{self._name}: {_reason(error, self._silence_s)}") from None
        if pts_ns is None:
            return Picture(pixels, arrival_ns, arrival_ns, bgr=bgr)
        return Picture(pixels, self._clock.host_ns(pts_ns, arrival_ns), arrival_ns, "sensor", bgr=bgr)

    def stop(self) -> None:
        """A `grab` that waits ends by itself after the time of silence."""

    def close(self) -> None:
        self._decoder.container.close()


def _final(error: Exception) -> str:
    """What does not heal by itself; "" for the rest."""
    from av.error import HTTPClientError, InvalidDataError, ProtocolNotFoundError

    if isinstance(error, HTTPClientError):
        return f"{_text(error)}; is the path right, and do user and password belong to it?"
    if isinstance(error, InvalidDataError):
        return "needs a stream of pictures, got data that are no video"
    return _text(error) if isinstance(error, ProtocolNotFoundError) else ""


def _reason(error: Exception, silence_s: float) -> str:
    from av.error import ExitError

    return f"no answer for {silence_s:g} s" if isinstance(error, ExitError) else _text(error)


def _text(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
