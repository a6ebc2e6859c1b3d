"""A fake of cv2.VideoCapture: what OpenCV's V4L2 backend answers (modules/videoio/src/cap_v4l.cpp), no camera."""

import time

import cv2
import numpy as np
import pytest

from drivers.camera import opencv, v4l2
from drivers.camera.reader import Camera, CameraConfig
from drivers.live import Lost, Malformed
from pipeline.errors import InputError, RunError

BGR = np.zeros((4, 6, 3), np.uint8) + np.array([10, 20, 30], np.uint8)
OFFERS = v4l2.Device(
    "HD Webcam", "uvcvideo", True, (v4l2.Offer("MJPG", ("1280x720", "640x480")), v4l2.Offer("YUYV", ("640x480",)))
)


class Fake:
    """frames: what grab and retrieve give, one by one: a picture, None (does not decode), or the end: unplugged."""

    opens = True
    frames: list = []
    props: dict = {}
    refuses: tuple = ()

    def __init__(self, where, backend):
        self.where, self.backend, self.set_props = where, backend, []
        self.left, self.released = list(self.frames), False
        self.values = {cv2.CAP_PROP_FOURCC: fourcc("YUYV"), cv2.CAP_PROP_FRAME_WIDTH: 640, cv2.CAP_PROP_FRAME_HEIGHT: 480}
        self.values |= self.props
        Fake.last = self

    def isOpened(self):
        return self.opens

    def set(self, key, value):
        self.set_props.append((key, value))
        if key in self.refuses:
            return False
        self.values[key] = value
        return True

    def get(self, key):
        if key == cv2.CAP_PROP_POS_MSEC and key not in self.values:
            return self.taken_ms
        return self.values.get(key, -1.0)

    def grab(self):
        self.taken_ms = time.monotonic_ns() / 1e6 - 20
        return bool(self.left)

    def retrieve(self):
        frame = self.left.pop(0)
        return frame is not None, frame

    def release(self):
        self.released = True


def fourcc(text):
    return float(cv2.VideoWriter.fourcc(*text.ljust(4)))


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """A class to adapt, and the path of the device."""

    class Here(Fake):
        path = tmp_path / "video0"

    Here.path.touch()
    monkeypatch.setattr(cv2, "VideoCapture", Here)
    monkeypatch.setattr(v4l2, "ask", lambda path: OFFERS)
    return Here


def opened(fake, text="", size=(0, 0), fps=0.0, raw=False, **controls):
    return opencv.open_v4l2("cam", fake.path, text, size, fps, controls, raw)


def test_host_stamp():
    arrival, mono = 1_800_000_000_000_000_000, 70_000_000_000
    assert opencv.host_stamp(69_980.0, arrival, mono) == (arrival - 20_000_000, "sensor")  # CLOCK_MONOTONIC
    assert opencv.host_stamp(arrival / 1e6 - 30, arrival, mono)[1] == "sensor"  # the machine's clock
    assert abs(opencv.host_stamp(arrival / 1e6 - 30, arrival, mono)[0] - arrival + 30_000_000) < 1000
    for none in (0.0, -1.0, 71_000.0, 60_000.0, 123.4):  # absent, in the future, too old, another clock
        assert opencv.host_stamp(none, arrival, mono) == (arrival, "arrival")


def test_pictures_have_the_stamp_of_the_buffer(fake):
    fake.frames = [BGR]
    capture = opened(fake)
    picture = capture.grab()
    assert picture.clock == "sensor" and 19_999_000 < picture.arrival_ns - picture.stamp_ns < 5_000_000_000
    assert picture.bgr and picture.pixels is fake.frames[0]
    with pytest.raises(Lost, match="gives no pictures"):
        capture.grab()
    capture.close()
    assert fake.last.released and fake.last.backend == cv2.CAP_V4L2 and fake.last.where == str(fake.path)


@pytest.mark.parametrize("frame", [None, np.empty((0, 0, 3), np.uint8)])
def test_a_picture_that_does_not_decode(fake, frame):
    fake.frames = [frame, BGR]
    capture = opened(fake)
    with pytest.raises(Malformed, match="needs a whole picture"):
        capture.grab()
    assert capture.grab().pixels is BGR


