"""Folders and SEQ files that the tests write, and a fake of OpenCV's capture; no thermal camera was there."""

import time

import cv2
import numpy as np
import pytest
from seq_files import E4, block

from drivers.camera import device, v4l2
from drivers.camera.newest import Picture
from drivers.thermal import kelvin
from drivers.thermal.kelvin import Planck
from drivers.thermal.reader import Thermal, ThermalConfig
from pipeline.errors import InputError, RunError

RNG = np.random.default_rng(3)


def counts(middle=29315):
    return (middle + RNG.integers(-5, 6, (6, 8))).astype(np.uint16)


@pytest.fixture
def folder(tmp_path):
    pictures = [counts() for _ in range(3)]
    for k, picture in enumerate(pictures):
        cv2.imwrite(str(tmp_path / f"{k}.tiff"), picture)
    return tmp_path, pictures


@pytest.fixture
def camera(monkeypatch, tmp_path):
    """camera(pictures): a V4L2 device that gives them."""
    path = tmp_path / "video0"
    path.touch()
    monkeypatch.setattr("drivers.camera.device.where", lambda who, text, needs: device.Where("v4l2", str(path)))

    def start(pictures, pixel_format="Y16 "):
        class Capture:
            def __init__(self, where, backend):
                self.left = list(pictures)
                self.values = {cv2.CAP_PROP_FRAME_WIDTH: 8, cv2.CAP_PROP_FRAME_HEIGHT: 6}

            def isOpened(self):  # OpenCV's name
                return True

            def set(self, key, value):
                self.values[key] = value
                return True

            def get(self, key):
                if key == cv2.CAP_PROP_POS_MSEC:
                    return self.taken_ms
                if key == cv2.CAP_PROP_FOURCC:
                    return float(cv2.VideoWriter.fourcc(*pixel_format))
                return self.values[key]

            def grab(self):
                time.sleep(0.02)  # pictures come one by one
                self.taken_ms = time.monotonic_ns() / 1e6 - 5
                return bool(self.left)

            def retrieve(self):
                return True, self.left.pop(0)

            def release(self):
                pass

        monkeypatch.setattr(cv2, "VideoCapture", Capture)

    return start


def check(config, wanted=("thermal_raw",)):
    Thermal.find(config)
    Thermal.check_ports("thermal", config, frozenset(wanted), frozenset(wanted))


def test_raw_counts_survive_a_folder(folder, play):
    root, pictures = folder
    config = ThermalConfig(device=str(root), fps=50.0)
    assert Thermal.find(config).rate_hz == 50 and Thermal.find(ThermalConfig(device=str(root))).rate_hz == 10
    last = play(Thermal, config, wanted={"thermal_raw"}).all()[-1]
    assert last.item == "2" and np.array_equal(last.values["thermal_raw"], pictures[2])
    assert last.values["thermal_raw"].dtype == np.uint16 and set(last.values) == {"thermal_raw"}
    assert last.meta == {"thermal_raw": {"clock": "arrival", "frozen": 0}}


def test_kelvin_linear(folder, play):
    root, pictures = folder
    config = ThermalConfig(device=str(root), fps=50.0, kelvin="linear")
    last = play(Thermal, config, wanted={"thermal_k"}).all()[-1]
    assert last.values["thermal_k"].dtype == np.float32
    assert np.allclose(last.values["thermal_k"], pictures[2] * 0.01, atol=1e-4)


def test_kelvin_by_the_constants_of_a_seq_file(tmp_path, play):
    shots = [counts(13000) for _ in range(2)]
    path = tmp_path / "a.seq"
    path.write_bytes(block(shots[0]) + block(shots[1], camera=E4 | {"o": -7000}))
    config = ThermalConfig(device=str(path), fps=50.0, kelvin="file")
    check(config, ("thermal_k", "thermal_raw"))
    last = play(Thermal, config, wanted={"thermal_k", "thermal_raw"}).all()[-1]
    assert np.array_equal(last.values["thermal_raw"], shots[1])
    constants = Planck(E4["r1"], E4["b"], E4["f"], -7000, E4["r2"])
    assert np.allclose(last.values["thermal_k"], kelvin.planck(constants, 0.95, 293.15)[shots[1]], atol=1e-3)


def test_a_seq_file_without_constants(tmp_path):
    path = tmp_path / "a.seq"
    path.write_bytes(block(counts(), camera=None))
    check(ThermalConfig(device=str(path)))
    with pytest.raises(InputError, match=r"^thermal: config.kelvin: file needs Planck constants, got .*a.seq without any"):
        check(ThermalConfig(device=str(path), kelvin="file"))


