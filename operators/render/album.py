"""The files of a node that draws: DIR/<node>/frames/ITEM.png ("/" as "_") every so many frames, and video.mp4 (video.py).

After the n-th restart the video continues in video-rn.mp4; a change of picture size begins a file ending in -2, -3, ...
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

import cv2
import numpy as np

from operators.files import failed, replace
from operators.render.video import Video, require_encoder
from pipeline.errors import FrameError
from pipeline.frame import Header
from pipeline.names import below
from pipeline.operator import Resume


class AlbumConfig(Protocol):
    """The keys of a node's config that say which files it writes."""

    @property
    def png_every(self) -> int: ...
    @property
    def video(self) -> bool: ...
    @property
    def video_rate_hz(self) -> float: ...
    @property
    def video_crf(self) -> int: ...
    @property
    def video_preset(self) -> Literal["veryfast", "superfast", "ultrafast"]: ...


def check(config: AlbumConfig) -> None:
    """Raises ValueError that names the key."""
    if not 0 <= config.video_crf <= 51:
        raise ValueError(f"video_crf: needs 0..51, got {config.video_crf}")
    if not config.video_rate_hz > 0:
        raise ValueError(f"video_rate_hz: needs more than 0, got {config.video_rate_hz}")


class Album:
    """Raises RunError if a video is wanted and PyAV is missing."""

    def __init__(self, config: AlbumConfig, node: str, folder: Path, resume: Resume | None) -> None:
        if config.video:
            require_encoder(node)
        self.config, self.node, self.folder = config, node, folder
        self.restart = f"-r{resume.restarts}" if resume else ""
        self.video: Video | None = None
        self.num_videos = 0
        (folder / "frames").mkdir(parents=True, exist_ok=True)

    def add(self, picture: np.ndarray, header: Header) -> None:
        """The picture of a frame, (rows, columns, 3) uint8 RGB, rows and columns even for a video."""
        every = self.config.png_every
        if every and header.frame_id % every == 0:
            self._save(picture, header)
        if self.config.video:
            self._film(picture)

    def close(self) -> None:
        if self.video is not None:
            self.video.close()

    def _save(self, picture: np.ndarray, header: Header) -> None:
        name = header.item.replace("/", "_") or f"{header.frame_id:06d}"
        path = below(self.folder, f"frames/{name}.png", f"{self.node}: frame {header}")
        if path.exists():
            raise FrameError(f"{self.node}: {path}: needs a file of its own for frame {header}, got one of an earlier frame")
        data = cv2.imencode(".png", picture[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
        try:
            replace(path, data)
        except OSError as error:
            raise failed(self.node, path, error, f"frame {header}") from error

    def _film(self, picture: np.ndarray) -> None:
        config = self.config
        if self.video is not None and self.video.size != picture.shape[:2]:
            self.video.close()
            self.video = None
        if self.video is None:
            self.num_videos += 1
            part = f"-{self.num_videos}" if self.num_videos > 1 else ""
            path = self.folder / f"video{self.restart}{part}.mp4"
            rows, columns = picture.shape[:2]
            self.video = Video(path, rows, columns, config.video_rate_hz, self.node, config.video_preset, config.video_crf)
        self.video.write(picture)