def test_what_is_asked_of_the_device(fake):
    opened(fake)
    assert fake.last.set_props == []  # as the device has it
    opened(fake, "MJPG", (1280, 720), 30.0, exposure_us=5000.0, gain=12.0, white_balance_k=4500)
    assert fake.last.set_props == [
        (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")),
        (cv2.CAP_PROP_FRAME_WIDTH, 1280),
        (cv2.CAP_PROP_FRAME_HEIGHT, 720),
        (cv2.CAP_PROP_FPS, 30.0),
        (cv2.CAP_PROP_AUTO_EXPOSURE, 1),
        (cv2.CAP_PROP_EXPOSURE, 50.0),
        (cv2.CAP_PROP_GAIN, 12.0),
        (cv2.CAP_PROP_AUTO_WB, 0.0),
        (cv2.CAP_PROP_WB_TEMPERATURE, 4500),
    ]
    opened(fake, exposure_us=0.0, white_balance_k=0)
    assert fake.last.set_props == [(cv2.CAP_PROP_AUTO_EXPOSURE, 3), (cv2.CAP_PROP_AUTO_WB, 1.0)]


def test_a_control_that_the_device_lacks(fake):
    fake.refuses = (cv2.CAP_PROP_GAIN,)
    with pytest.raises(RunError, match=r"^cam: config.gain: .*video0 does not take 3; remove the key"):
        opened(fake, gain=3.0)
    assert fake.last.released


def test_a_format_that_the_device_changes(fake):
    fake.refuses = (cv2.CAP_PROP_FOURCC,)
    with pytest.raises(
        RunError, match=r"video0: needs MJPG, got YUYV 640x480; the device offers MJPG \(1280x720, 640x480\), YUYV"
    ):
        opened(fake, "MJPG")
    fake.refuses = (cv2.CAP_PROP_FRAME_WIDTH,)
    with pytest.raises(RunError, match=r"video0: needs 1280x720, got YUYV 640x720; the device offers"):
        opened(fake, "", (1280, 720))


def test_a_busy_device_waits_and_names_who_has_it(fake, monkeypatch, play):
    fake.opens = False
    monkeypatch.setattr(v4l2, "user_of", lambda path: "process 345 (cheese)")
    with pytest.raises(Lost, match=r"video0 is in use by process 345 \(cheese\)"):
        opened(fake)
    monkeypatch.setattr(v4l2, "user_of", lambda path: "")
    with pytest.raises(Lost, match="does not open; is another program using it"):
        opened(fake)


def test_an_absent_device_is_an_os_error(fake):
    fake.path.unlink()
    with pytest.raises(FileNotFoundError):
        opened(fake)


def test_raw_counts_and_eight_bits_in_their_place(fake):
    fake.props = {cv2.CAP_PROP_FOURCC: fourcc("Y16")}
    fake.frames = [np.full((4, 6), 7000, np.uint16), BGR]
    capture = opened(fake, "Y16", raw=True)
    assert (cv2.CAP_PROP_CONVERT_RGB, 0) in fake.last.set_props
    picture = capture.grab()
    assert picture.pixels.dtype == np.uint16 and not picture.bgr
    with pytest.raises(RunError, match=r"needs 16-bit counts \(Y16\), got uint8 of shape \(4, 6, 3\): the camera sends 8 bits"):
        capture.grab()


def test_the_driver_converts_to_rgb_and_connects_again_after_an_unplugged_cable(fake, monkeypatch, play):
    fake.frames = [BGR]
    monkeypatch.setattr("drivers.camera.device.where", lambda who, device: ("v4l2", str(fake.path)))
    player = play(Camera, CameraConfig(retry_s=(0.01, 0.02)))
    first, second = player.read(2)
    assert first.values["image"].tolist() == BGR[..., ::-1].tolist()
    assert first.meta["image"]["clock"] == second.meta["image"]["clock"] == "sensor"
    assert "lost 1 time" in player.status


def test_csi_pipeline_text():
    assert opencv.csi_pipeline(1, 1280, 720, 60) == (
        "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM), width=1280, height=720, framerate=60/1 ! nvvidconv"
        " ! video/x-raw, format=BGRx ! videoconvert ! video/x-raw, format=BGR ! appsink drop=true max-buffers=1 sync=false"
    )
    assert "width=1920, height=1080, framerate=30/1" in opencv.csi_pipeline(0, 0, 0, 0)
    assert "framerate=29970/1000" in opencv.csi_pipeline(0, 0, 0, 29.97)
    manual = opencv.csi_pipeline(0, 0, 0, 0, exposure_us=2000, gain=4)
    assert manual.startswith('nvarguscamerasrc sensor-id=0 exposuretimerange="2000000 2000000" gainrange="4 4" ! ')


def test_gstreamer(fake, monkeypatch, play):
    monkeypatch.setattr(cv2.videoio_registry, "hasBackend", lambda backend: False)
    for device in ("csi:0", "videotestsrc ! appsink"):
        with pytest.raises(InputError, match=rf"^camera: config.device: {device} needs OpenCV with GStreamer, got .* without"):
            Camera.find(CameraConfig(device=device))
    monkeypatch.setattr(cv2.videoio_registry, "hasBackend", lambda backend: True)
    assert Camera.find(CameraConfig(device="csi", fps=30)).rate_hz == 30
    fake.frames = [BGR]
    (reading,) = play(Camera, CameraConfig(device="csi:2", width=640, height=480)).read(1)
    assert fake.last.backend == cv2.CAP_GSTREAMER and "sensor-id=2" in fake.last.where
    assert reading.meta["image"]["clock"] == "arrival"
    fake.opens = False
    with pytest.raises(Lost, match="the GStreamer pipeline does not start: videotestsrc ! appsink"):
        opencv.open_gstreamer("videotestsrc ! appsink")
