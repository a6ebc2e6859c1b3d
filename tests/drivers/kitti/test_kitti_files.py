import os

import numpy as np
import pytest

from drivers.kitti.files import check_scans, numbered, read_points
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


def test_suffixes_in_any_case_and_the_first_one_counts(tmp_path):
    for name in ("1.png", "1.jpg", "2.JPG", "3.jpeg", "4.PNG", "5.gif", "6.png.txt"):
        (tmp_path / name).touch()
    found = {n: p.name for n, p in numbered(tmp_path, ".png", ".jpg", ".jpeg").items()}
    assert found == {1: "1.png", 2: "2.JPG", 3: "3.jpeg", 4: "4.PNG"}


def test_two_files_of_one_frame(tmp_path):
    for name in ("000007.bin", "7.bin"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"7\.bin: needs one file for frame 7, got 0*7\.bin too"):
        numbered(tmp_path, ".bin")


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
