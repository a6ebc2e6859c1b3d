"""Streams of real servers on loopback; no camera of any maker."""

import functools
import http.server
import threading
import time

import cv2
import numpy as np
import pytest
from mjpeg_camera import HERE, Showing
from rtsp_server import RtspServer, nal_units

from drivers.camera.mjpeg_server import MjpegServer
from drivers.camera.network import Stream, decode_jpeg, shown
from drivers.camera.reader import Camera, CameraConfig
from drivers.live import Lost, Malformed
from pipeline.errors import RunError

FAST = {"stale_s": 0.3, "lost_s": 1.0, "retry_s": (0.05, 0.2)}


@pytest.fixture(scope="module")
def units():
    return nal_units([np.full((48, 64, 3), 40 + 20 * k, np.uint8) for k in range(6)])


def test_jpegs_whole_or_not():
    rgb = np.zeros((16, 16, 3), np.uint8) + np.array([200, 100, 20], np.uint8)
    data = cv2.imencode(".jpg", rgb[..., ::-1])[1].tobytes()
    assert np.abs(decode_jpeg(data)[..., ::-1].astype(int) - rgb).max() < 6
    for bad, why in (
        (b"", "without"),
        (data[: len(data) // 2], "without"),
        (b"\xff\xd8" + b"x" * 50 + b"\xff\xd9", "do not decode"),
    ):
        with pytest.raises(Malformed, match=rf"^needs a whole JPEG picture, got {len(bad)} bytes .*{why}"):
            decode_jpeg(bad)


def test_user_and_password_are_not_shown():
    assert shown("rtsp://user:secret@10.0.0.2:554/a@b") == "rtsp://10.0.0.2:554/a@b"
    assert shown("http://10.0.0.2/cam") == "http://10.0.0.2/cam"


def test_mjpeg_over_http_has_arrival_stamps(jpegs, play):
    with Showing(jpegs) as showing:
        player = play(Camera, CameraConfig(device=showing.server.url, **FAST))
        before = time.time_ns()
        readings = player.read(4)
        assert all(r.meta["image"] == {"clock": "arrival"} and r.stamp_ns == r.recv_ns for r in readings)
        assert before < readings[0].stamp_ns < readings[-1].stamp_ns < time.time_ns()
        images = [r.values["image"] for r in readings]
        assert {i.shape for i in images} == {(48, 64, 3)} and all(np.ptp(i) <= 2 for i in images)
        assert "running" in player.status and "stamps by arrival" in player.status


def test_pictures_are_rgb(play):
    bgr = np.zeros((48, 64, 3), np.uint8) + np.array([20, 100, 200], np.uint8)
    with Showing([cv2.imencode(".jpg", bgr)[1].tobytes()]) as showing:
        (reading,) = play(Camera, CameraConfig(device=showing.server.url, **FAST)).read(1)
    assert np.abs(reading.values["image"].astype(int) - (200, 100, 20)).max() < 6


def test_half_a_jpeg_is_counted_and_the_stream_goes_on(jpegs, play):
    half = jpegs[3][: len(jpegs[3]) // 2]
    with Showing([jpegs[1], half, jpegs[2]]) as showing:
        player = play(Camera, CameraConfig(device=showing.server.url, **FAST))
        for _ in range(40):
            player.read(1)
            if "malformed" in player.status:
                break
        assert "last malformed: needs a whole JPEG picture, got" in player.status
        assert {round(float(r.values["image"].mean()), -1) for r in player.read(4)} <= {20.0, 40.0}
        assert "lost" not in player.status


def test_the_server_goes_and_comes_back(jpegs, play):
    with Showing(jpegs) as showing:
        address, url = showing.server.address, showing.server.url
        player = play(Camera, CameraConfig(device=url, **FAST))
        first = player.read(3)
    player.until("reconnecting")
    with Showing(jpegs, address):
        player.until("running")
        last = player.read(2)
        assert player.status.startswith("running; lost 1 time, ") and "in all" in player.status
    assert last[-1].stamp_ns > first[-1].stamp_ns + 50_000_000


def test_a_silent_server_is_lost(jpegs, play):
    with MjpegServer(HERE) as server:
        player = play(Camera, CameraConfig(device=server.url, **FAST))
        player.until("waiting: " + server.url)
        assert "no answer for 1 s" in player.status


def test_the_path_is_wrong(jpegs, play):
    with Showing(jpegs) as showing:
        url = showing.server.url + "era"
        player = play(Camera, CameraConfig(device=url, **FAST))
        with pytest.raises(RunError, match=r"^http://127.*/camera: Server returned 404 Not Found; is the path right"):
            player.read(1)
        assert player.source.read() is None
        with pytest.raises(Lost, match="404"):  # after it has delivered, a server that starts may say so for a while
            Stream(url, "tcp", 1.0, 1, again=True)


def test_what_is_no_video(play, tmp_path):
    (tmp_path / "page.html").write_text("<html>the camera's own page</html>" * 99)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(HERE, handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/page.html"
        player = play(Camera, CameraConfig(device=url, **FAST))
        with pytest.raises(RunError, match=r"page.html: needs a stream of pictures, got data that are no video$"):
            player.read(1)
        server.shutdown()


def test_rtsp_stamps_are_the_cameras(units, play):
    """The server sends faster than its RTP time runs, in bursts of a busy machine: stamps keep the distances of RTP time."""
    server = RtspServer(units, period_ticks=3000, send_s=0.01)
    try:
        player = play(Camera, CameraConfig(device=server.url, **FAST))
        readings = player.read(6)
        assert all(r.meta["image"] == {"clock": "sensor"} for r in readings)
        assert all(r.stamp_ns <= r.recv_ns for r in readings)
        assert "stamps by the sensor's clock" in player.status
        grey = [float(r.values["image"].mean()) for r in readings]
        assert all(min(abs(g - 40 - 20 * k) for k in range(6)) < 3 for g in grey)
    finally:
        server.close()


def test_rtsp_stamps_follow_rtp_time(units):
    server = RtspServer(units, period_ticks=900, send_s=0.01)  # 10 ms of RTP time per picture, sent every 10 ms or later
    try:
        stream = Stream(server.url, "tcp", 2.0, 1, again=False)
        stamps = [stream.grab().stamp_ns for _ in range(8)]
        stream.close()
    finally:
        server.close()
    distances = np.diff(stamps)
    assert np.all(distances > 0) and np.median(np.abs(distances - 10_000_000)) < 2_000_000


def test_rtsp_the_server_goes_and_comes_back(units, play):
    server = RtspServer(units)
    player = play(Camera, CameraConfig(device=server.url, **FAST))
    player.read(2)
    server.close()
    player.until("reconnecting")
    server = RtspServer(units, port=server.port)
    try:
        player.until("running; lost 1 time")
    finally:
        server.close()


def test_rtsp_wrong_path(units, play):
    server = RtspServer(units)
    try:
        player = play(Camera, CameraConfig(device=server.url.replace("/cam", "/nothing"), **FAST))
        with pytest.raises(RunError, match="404 Not Found"):
            player.read(1)
    finally:
        server.close()
