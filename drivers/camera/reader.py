"""A colour camera, live: V4L2, CSI on Jetson, RTSP, HTTP, or a recording played like one.

out  image  (H, W, 3) uint8 RGB; fact clock: "sensor" (the driver's or the sender's stamp) or "arrival"
     calibration, lens: static, from the rig file that `calibration` names

`config.device` says which. The newest picture wins: a thread reads and decodes; pictures that are not taken in time are dropped,
counted, and leave a gap in the frame ids. The last pass writes the loaned slot: for V4L2, CSI, GStreamer and MJPEG the
conversion from BGR, for the others one copy. Files and folders end the stream at their end, or `repeat`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from drivers.calibration import latched
from drivers.camera import device, opencv, playback
from drivers.camera.network import Stream
from drivers.camera.newest import Capture, NewestPicture, Picture
from drivers.listing import listed
from drivers.live import LiveConfig
from drivers.pictures import SUFFIXES, check_pictures, read_rgb
from operators.streams import IMAGE
from pipeline.frame import Reading, Static
from pipeline.operator import Found, Source

_WHO = "camera"


@dataclass(frozen=True, slots=True)
class CameraConfig(LiveConfig):
    device: str = "0"  # 0 or /dev/video0, csi:0 (Jetson), rtsp://…, http://…, a video file, a folder, GStreamer text with " ! "
    width: int = 0  # px, with height; V4L2 and CSI; 0: as the device has it (CSI: 1920 x 1080)
    height: int = 0
    fps: float = 0.0  # V4L2, CSI: asked for; a folder: rate of play; 0: as the device has it, a folder 10
    format: str = ""  # V4L2: pixel format, such as MJPG or YUYV; "": as the device has it
    exposure_us: float | None = None  # V4L2, CSI; none: as the device has it; 0: automatic
    gain: float | None = None  # V4L2: in units of its driver, CSI: a factor; none: as the device has it
    white_balance_k: int | None = None  # V4L2: colour temperature; none: as the device has it; 0: automatic
    rtsp_transport: Literal["tcp", "udp"] = "tcp"
    max_hz: float = 0.0  # pictures beyond this rate are dropped at the source, counted; 0: all are sent
    repeat: bool = False  # a file or folder begins again at its end
    calibration: str = ""  # rig file, see docs/calibration.md
    calibration_camera: str = ""  # which camera of it; "" = the only one
    calibration_lidar: str = "velodyne"  # frame of the points there

    def __post_init__(self) -> None:
        LiveConfig.__post_init__(self)
        latched.check_config(self)
        check_size(self.width, self.height, self.fps, self.max_hz)
        if len(self.format) > 4:
            raise ValueError(f"format: needs at most 4 characters, such as MJPG, got {self.format!r}")


def check_size(width: int, height: int, fps: float, max_hz: float) -> None:
    if min(width, height) < 0 or (width == 0) != (height == 0):
        raise ValueError(f"width: needs width and height, both above 0 or both 0, got {width} and {height}")
    if not 0 <= fps < 1e6:
        raise ValueError(f"fps: needs 0 or more, got {fps:g}")
    if not 0 <= max_hz < 1e6:
        raise ValueError(f"max_hz: needs 0 or more, got {max_hz:g}")


class Camera(NewestPicture, Source):
    Config, outputs = CameraConfig, {"image": IMAGE, **latched.PORTS}

    @classmethod
    def find(cls, config: CameraConfig) -> Found:
        kind, text = where = device.where(_WHO, config.device)
        rate_hz = config.fps
        if kind == "v4l2":
            device.check_v4l2(_WHO, Path(text), config.format, config.width, config.height)
        elif kind in ("csi", "gstreamer"):
            opencv.need_gstreamer(_WHO, config.device)
        elif kind == "folder":
            check_pictures(listed(_WHO, text, SUFFIXES))
            rate_hz = config.fps or playback.DEFAULT_HZ
        elif kind == "file":
            video = playback.open_file(where.path)
            video.container.close()
            rate_hz = video.rate_hz
        return Found(None, rate_hz or None)

    @classmethod
    def check_ports(cls, name: str, config: CameraConfig, wanted: frozenset[str], needed: frozenset[str]) -> None:
        latched.check_ports(name, config, needed)

    def statics(self) -> Iterable[Static]:
        return latched.statics(self)

    @classmethod
    def slot_bytes(cls, config: CameraConfig) -> dict[str, int]:
        return {"image": config.width * config.height * 3} if config.width else {}

    def capture(self) -> Capture:
        config: CameraConfig = self.config
        kind, text = where = device.where(_WHO, config.device)
        if kind == "v4l2":
            controls = {key: getattr(config, key) for key in ("exposure_us", "gain", "white_balance_k")}
            size = config.width, config.height
            return opencv.open_v4l2(self.name, Path(text), config.format, size, config.fps, controls)
        if kind == "csi":
            size = config.width, config.height
            return opencv.open_gstreamer(opencv.csi_pipeline(int(text), *size, config.fps, config.exposure_us, config.gain))
        if kind == "gstreamer":
            return opencv.open_gstreamer(text)
        if kind == "stream":
            return Stream(text, config.rtsp_transport, config.lost_s, self.threads, self.delivered)
        if kind == "file":
            return playback.VideoFile(where.path, config.repeat, self.threads, self.number)
        files = listed(_WHO, text, SUFFIXES)
        return playback.Files(files, _load, config.fps or playback.DEFAULT_HZ, config.repeat, self.number)

    def reading(self, picture: Picture, item: str) -> Reading:
        pixels = picture.pixels
        image = self.alloc("image", "image", pixels.shape, np.uint8)
        if picture.bgr:
            cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=image)
        else:
            np.copyto(image, pixels)
        return Reading({"image": image}, item, picture.stamp_ns, picture.arrival_ns, {"image": {"clock": picture.clock}})


def _load(path: Path) -> Picture:
    return Picture(read_rgb(path, lambda shape: np.empty(shape, np.uint8)), 0, 0, item=path.stem)
