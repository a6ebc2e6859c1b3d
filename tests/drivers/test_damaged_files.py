"""Clouds and pictures with changed, missing and added bytes: the outcome is a value, or an error in one line that names the file.

Memory is limited by the size of the file: the readers may not ask for more than a small multiple of it.
"""

import pickle
import time
import tracemalloc

import cv2
import numpy as np
import pytest
from cloud_files import pcd, ply
from nuscenes_files import info
from panoptic_files import label_png
from rig_files import KALIBR, KITTI, RIG, ROS

from drivers.calibration import convert, rig_file
from drivers.clouds import formats
from drivers.clouds.reader import Clouds, CloudsConfig
from drivers.kitti.files import read_points
from drivers.nuscenes import info as info_file
from drivers.pictures import picture_size, read_grey, read_labels, read_rgb
from pipeline.errors import InputError
from pipeline.operator import prepare

MAX_BYTES = 16_000_000
MAX_S = 5.0
ROWS = [(k, k / 2, -k, (k % 5) / 4) for k in range(40)]
XYZI = ("x", "y", "z", "intensity")
NUMBERS = [b"0", b"1", b"-1", b"255", b"65536", b"4294967295", b"99999999999", b"9" * 30, b"1e9", b"nan", b"inf", b"0x10"]
PARTS = [b"\0", b"\xff", b"\n", b"\r", b" ", b"\x1a", b"\xef\xbb\xbf", b"\xff\xfe", b"list uchar int", b"end_header\n", b"DATA"]


def clouds(folder):
    for data in ("ascii", "binary_little_endian", "binary_big_endian"):
        yield ply(folder / f"{data}.ply", dict.fromkeys(XYZI, "float"), ROWS, data)
    faces = "element face 2\nproperty list uchar int vertex_indices\n"
    mesh = ply(folder / "mesh.ply", dict.fromkeys(XYZI, "float"), ROWS, after=faces)
    mesh.write_bytes(mesh.read_bytes() + b"\3" + bytes(12) + b"\4" + bytes(16))
    yield mesh
    for data in ("ascii", "binary", "binary_compressed"):
        yield pcd(folder / f"{data}.pcd", [(name, "F", 4, 1) for name in XYZI], ROWS, data)
    np.array(ROWS, np.float32).tofile(folder / "a.bin")
    np.save(folder / "a.npy", np.array(ROWS))
    yield folder / "a.bin"
    yield folder / "a.npy"


def pictures(folder):
    image = np.random.default_rng(1).integers(0, 256, (24, 32, 3), np.uint8)
    for name, options in (("a.png", []), ("a.jpg", []), ("b.jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])):
        (folder / name).write_bytes(cv2.imencode(name[1:], image, options)[1].tobytes())
        yield folder / name
    label_png(folder / "palette.png", image[:, :, 0], kind=3)
    yield folder / "palette.png"


def calibrations(folder):
    for name, text in (("rig.yaml", RIG), ("ros.yaml", ROS), ("kalibr.yaml", KALIBR), ("calib.txt", KITTI)):
        (folder / name).write_text(text)
        yield folder / name
    for protocol in (2, 4):
        (folder / f"info{protocol}.pkl").write_bytes(pickle.dumps(info(), protocol))
        yield folder / f"info{protocol}.pkl"


def mutated(random, data):
    """A few changes: bytes, numbers of a header, parts that mean something, cuts, repetitions."""
    data = bytearray(data)
    for _ in range(random.integers(1, 5)):
        at = int(random.integers(0, len(data) + 1))
        kind = random.integers(0, 7)
        if kind == 0 and data:
            data[at % len(data)] = int(random.integers(0, 256))
        elif kind == 1 and data:
            data[at % len(data)] ^= 1 << int(random.integers(0, 8))
        elif kind == 2:
            data[at:at] = PARTS[random.integers(0, len(PARTS))]
        elif kind == 3:
            del data[at : at + int(random.integers(1, 40))]
        elif kind == 4:
            del data[at:]
        elif kind == 5:
            data[at:at] = data[at : at + int(random.integers(1, 200))]
        else:
            digits = [k for k in range(min(len(data), 400)) if 48 <= data[k] <= 57]
            if digits:
                at = digits[random.integers(0, len(digits))]
                data[at : at + 1] = NUMBERS[random.integers(0, len(NUMBERS))]
    return bytes(data)


def read_cloud(path):
    formats.check(path, 4)
    cloud = formats.read(path, 4)
    assert cloud.xyz.shape[1:] == (3,) and (cloud.intensity is None or cloud.intensity.shape == cloud.xyz.shape[:1])
    if path.suffix == ".bin":
        read_points(path, lambda shape: np.empty(shape, np.float32))


def play(path):
    source = prepare(Clouds(), "src", CloudsConfig(files=str(path)))
    source.open()
    values = source.read().values
    assert np.isfinite(values["points"]).all() and np.isfinite(values["pose"]).all()


def read_picture(path):
    size = picture_size(path)
    for read in (read_rgb, read_grey):
        assert read(path, lambda shape: np.empty(shape, np.uint8)).shape[:2] == size[::-1]
    if path.suffix == ".png":
        assert read_labels(path).shape[:2] == size[::-1]


def read_calibration(path):
    if path.suffix == ".pkl":
        info_file.read(path)
        return
    rig = rig_file.read(str(path)) if path.name == "rig.yaml" else convert.read(path)[0]
    for lens in rig.cameras.values():
        assert np.isfinite(lens.K_rect).all() and lens.K_rect[0, 0] > 0
    assert all(np.isfinite(T).all() for T in rig.transforms.values())


def outcomes(path, calls, seed, times):
    """How many mutations gave a value, and how many an error."""
    data, random, good, bad = path.read_bytes(), np.random.default_rng(seed), 0, 0
    for call in calls:
        call(path)  # what is loaded and compiled once does not count below
    for _ in range(times):
        path.write_bytes(mutated(random, data))
        for call in calls:
            started = time.monotonic()
            tracemalloc.start()
            try:
                call(path)
                good += 1
            except InputError as error:
                bad += 1
                text = str(error)
                lines = text.splitlines() if read_calibration in calls else [text]  # of a rig file all errors are named
                for line in lines:
                    assert "\n" not in line and path.name in line and len(line) < 500 + len(str(path)), line
            finally:
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
            assert peak < MAX_BYTES and time.monotonic() - started < MAX_S
    path.write_bytes(data)
    return good, bad


def run(folder, seed, times):
    for path in clouds(folder):
        assert outcomes(path, [read_cloud, play], seed, times)[1] > 0, path
    for path in pictures(folder):
        assert outcomes(path, [read_picture], seed, times)[1] > 0, path
    for path in calibrations(folder):
        assert outcomes(path, [read_calibration], seed, times // 3)[1] > 0, path


@pytest.mark.parametrize("seed", range(2))
def test_damaged_files(tmp_path, seed):
    run(tmp_path, seed, 60)


@pytest.mark.fuzz
@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", range(100, 120))
def test_damaged_files_for_long(tmp_path, seed):
    run(tmp_path, seed, 2000)
