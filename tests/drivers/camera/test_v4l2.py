"""No camera was there: answers are laid out by hand after linux/videodev2.h, with the values that `v4l2-ctl --all` prints for a
UVC camera; the sizes of the structures are those of the kernel on 64-bit machines."""

import errno
import os
import struct
from pathlib import Path

import pytest

from drivers.camera import v4l2

UVC = struct.pack(
    "16s32s32sIIIIII", b"uvcvideo", b"HD Webcam C525", b"usb-0000:00:14.0-1", 0x50F00, 0x84A00001, 0x04200001, 0, 0, 0
)
UVC_METADATA = UVC[:84] + struct.pack("II", 0x84A00001, 0x04A00000) + bytes(12)
OLD = UVC[:84] + struct.pack("II", 0x04000001, 0) + bytes(12)


class Uvc:
    """ioctl of a camera with two formats; the second gives its sizes in steps."""

    formats = (b"MJPG", b"Y16 ")

    def __init__(self, capability=UVC):
        self.capability = capability

    def __call__(self, fd, request, data):
        if request == v4l2.QUERYCAP:
            return self.capability
        index, kind = struct.unpack_from("II", data)
        if request == v4l2.ENUM_FMT and kind == 1 and index < len(self.formats):
            return struct.pack("3I32s4s4I", index, kind, 0, b"text", self.formats[index], 0, 0, 0, 0)
        if request == v4l2.ENUM_FRAMESIZES and data[4:8] == b"MJPG" and index < 2:
            return struct.pack("I4sI", index, b"MJPG", 1) + struct.pack("8I", *((1280, 720), (640, 480))[index], *[0] * 6)
        if request == v4l2.ENUM_FRAMESIZES and data[4:8] == b"Y16 " and index == 0:
            return struct.pack("I4sI", index, b"Y16 ", 3) + struct.pack("8I", 80, 640, 8, 60, 512, 4, 0, 0)
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def test_numbers_are_the_kernels():
    assert (v4l2.QUERYCAP, v4l2.ENUM_FMT, v4l2.ENUM_FRAMESIZES) == (0x80685600, 0xC0405602, 0xC02C564A)


def test_a_camera_says_what_it_offers():
    device = v4l2.ask(Path(os.devnull), Uvc())
    assert str(device) == "HD Webcam C525: MJPG (1280x720, 640x480), Y16 (up to 640x512)"
    assert device.driver == "uvcvideo" and device.captures


@pytest.mark.parametrize("capability, captures", [(UVC, True), (UVC_METADATA, False), (OLD, True)])
def test_a_node_of_metadata_is_no_camera(capability, captures):
    assert v4l2.parse_capability(capability).captures is captures
    assert bool(v4l2.ask(Path(os.devnull), Uvc(capability)).offers) is captures


def test_no_formats_and_a_driver_without_lists():
    def bare(fd, request, data):
        if request == v4l2.QUERYCAP:
            return UVC
        raise OSError(errno.ENOTTY, "no such ioctl")

    assert str(v4l2.ask(Path(os.devnull), bare)) == "HD Webcam C525: no formats"


def test_a_list_without_an_end_ends():
    endless = Uvc()
    endless.formats = (b"MJPG",) * 1000
    assert len(v4l2.ask(Path(os.devnull), endless).offers) == 64


def test_what_is_no_device_and_an_absent_one():
    with pytest.raises(OSError, match="Inappropriate ioctl") as error:
        v4l2.ask(Path(os.devnull))
    assert error.value.filename == os.devnull
    with pytest.raises(FileNotFoundError):
        v4l2.ask(Path("/dev/video-none"))
    with pytest.raises(struct.error):
        v4l2.parse_capability(UVC[:50])


def test_who_has_the_device(tmp_path):
    assert v4l2.user_of(Path("/dev/video0"), tmp_path) == ""
    for pid, name, opened in ((12, "idle", "/dev/null"), (345, "cheese", "/dev/video0"), (os.getpid(), "pipe", "/dev/video0")):
        (tmp_path / f"{pid}" / "fd").mkdir(parents=True)
        (tmp_path / f"{pid}" / "comm").write_text(f"{name}\n")
        (tmp_path / f"{pid}" / "fd" / "7").symlink_to(opened)
    assert v4l2.user_of(Path("/dev/video0"), tmp_path) == "process 345 (cheese)"
    assert v4l2.user_of(Path("/dev/video1"), tmp_path) == ""
