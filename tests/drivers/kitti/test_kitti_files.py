import os

import numpy as np
import pytest

from drivers.kitti.files import check_scans, numbered, png_size, read_grey, read_points, read_rgb
from pipeline.errors import InputError


def message(excinfo):
    return str(excinfo.value)


def test_a_missing_folder_holds_nothing(tmp_path):
    assert numbered(tmp_path / "none", ".bin") == {}


def test_numbers_start_anywhere_have_gaps_and_are_sorted_by_value(tmp_path):
    for name in ("000120.bin", "99.bin", "000007.bin", "000008.txt", "note.bin", ".bin"):
        (tmp_path / name).touch()
    assert {n: p.name for n, p in numbered(tmp_path, ".bin").items()} == {7: "000007.bin", 99: "99.bin", 120: "000120.bin"}
    assert list(numbered(tmp_path, ".bin")) == [7, 99, 120]


@pytest.mark.parametrize("num", [0, 1, 1000])
def test_points_are_read_into_the_given_memory(kitti, num):
    points = np.arange(num * 4, dtype=np.float32).reshape(num, 4)
    slot = np.full((num, 4), -1, np.float32)
    got = read_points(kitti.scan("a.bin", points), lambda shape: slot[: shape[0]])
    assert got.shape == (num, 4) and np.array_equal(slot, points)
    assert num == 0 or np.shares_memory(got, slot)


def test_half_a_point_is_refused(kitti):
    path = kitti.write(kitti.root / "a.bin", b"\0" * 40)
    for call in (lambda: check_scans([path]), lambda: read_points(path, np.empty)):
        with pytest.raises(InputError) as e:
            call()
        assert (
            message(e) == f"{path}: needs a multiple of 16 bytes (x y z intensity, float32), got 40 bytes; copied incompletely?"
        )


def test_nan_and_infinity_are_refused(kitti):
    points = np.zeros((5, 4), np.float32)
    points[2, 1], points[4, 3] = np.nan, np.inf
    path = kitti.scan("a.bin", points)
    with pytest.raises(InputError) as e:
        read_points(path, lambda shape: np.empty(shape, np.float32))
    assert message(e) == f"{path}: needs finite numbers, got NaN or infinity in 2 of 5 points, first point 2"


def test_a_scan_that_went_away(tmp_path):
    with pytest.raises(InputError) as e:
        read_points(tmp_path / "a.bin", np.empty)
    assert message(e) == f"{tmp_path / 'a.bin'}: needs to be readable, got {os.strerror(2)}"


def test_pictures_are_rgb_in_the_given_memory(kitti):
    path = kitti.picture("a.png", rgb=(250, 100, 1), size=(8, 6))
    slot = np.zeros((6, 8, 3), np.uint8)
    got = read_rgb(path, lambda shape: slot)
    assert got is slot and (slot == (250, 100, 1)).all()
    assert png_size(path) == (8, 6)


def test_grey_is_luminance(kitti):
    slot = np.zeros((6, 8), np.uint8)
    got = read_grey(kitti.picture("a.png", rgb=(77, 77, 77)), lambda shape: slot)
    assert got is slot and (slot == 77).all()


@pytest.mark.parametrize("read", [read_rgb, read_grey])
def test_a_truncated_picture_is_refused(kitti, read):
    path = kitti.picture("a.png", size=(80, 60))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError) as e:
        read(path, lambda shape: np.empty(shape, np.uint8))
    assert message(e) == f"{path}: needs a whole PNG picture, got 100 bytes that do not decode; copied incompletely?"


def test_size_of_something_else(kitti):
    path = kitti.write(kitti.root / "a.png", b"GIF89a")
    with pytest.raises(InputError) as e:
        png_size(path)
    assert message(e) == f"{path}: needs a PNG picture, got a file that starts with b'GIF89a'"
