import os
import re
import resource
import signal
import subprocess
import sys
import time

import av
import cv2
import numpy as np
import pytest

from operators.render.video import Video, require_encoder
from pipeline.errors import RunError


def pictures(n, rows=96, columns=128):
    """A square that moves over noise"""
    noise = np.random.default_rng(0).integers(0, 60, (rows, columns, 3), np.uint8)
    for k in range(n):
        picture = noise.copy()
        picture[20:50, 2 * k : 2 * k + 30] = (220, 40, 40)
        yield picture


def film(path, n, **size):
    video = None
    for picture in pictures(n, **size):
        video = video or Video(path, *picture.shape[:2], rate_hz=10.0, who="render")
        video.write(picture)
    video.close()
    return path


def count(path):
    """Number of frames that a player shows: all before the first invalid byte"""
    player, n = cv2.VideoCapture(str(path)), 0
    while player.isOpened() and player.read()[0]:
        n += 1
    player.release()
    return n


@pytest.mark.parametrize("n", [1, 2, 11, 25])
def test_every_picture_comes_back(tmp_path, n):
    path = film(tmp_path / "a.mp4", n)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        codec = stream.codec_context
        assert (codec.name, codec.pix_fmt, codec.width, codec.height) == ("h264", "yuv420p", 128, 96)
        assert stream.average_rate == 10
    assert len(frames) == n
    for got, want in zip(frames, pictures(n), strict=True):
        assert np.abs(got[25:45].astype(int) - want[25:45]).mean() < 12, "colours are right, red is not blue"


def test_keyframes_are_frequent_and_times_regular(tmp_path):
    with av.open(str(film(tmp_path / "a.mp4", 25))) as container:
        packets = [p for p in container.demux(video=0) if p.size]
    assert [k for k, p in enumerate(packets) if p.is_keyframe] == [0, 10, 20]
    assert [float(p.pts * p.time_base) for p in packets] == pytest.approx([k / 10 for k in range(25)])


def test_it_is_fragmented_with_an_index_in_front(tmp_path):
    data = film(tmp_path / "a.mp4", 5).read_bytes()
    kinds, at = [], 0
    while at < len(data):
        kinds.append(data[at + 4 : at + 8].decode())
        at += int.from_bytes(data[at : at + 4], "big")
    assert kinds == ["ftyp", "moov", *["moof", "mdat"] * 5, "mfra"]


def test_same_pictures_same_bytes(tmp_path):
    assert film(tmp_path / "a.mp4", 20).read_bytes() == film(tmp_path / "b.mp4", 20).read_bytes()


def test_on_disk_up_to_the_picture_before_the_last_and_whole_at_every_moment(tmp_path):
    path = tmp_path / "a.mp4"
    video = Video(path, 96, 128, rate_hz=10.0, who="render")
    for k, picture in enumerate(pictures(15)):
        video.write(picture)
        assert count(path) == k
        with av.open(str(path)) as container:
            assert sum(1 for _ in container.decode(video=0)) == k
    video.close()
    assert count(path) == 15


def test_cut_at_any_byte_it_plays_up_to_there(tmp_path):
    data = film(tmp_path / "a.mp4", 12).read_bytes()
    ends, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"mdat":
            ends.append(at + size)
        at += size
    assert len(ends) == 12
    cut_file = tmp_path / "cut.mp4"
    for cut in [*np.random.default_rng(0).integers(1200, len(data), 40).tolist(), ends[0], ends[5], len(data) - 1]:
        cut_file.write_bytes(data[:cut])
        whole = sum(end <= cut for end in ends)
        assert count(cut_file) in (whole, whole + 1), cut


def test_killed_while_writing(tmp_path):
    """kill -9 at random moments: a player shows every whole fragment"""
    program = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from operators.render.video import Video\n"
        "video = Video(Path(sys.argv[1]), 96, 128, 10.0, 'render')\n"
        "noise = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)\n"
        "while True:\n"
        "    noise = np.roll(noise, 3, 0)\n"
        "    video.write(noise)\n"
    )
    for attempt in range(3):
        path = tmp_path / f"{attempt}.mp4"
        child = subprocess.Popen([sys.executable, "-c", program, str(path), os.getcwd()])
        while child.poll() is None and (not path.exists() or path.stat().st_size < 20_000):
            time.sleep(0.01)
        time.sleep(0.013 * attempt)
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        assert count(path) >= path.read_bytes().count(b"moof") - 1 > 1


def test_disk_full_leaves_a_file_that_plays(tmp_path):
    path = tmp_path / "a.mp4"
    video, stream = Video(path, 96, 128, rate_hz=10.0, who="render"), pictures(9)
    for _ in range(5):
        video.write(next(stream))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    message = (
        f"render: {path}: cannot write picture 6: File too large; "
        "what came before is complete; free space, or choose another --out?"
    )
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, hard))
        with pytest.raises(RunError, match=f"^{re.escape(message)}$"):
            video.write(next(stream))
        with pytest.raises(RunError, match=f"^{re.escape(message)}$"):
            video.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 4


def test_no_such_folder(tmp_path):
    message = (
        f"render: {tmp_path}/none/a.mp4: cannot write the video: No such file or directory; "
        "what came before is complete; free space, or choose another --out?"
    )
    with pytest.raises(RunError, match=f"^{re.escape(message)}$"):
        Video(tmp_path / "none" / "a.mp4", 96, 128, rate_hz=10.0, who="render")


def test_without_pyav(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    message = "render: config.video: needs PyAV to write MP4, got none; pip install av, or video: false?"
    with pytest.raises(RunError, match=f"^{re.escape(message)}$"):
        require_encoder("render")