def test_a_camera_with_telemetry_rows_and_stamps(camera, play):
    pictures = [counts() for _ in range(3)]
    camera(pictures)
    player = play(Thermal, ThermalConfig(telemetry_rows=2, width=8, height=6), wanted={"thermal_raw"})
    (reading,) = player.read(1)
    assert reading.values["thermal_raw"].shape == (4, 8)
    assert reading.meta["thermal_raw"]["clock"] == "sensor"
    assert 4_999_000 < reading.recv_ns - reading.stamp_ns < 5_000_000_000
    with pytest.raises(RunError, match=r"config.telemetry_rows: needs less than the 6 rows of the stream"):
        play(Thermal, ThermalConfig(telemetry_rows=6), wanted={"thermal_raw"}).read(1)


def test_a_stream_of_eight_bits(camera, play):
    camera([np.zeros((6, 8, 3), np.uint8)], "YUYV")
    with pytest.raises(RunError, match=r"video0: needs Y16, got YUYV 8x6"):
        play(Thermal, ThermalConfig(), wanted={"thermal_raw"}).read(1)
    camera([np.zeros((6, 8, 3), np.uint8)])
    with pytest.raises(
        RunError, match=r"video0: needs 16-bit counts \(Y16\), got uint8 of shape \(6, 8, 3\): the camera sends 8"
    ):
        play(Thermal, ThermalConfig(), wanted={"thermal_raw"}).read(1)


def test_a_device_without_y16_says_what_it_offers(monkeypatch):
    offers = (v4l2.Offer("UYVY", ("640x512",)), v4l2.Offer("GREY", ("640x512",)))
    monkeypatch.setattr(v4l2, "ask", lambda path: v4l2.Device("Boson", "uvcvideo", True, offers))
    with pytest.raises(
        InputError, match=r"needs pixel format Y16, got /dev/video0, which offers UYVY \(640x512\), GREY \(640x512\)$"
    ):
        Thermal.find(ThermalConfig())


@pytest.mark.parametrize("drop", [False, True])
def test_a_flat_field_freeze_is_marked_and_may_be_left_out(play, drop):
    held = counts()
    player = play(Thermal, ThermalConfig(drop_frozen=drop), wanted={"thermal_raw"})
    readings = []
    for k, pixels in enumerate((counts(), held, held, held, held, counts())):
        readings.append(player.source.reading(Picture(pixels, k * 50_000_000, 0), f"{k}"))
    frozen = [r and r.meta["thermal_raw"]["frozen"] for r in readings]
    assert frozen == ([0, 0, 0, None, None, 0] if drop else [0, 0, 0, 3, 4, 0])
    assert "frozen 1 time, at most 0." in player.status
    assert ("2 dropped at the source" in player.status) is drop


@pytest.mark.parametrize(
    "config, text",
    [
        ({"telemetry_rows": -1}, "telemetry_rows: needs 0 or more"),
        ({"scale_k": 0.0}, "scale_k: needs more than 0"),
        ({"kelvin": "planck"}, "planck: needs r1, b and r2 of this camera, got 0"),
        ({"emissivity": 1.5}, "emissivity: needs above 0 and at most 1, got 1.5"),
        ({"reflected_k": 0.0}, "reflected_k: needs kelvin above 0"),
        ({"frozen_after": 1}, "frozen_after: needs 2 or more"),
        ({"width": 640}, "width: needs width and height"),
    ],
)
def test_configs_that_are_refused(config, text):
    with pytest.raises(ValueError, match=f"^{text}"):
        ThermalConfig(**config)


def test_what_is_no_thermal_recording(tmp_path, folder):
    (tmp_path / "v.mp4").write_bytes(b"....ftyp")
    for text in (str(tmp_path / "v.mp4"), "http://10.0.0.2/a", "csi:0", "nowhere"):
        with pytest.raises(
            InputError, match=r"^thermal: config.device: needs 0, /dev/video0, a folder of 16-bit TIFF or PNG, or a F"
        ):
            Thermal.find(ThermalConfig(device=text))
    eight = tmp_path / "eight"
    eight.mkdir()
    cv2.imwrite(str(eight / "0.png"), np.zeros((6, 8), np.uint8))
    with pytest.raises(InputError, match=r"0.png: needs 16-bit counts of a thermal camera, got 8 bits per value"):
        Thermal.find(ThermalConfig(device=str(eight)))
    with pytest.raises(InputError, match=r"thermal_k is connected, but config.kelvin is none"):
        check(ThermalConfig(device=str(folder[0])), ("thermal_k",))
    with pytest.raises(InputError, match=r"config.kelvin: file needs a SEQ file, got "):
        check(ThermalConfig(device=str(folder[0]), kelvin="file"))
