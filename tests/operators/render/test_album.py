"""Names of files after restarts and changes of size; what render.scene's tests do not show."""

from types import SimpleNamespace

import numpy as np
import pytest

from operators.render.album import Album
from pipeline.errors import FrameError
from pipeline.operator import Resume
from pipeline.testing import header

CONFIG = SimpleNamespace(png_every=1, video=True, video_rate_hz=10.0, video_crf=24, video_preset="ultrafast")


def filled(tmp_path, sizes, resume=None):
    album = Album(CONFIG, "view", tmp_path, resume)
    for i, size in enumerate(sizes):
        album.add(np.zeros((*size, 3), np.uint8), header(i))
    album.close()
    return sorted(p.name for p in tmp_path.glob("*.mp4"))


def test_no_pictures(tmp_path):
    assert filled(tmp_path, []) == [] and (tmp_path / "frames").is_dir()


def test_a_change_of_size_begins_a_file(tmp_path):
    assert filled(tmp_path, [(16, 16), (16, 16), (32, 16)]) == ["video-2.mp4", "video.mp4"]


def test_a_restart_begins_a_file(tmp_path):
    assert filled(tmp_path, [(16, 16)], Resume(2, -1, "")) == ["video-r2.mp4"]


def test_two_frames_of_one_name(tmp_path):
    album = Album(SimpleNamespace(**vars(CONFIG) | {"video": False}), "view", tmp_path, None)
    album.add(np.zeros((16, 16, 3), np.uint8), header(0))
    with pytest.raises(FrameError, match="needs a file of its own for frame"):
        album.add(np.zeros((16, 16, 3), np.uint8), header(0))
