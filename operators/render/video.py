"""H.264 in a fragmented MP4 that any browser plays, even if the process was killed while writing.

A fragment (one picture) is written to disk in one write, when the next picture is encoded. A kill loses at most the last
two pictures, or truncates the last fragment, which players ignore. A fragmented file cannot be continued portably: after a
crash, begin a new file.
"""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from operators.files import extend, failed
from pipeline.errors import RunError

_MUXER = {"movflags": "frag_every_frame+empty_moov+default_base_moof", "flush_packets": "1"}
_KEY_EVERY = 10
_COMPLETE_AFTER = (b"moov", b"mdat", b"mfra")


class _Fragments:
    """The muxer's output file: collects bytes and passes on complete fragments only."""

    def __init__(self) -> None:
        self.pending = bytearray()

    def write(self, data: bytes) -> int:
        self.pending += data
        return len(data)

    def take(self) -> bytes:
        end = at = 0
        while at + 8 <= len(self.pending):
            size = int.from_bytes(self.pending[at : at + 4], "big")
            if size < 8 or at + size > len(self.pending):
                break
            if self.pending[at + 4 : at + 8] in _COMPLETE_AFTER:
                end = at + size
            at += size
        whole = bytes(self.pending[:end])
        del self.pending[:end]
        return whole


def require_encoder(who: str) -> None:
    """Raises RunError if PyAV is missing. Imports PyAV (0.2 s) only for graphs with a video."""
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise RunError(f"{who}: config.video: needs PyAV to write MP4, got none; pip install av, or video: false?") from error


class Video:
    """One file of pictures (rows, columns, 3) uint8 RGB, rows and columns even. Same pictures, same bytes."""

    def __init__(
        self, path: Path, rows: int, columns: int, rate_hz: float, who: str, preset: str = "veryfast", crf: int = 24
    ) -> None:
        import av

        self.size = rows, columns
        self.path, self.who, self.num_pictures = path, who, 0
        self._make_frame = av.VideoFrame.from_ndarray
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        except OSError as error:
            raise failed(who, path, error, "the video") from error
        self._fragments = _Fragments()
        self._container = av.open(self._fragments, "w", format="mp4", options=_MUXER)
        options = {"preset": preset, "crf": str(crf), "tune": "zerolatency"}
        stream: Any = self._container.add_stream("libx264", rate=Fraction(rate_hz).limit_denominator(1000), options=options)
        stream.width, stream.height, stream.pix_fmt = columns, rows, "yuv420p"
        stream.codec_context.gop_size = _KEY_EVERY
        stream.codec_context.thread_count = 1  # the number of threads changes the slices, and so the bytes
        self._stream = stream

    def write(self, picture: np.ndarray) -> None:
        # OpenCV converts in 0.7 ms, the encoder's own scaler in 4 ms
        planes: Any = cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420)
        frame = self._make_frame(planes, format="yuv420p")
        frame.pts = self.num_pictures
        self.num_pictures += 1
        self._mux(self._stream.encode(frame))

    def close(self) -> None:
        try:
            self._mux(self._stream.encode(None))
            self._container.close()
            self._save()
        finally:
            os.close(self._fd)

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            self._container.mux(packet)
        self._save()

    def _save(self) -> None:
        try:
            extend(self._fd, self._fragments.take())
        except OSError as error:
            raise failed(self.who, self.path, error, f"picture {self.num_pictures}") from error
