"""Pictures of a local camera through OpenCV: V4L2, and GStreamer text where OpenCV is built with it.

Stamps of V4L2 are those of the driver's buffers (CAP_PROP_POS_MSEC, CLOCK_MONOTONIC by the flag that nearly all drivers set, some
the machine's clock); a stamp that is near neither is left for the arrival. GStreamer: arrival.
No camera was there: tested with a fake of cv2.VideoCapture that behaves as modules/videoio/src/cap_v4l.cpp of OpenCV reads.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from drivers.camera import v4l2
from drivers.camera.newest import Picture
from drivers.clock import Name
from drivers.live import Lost, Malformed
from pipeline.errors import InputError, RunError

MOST_AGE_NS = 5_000_000_000
"""A buffer's stamp lies in the last seconds of the clock that made it."""
_MANUAL, _AUTOMATIC = 1, 3  # V4L2_EXPOSURE_MANUAL, V4L2_EXPOSURE_APERTURE_PRIORITY
_EXPOSURE_US = 100  # V4L2_CID_EXPOSURE_ABSOLUTE counts 100 us


def host_stamp(device_ms: float, arrival_ns: int, mono_ns: int) -> tuple[int, Name]:
    """The buffer's stamp on the host's clock, and whose time it is.

    device_ms            CAP_PROP_POS_MSEC; 0 or less: none
    arrival_ns, mono_ns  the machine's clock and CLOCK_MONOTONIC when the buffer came
    """
    device_ns = round(device_ms * 1e6)
    for now_ns in (mono_ns, arrival_ns):
        if device_ns > 0 and 0 <= now_ns - device_ns < MOST_AGE_NS:
            return arrival_ns - (now_ns - device_ns), "sensor"
    return arrival_ns, "arrival"


class OpenCv:
    """An open cv2.VideoCapture. raw: pictures are 16-bit counts as the sensor gives them, else BGR."""

    def __init__(self, capture: Any, name: str, stamps: bool, raw: bool = False) -> None:
        self._capture, self._name, self._stamps, self._raw = capture, name, stamps, raw

    def grab(self) -> Picture:
        if not self._capture.grab():
            raise Lost(f"{self._name} gives no pictures")
        arrival_ns, mono_ns = time.time_ns(), time.monotonic_ns()
        device_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC) if self._stamps else 0.0
        try:
            whole, pixels = self._capture.retrieve()
        except cv2.error:
            whole, pixels = False, None
        if not whole or pixels is None or not pixels.size:
            raise Malformed("needs a whole picture, got one that does not decode")
        if self._raw and pixels.dtype != np.uint16:
            raise RunError(
                f"{self._name}: needs 16-bit counts (Y16), got {pixels.dtype} of shape {pixels.shape}: the camera sends 8 bits; "
                "switch it to 16 bits, or use driver camera"
            )
        stamp_ns, clock = host_stamp(device_ms, arrival_ns, mono_ns)
        return Picture(pixels, stamp_ns, arrival_ns, clock, bgr=not self._raw)

    def stop(self) -> None:
        """`grab` returns after the driver's own timeout."""

    def close(self) -> None:
        self._capture.release()


def open_v4l2(
    who: str,
    path: Path,
    fourcc: str,
    size: tuple[int, int],
    fps: float,
    controls: Mapping[str, float | None],
    raw: bool = False,
) -> OpenCv:
    """fourcc "", size (0, 0), fps 0: as the device has it; controls: see `_set_controls`; raw: see OpenCv.

    Raises OSError, Lost (busy) or RunError (format, control).
    """
    os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))  # OpenCV does not say why it cannot
    capture = cv2.VideoCapture(str(path), cv2.CAP_V4L2)
    try:
        if not capture.isOpened():
            user = v4l2.user_of(path)
            raise Lost(f"{path} is in use by {user}" if user else f"{path} does not open; is another program using it?")
        asked = [
            (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*fourcc.ljust(4)) if fourcc else 0),
            (cv2.CAP_PROP_FRAME_WIDTH, size[0]),
            (cv2.CAP_PROP_FRAME_HEIGHT, size[1]),
            (cv2.CAP_PROP_FPS, fps),
        ]
        for key, value in asked:
            if value:
                capture.set(key, value)  # what it did is compared below
        _check_format(who, path, capture, fourcc, size)
        _set_controls(who, path, capture, controls)
        if raw:
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
    except BaseException:
        capture.release()
        raise
    return OpenCv(capture, str(path), True, raw)


