import time
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from drivers.camera import playback
from drivers.camera.newest import Picture
from drivers.camera.reader import Camera, CameraConfig, _load
from pipeline.errors import InputError


def grey(reading):
    return round(float(reading.values["image"].mean()))


@pytest.fixture
def folder(tmp_path):
    """Three pictures, 20 * k bright; 10 comes after 2."""
    root = tmp_path / "pictures"
    root.mkdir()
    for k, name in enumerate(("1.png", "2.png", "10.png")):
        cv2.imwrite(str(root / name), np.full((6, 8, 3), 20 * k, np.uint8))
    return root


@pytest.fixture
def video(tmp_path):
    """Five pictures at 25 Hz."""
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.time_base = 64, 48, "yuv420p", Fraction(1, 25)
        for k in range(5):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 50 + 40 * k, np.uint8), "rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def test_a_folder_is_played_in_time_and_ends(folder):
    began_ns = time.time_ns()
    files = playback.Files(sorted(folder.iterdir(), key=lambda p: int(p.stem)), _load, 50.0, False)
    pictures = [files.grab() for _ in range(3)]
    assert [(p.item, p.pixels.mean()) for p in pictures] == [("1", 0), ("2", 20), ("10", 40)]
    stamps = [p.stamp_ns for p in pictures]
    assert stamps == sorted(stamps) and stamps[2] - began_ns >= 39_000_000 and stamps[2] <= time.time_ns()
    with pytest.raises(EOFError):
        files.grab()


def test_the_driver_plays_a_folder_to_its_end(folder, play):
    config = CameraConfig(device=str(folder), fps=50.0)
    assert Camera.find(config).rate_hz == 50
    assert Camera.find(CameraConfig(device=str(folder))).rate_hz == 10
    readings = play(Camera, config).all()
    assert readings[-1].item == "10" and grey(readings[-1]) == 40
    assert readings[-1].meta["image"]["clock"] == "arrival"


def test_a_folder_begins_again():
    files = playback.Files("abc", lambda name: Picture(np.empty(0), 0, 0, item=name), 1000.0, True)
    assert [files.grab().item for _ in range(5)] == list("abcab")


def test_a_restarted_node_goes_on_in_the_folder():
    for repeat, start, item in ((False, 2, "c"), (True, 7, "b")):
        files = playback.Files("abc", lambda name: Picture(np.empty(0), 0, 0, item=name), 1000.0, repeat, start)
        assert files.grab().item == item


def test_an_unreadable_picture_is_counted(folder, play):
    data = (folder / "2.png").read_bytes()
    (folder / "2.png").write_bytes(data[: len(data) // 2 + 8])
    player = play(Camera, CameraConfig(device=str(folder), fps=100.0))
    assert player.all()[-1].item == "10"
    assert "1 malformed" in player.status and "2.png" in player.status


def test_a_folder_without_pictures(tmp_path):
    with pytest.raises(InputError, match="without any"):
        Camera.find(CameraConfig(device=str(tmp_path)))
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(InputError, match=r"a.png: needs a PNG or JPEG picture, got a file that starts with b'text'"):
        Camera.find(CameraConfig(device=str(tmp_path)))


def test_a_video_is_played_at_its_rate(video):
    began_ns = time.time_ns()
    file = playback.VideoFile(video, False, 1)
    pictures = [file.grab() for _ in range(5)]
    file.close()
    assert [p.pixels.shape for p in pictures] == [(48, 64, 3)] * 5
    assert all(abs(p.pixels.mean() - 50 - 40 * k) < 4 for k, p in enumerate(pictures))
    assert pictures[4].stamp_ns - began_ns >= 159_000_000


def test_the_driver_plays_a_video_to_its_end(video, play):
    config = CameraConfig(device=str(video))
    assert Camera.find(config).rate_hz == 25
    assert abs(grey(play(Camera, config).all()[-1]) - 210) < 4


def test_a_video_begins_again_and_a_restarted_node_goes_on(video):
    file = playback.VideoFile(video, True, 1, skip=4)
    means = [round(float(file.grab().pixels.mean()), -1) for _ in range(3)]
    file.close()
    assert means == [210, 50, 90]
    once = playback.VideoFile(video, False, 1, skip=5)
    with pytest.raises(EOFError):
        once.grab()
    once.close()


def test_what_is_no_video(tmp_path):
    path = tmp_path / "v.mp4"
    path.write_text("no video" * 100)
    with pytest.raises(InputError, match=r"v.mp4: needs a video file, got one that does not open: .*Invalid data"):
        Camera.find(CameraConfig(device=str(path)))
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"v.mp4: needs a video file"):
        Camera.find(CameraConfig(device=str(path)))


def test_a_late_picture_moves_the_later_ones():
    pace = playback.Pace()
    time.sleep(0.05)
    began = time.monotonic()
    pace.wait(0.01)  # late already
    assert time.monotonic() - began < 0.04
    pace.wait(0.03)
    assert time.monotonic() - began >= 0.03
    pace.stopped.set()
    pace.wait(60)
