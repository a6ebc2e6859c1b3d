import errno
from pathlib import Path

import pytest

from drivers.camera import device, v4l2
from drivers.camera.reader import Camera, CameraConfig
from pipeline.errors import InputError

OFFERS = (v4l2.Offer("MJPG", ("1280x720", "640x480")), v4l2.Offer("YUYV", ("640x480",)))
CAMERA = v4l2.Device("HD Webcam", "uvcvideo", True, OFFERS)


@pytest.mark.parametrize(
    "text, kind, means",
    [
        ("0", "v4l2", "/dev/video0"),
        ("12", "v4l2", "/dev/video12"),
        ("/dev/video3", "v4l2", "/dev/video3"),
        ("/dev/v4l/by-id/usb-cam", "v4l2", "/dev/v4l/by-id/usb-cam"),
        ("csi", "csi", "0"),
        ("csi:1", "csi", "1"),
        ("rtsp://10.0.0.2/a", "stream", "rtsp://10.0.0.2/a"),
        ("http://10.0.0.2/a", "stream", "http://10.0.0.2/a"),
        ("videotestsrc ! appsink", "gstreamer", "videotestsrc ! appsink"),
    ],
)
def test_what_a_device_is(text, kind, means):
    assert device.where("camera", text) == (kind, means)


def test_files_and_folders(tmp_path):
    (tmp_path / "a ! b").mkdir()
    (tmp_path / "v.mp4").touch()
    assert device.where("camera", str(tmp_path)).kind == "folder"
    assert device.where("camera", str(tmp_path / "v.mp4")).kind == "file"
    for bad, got in (("", "nothing"), ("nowhere.mp4", "nowhere.mp4"), ("ftp://a/b", "ftp://a/b"), ("csi:x", "csi:x")):
        with pytest.raises(InputError, match=rf"^camera: config.device: needs 0, /dev/video0, .*, got {got}$"):
            device.where("camera", bad)


@pytest.fixture
def answers(monkeypatch):
    """answers(what): of `v4l2.ask`, a device or an errno."""

    def set_to(what):
        def ask(path):
            if isinstance(what, int):
                raise OSError(what, "reason")
            return what

        monkeypatch.setattr(v4l2, "ask", ask)

    return set_to


def check(fourcc="", width=0, height=0):
    device.check_v4l2("camera", Path("/dev/video0"), fourcc, width, height)


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENODEV, errno.EBUSY])
def test_what_heals_is_no_error_before_the_run(answers, number):
    answers(number)
    check()


def test_no_permission(answers):
    answers(errno.EACCES)
    with pytest.raises(InputError, match=r"^camera: config.device: may not use /dev/video0: reason; sudo usermod -aG video"):
        check()


def test_another_device_and_a_node_of_metadata(answers):
    answers(errno.ENOTTY)
    with pytest.raises(InputError, match=r"needs a V4L2 camera, got /dev/video0: reason$"):
        check()
    answers(v4l2.Device("HD Webcam", "uvcvideo", False))
    with pytest.raises(InputError, match=r"needs a camera, got /dev/video0 of HD Webcam, which gives no pictures"):
        check()


def test_a_format_or_size_that_is_not_offered(answers):
    answers(CAMERA)
    check()
    check("MJPG", 1280, 720)
    with pytest.raises(
        InputError, match=r"^camera: config.device: needs pixel format Y16, got /dev/video0, which offers MJPG \(1280x720, 640"
    ):
        check("Y16")
    with pytest.raises(
        InputError, match=r"config.width, height: needs 1280x720, got /dev/video0, which offers YUYV \(640x480\)$"
    ):
        check("YUYV", 1280, 720)
    answers(v4l2.Device("a", "b", True, (v4l2.Offer("MJPG", ("up to 4096x2160",)), v4l2.Offer("H264"))))
    check("MJPG", 1280, 720)
    answers(v4l2.Device("a", "b", True))  # a driver that lists nothing
    check("MJPG", 1280, 720)


def test_a_device_that_is_absent_is_waited_for(play):
    config = CameraConfig(device="/dev/video-none")
    assert Camera.find(config).frames is None and Camera.slot_bytes(config) == {}
    player = play(Camera, config)
    player.until("waiting: /dev/video-none: No such file or directory")


@pytest.mark.parametrize(
    "config, text",
    [
        ({"width": 640}, "width: needs width and height, both above 0 or both 0, got 640 and 0"),
        ({"width": -1, "height": -1}, "width: needs width"),
        ({"fps": -1.0}, "fps: needs 0 or more, got -1"),
        ({"format": "MJPEG"}, "format: needs at most 4 characters, such as MJPG, got 'MJPEG'"),
        ({"stale_s": 0.0}, "stale_s"),
    ],
)
def test_configs_that_are_refused(config, text):
    with pytest.raises(ValueError, match=f"^{text}"):
        CameraConfig(**config)


def test_the_slot_has_the_size_that_is_asked_for():
    assert Camera.slot_bytes(CameraConfig(width=4000, height=3000)) == {"image": 36_000_000}
