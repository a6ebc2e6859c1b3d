"""What `config.device` means, and what can be known of it before the run."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from drivers.camera import v4l2
from operators import folders
from pipeline.errors import InputError

Kind = Literal["v4l2", "csi", "stream", "gstreamer", "file", "folder"]
STREAMS = ("rtsp://", "rtsps://", "http://", "https://")
NEEDS = "needs 0, /dev/video0, csi:0, rtsp://…, http://…, a video file, a folder of pictures or GStreamer text with ' ! '"


class Where(NamedTuple):
    """text: the path of a V4L2 device, the number of a CSI sensor, a URL, GStreamer text, a path."""

    kind: Kind
    text: str

    @property
    def path(self) -> Path:
        return folders.at(self.text)


def where(who: str, device: str, needs: str = NEEDS) -> Where:
    """Raises InputError for a path where nothing is. A V4L2 device may be absent: it is waited for."""
    if device.isdecimal():
        return Where("v4l2", f"/dev/video{device}")
    if sensor := re.fullmatch(r"csi(?::(\d+))?", device):
        return Where("csi", sensor[1] or "0")
    if device.startswith(STREAMS):
        return Where("stream", device)
    if re.search(r"\s!\s", device):
        return Where("gstreamer", device)
    if device.startswith("/dev/"):
        return Where("v4l2", device)
    there = folders.kind(folders.at(device)) if device and "://" not in device else ""
    if there == folders.FOLDER:
        return Where("folder", device)
    if there == folders.FILE:
        return Where("file", device)
    raise InputError(f"{who}: config.device: {needs}, got {device or 'nothing'}{f' ({there})' if there else ''}")


def check_v4l2(who: str, path: Path, fourcc: str, width: int, height: int) -> None:
    """Raises InputError for what does not heal: no permission, no camera, a format that it does not offer. Absent: nothing."""
    try:
        device = v4l2.ask(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EBUSY):
            return
        if error.errno in (errno.EACCES, errno.EPERM):
            raise InputError(
                f"{who}: config.device: may not use {path}: {error.strerror}; sudo usermod -aG video $USER, then log in again?"
            ) from None
        raise InputError(f"{who}: config.device: needs a V4L2 camera, got {path}: {error.strerror}") from None
    if not device.captures:
        raise InputError(
            f"{who}: config.device: needs a camera, got {path} of {device.card}, which gives no pictures (metadata or output); "
            "the device before it?"
        )
    check_offer(who, path, device, fourcc, width, height)


def check_offer(who: str, path: Path, device: v4l2.Device, fourcc: str, width: int, height: int) -> None:
    """Raises InputError if the device says that it has no such format or size; what a driver does not list is tried."""
    offers = [offer for offer in device.offers if not fourcc or offer.fourcc == fourcc]
    if device.offers and not offers:
        raise InputError(f"{who}: config.device: needs pixel format {fourcc}, got {path}, which offers {_all(device.offers)}")
    sizes = {size for offer in offers for size in offer.sizes}
    fixed = sizes and not any(size.startswith("up to") for size in sizes)
    if width and fixed and f"{width}x{height}" not in sizes:
        raise InputError(f"{who}: config.width, height: needs {width}x{height}, got {path}, which offers {_all(offers)}")


def _all(offers: Sequence[v4l2.Offer]) -> str:
    return ", ".join(map(str, offers))
