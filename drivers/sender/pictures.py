"""What a camera on the network would send: the pictures of a folder, or of a video, each as JPEG with its time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from drivers.pictures import SUFFIXES, check_pictures, read_rgb
from operators import folders
from pipeline.errors import InputError

FOLDER_HZ = 10.0
QUALITY = 90
MAX_KEPT_BYTES = 256 << 20
"""JPEGs that were made for the first round are kept for the next ones, so that the sender takes little of the processor."""


class Pictures:
    """Iterate it for (time [s], JPEG), as often as you like. hz: None = those of the video, 10 of a folder."""

    def __init__(self, path: Path, hz: float | None = None) -> None:
        self.path, self._hz = path, hz
        self._files: list[Path] = []
        if folders.is_folder(path):
            self._files = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
            if not self._files:
                raise InputError(f"{path}: needs pictures ({', '.join(SUFFIXES)}), got none")
            check_pictures(self._files)
        self._kept: list[tuple[float, bytes]] = []
        self._all_kept = False

    def __iter__(self) -> Iterator[tuple[float, bytes]]:
        if self._all_kept:
            yield from self._kept
            return
        self._kept, size = [], 0
        for number, (time_s, jpeg) in enumerate(self._of_folder() if self._files else self._of_video()):
            picture = (time_s if self._hz is None else number / self._hz, jpeg)
            size += len(jpeg)
            if size <= MAX_KEPT_BYTES:
                self._kept.append(picture)
            yield picture
        self._all_kept = size <= MAX_KEPT_BYTES

    def _of_folder(self) -> Iterator[tuple[float, bytes]]:
        for number, path in enumerate(self._files):
            jpeg = path.read_bytes() if path.suffix.lower() != ".png" else _encode(read_rgb(path, _empty), cv2.COLOR_RGB2BGR)
            yield number / FOLDER_HZ, jpeg

    def _of_video(self) -> Iterator[tuple[float, bytes]]:
        import av

        try:
            with av.open(str(self.path)) as video:
                if not video.streams.video:
                    raise InputError(f"{self.path}: needs a video, got a file without pictures")
                first = None
                for frame in video.decode(video=0):
                    time_s = frame.time or 0.0
                    first = time_s if first is None else first
                    yield time_s - first, _encode(frame.to_ndarray(format="bgr24"))
        except (av.error.FFmpegError, OSError) as error:
            raise InputError(f"{self.path}: needs a video, a folder of pictures, or a capture, got: {error}") from None


def _empty(shape: tuple[int, int, int]) -> np.ndarray:
    return np.empty(shape, np.uint8)


def _encode(picture: np.ndarray, convert: int | None = None) -> bytes:
    if convert is not None:
        picture = cv2.cvtColor(picture, convert)
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1])