def _check_format(who: str, path: Path, capture: Any, fourcc: str, size: tuple[int, int]) -> None:
    got = v4l2.fourcc(int(capture.get(cv2.CAP_PROP_FOURCC)))
    got_size = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    wrong_size = size != (0, 0) and size != got_size
    if (fourcc and got != fourcc) or wrong_size:
        needs = f"{fourcc} {size[0]}x{size[1]}" if wrong_size else fourcc
        try:
            offers = ", ".join(map(str, v4l2.ask(path).offers))
        except OSError:
            offers = ""
        raise RunError(
            f"{who}: {path}: needs {needs.strip()}, got {got} {got_size[0]}x{got_size[1]}"
            + (f"; the device offers {offers}" if offers else "; see v4l2-ctl --list-formats-ext")
        )


def _set_controls(who: str, path: Path, capture: Any, controls: Mapping[str, float | None]) -> None:
    """exposure_us, gain, white_balance_k: None, or absent: as the device has it; exposure and white balance of 0: automatic."""
    exposure_us, gain, kelvin = (controls.get(key) for key in ("exposure_us", "gain", "white_balance_k"))
    asked: list[tuple[str, int, float]] = []
    if exposure_us is not None:
        asked.append(("exposure_us", cv2.CAP_PROP_AUTO_EXPOSURE, _MANUAL if exposure_us else _AUTOMATIC))
    if exposure_us:
        asked.append(("exposure_us", cv2.CAP_PROP_EXPOSURE, exposure_us / _EXPOSURE_US))
    if gain is not None:
        asked.append(("gain", cv2.CAP_PROP_GAIN, gain))
    if kelvin is not None:
        asked.append(("white_balance_k", cv2.CAP_PROP_AUTO_WB, float(not kelvin)))
    if kelvin:
        asked.append(("white_balance_k", cv2.CAP_PROP_WB_TEMPERATURE, kelvin))
    for key, number, value in asked:
        if not capture.set(number, value):
            raise RunError(
                f"{who}: config.{key}: {path} does not take {controls[key]:g}; remove the key, or see v4l2-ctl --list-ctrls"
            )


def need_gstreamer(who: str, device: str) -> None:
    """Raises InputError if this OpenCV cannot play GStreamer text."""
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        raise InputError(
            f"{who}: config.device: {device} needs OpenCV with GStreamer, got {cv2.__version__} without; "
            "the packages of PyPI have none, that of JetPack and Debian has (apt-get install python3-opencv)"
        )


def open_gstreamer(text: str) -> OpenCv:
    capture = cv2.VideoCapture(text, cv2.CAP_GSTREAMER)
    if not capture.isOpened():
        capture.release()
        raise Lost(f"the GStreamer pipeline does not start: {text}")
    return OpenCv(capture, "the GStreamer pipeline", False)


def csi_pipeline(
    sensor: int, width: int, height: int, fps: float, exposure_us: float | None = None, gain: float | None = None
) -> str:
    """GStreamer text for a CSI camera on Jetson. 0 for width, height: 1920 x 1080; for fps: 30. None or 0: automatic.

    Source: NVIDIA, Jetson Linux Developer Guide, "Accelerated GStreamer", nvarguscamerasrc. Exposure times in ns.
    """
    source = f"nvarguscamerasrc sensor-id={sensor}"
    if exposure_us:
        source += ' exposuretimerange="{0} {0}"'.format(round(exposure_us * 1000))
    if gain:
        source += f' gainrange="{gain:g} {gain:g}"'
    rate = round((fps or 30.0) * 1000)
    fraction = f"{rate // 1000}/1" if rate % 1000 == 0 else f"{rate}/1000"
    return (
        f"{source} ! video/x-raw(memory:NVMM), width={width or 1920}, height={height or 1080}, framerate={fraction}"
        " ! nvvidconv ! video/x-raw, format=BGRx ! videoconvert ! video/x-raw, format=BGR"
        " ! appsink drop=true max-buffers=1 sync=false"
    )
