"""Any bytes in any text file of a data set: arrays, or one line of error that names the file, in bounded time and memory."""

from __future__ import annotations

import random
import time
import tracemalloc
import warnings

import pytest
from kitti_files import CALIB, OXTS_TAIL, Kitti, checked, write

from drivers.detections import Detections, DetectionsConfig
from drivers.detections_2d import Detections2d, Detections2dConfig
from drivers.kitti.object import KittiObject, ObjectConfig
from drivers.kitti.raw import KittiRaw, RawConfig
from drivers.kitti.tracking import KittiTracking, TrackingConfig
from drivers.mot import Mot, MotConfig
from operators.score import kitti_centres, kitti_tracking, mot
from pipeline.errors import PipeError
from pipeline.operator import prepare

LABEL = "Car 0 0 -1.5 100 100 150 150 1.5 1.8 4.2 1 1.7 10 0.5"
RAW = "2011_09_26/2011_09_26_drive_0009_sync"
OXTS = "".join(f"49.0{k} 8.4 110.5 0 -0.01 1.57 {OXTS_TAIL}\n" for k in range(4))
CALIBRATION = "".join(f"{key}: {text}\n" for key, text in CALIB.items())
MOT_ROWS = "".join(f"{k},{k % 2},{10 * k},20,30.5,40,0.9,-1,-1,-1\n" for k in range(1, 5))
SEQINFO = "[Sequence]\nname=A\nframeRate=25\nseqLength=4\n"

FILES = {
    "kitti/calib/0000.txt": CALIBRATION,
    "kitti/oxts/0000.txt": OXTS,
    "kitti/label_02/0000.txt": "".join(f"{k} {k % 2} {LABEL}\n" for k in range(4)),
    "kitti/detections/own_Car/0000.txt": "".join(
        f"{k},2,10,20,110,120,8.5,1.5,1.8,4.2,1,1.7,10,0.5,-1e-1\n" for k in (0, 3, 2, 2)
    ),
    "kitti/detections_2d_own/Car/0000.txt": "".join(f"{k},10,20,110,120,0.5\n" for k in (0, 3, 2, 2)),
    "kitti/training/calib/000000.txt": CALIBRATION,
    "kitti/training/label_2/000000.txt": f"{LABEL}\n{LABEL}\n",
    f"kitti/{RAW}/oxts/data/0000000000.txt": OXTS.partition("\n")[0],
    f"kitti/{RAW}/velodyne_points/timestamps.txt": "2011-09-26 13:02:25.964389445\n2011-09-26 13:02:26.1\n",
    "kitti/2011_09_26/calib_cam_to_cam.txt": "calib_time: 09-Jan-2012 13:57:47\nS_rect_02: 1.242e+03 3.75e+02\n"
    "R_rect_00: 1 0 0 0 1 0 0 0 1\nP_rect_02: 700 0 600 35 0 700 180 0 0 0 1 0\n",
    "kitti/2011_09_26/calib_velo_to_cam.txt": "R: 0 -1 0 0 0 -1 1 0 0\nT: 0 -0.1 0\n",
    "kitti/2011_09_26/calib_imu_to_velo.txt": "R: 1 0 0 0 1 0 0 0 1\nT: -0.8 0.3 -0.8\n",
    "mot/A/det/det.txt": MOT_ROWS,
    "mot/A/seqinfo.ini": SEQINFO,
    "mot/A/gt/gt.txt": "".join(f"{k},{k % 2},{10 * k},20,30.5,40,1,1,0.5\n" for k in range(1, 5)),
    "results/A.txt": MOT_ROWS,
    "results/0000.txt": "".join(f"{k} {k % 2} {LABEL} 0.75\n" for k in range(4)),
    "kitti/evaluate_tracking.seqmap.val": "0000 empty 000000 000004\n",
}


def played(cls, config):
    """All that `pipe check` and a run read of it: the first 20 readings."""
    checked(cls, config)
    source = prepare(cls(), "src", config, needed=())
    source.open()
    list(source.statics())
    for _ in range(20):
        if source.read() is None:
            return


def readers(root):
    """File -> what reads it."""
    tracking = [lambda: played(KittiTracking, TrackingConfig(root=f"{root}/kitti")), *_detections(root)]
    scored = [lambda: _scored(kitti_tracking, root / "kitti", root), lambda: _scored(kitti_centres, root / "kitti", root)]
    of_mot = [lambda: _scored(mot, root / "mot", root)]
    for name in FILES:
        if name.startswith(("kitti/calib", "kitti/oxts", "kitti/detections")):
            yield name, tracking + (scored if "oxts" in name else [])
        elif name == "kitti/label_02/0000.txt":
            yield name, tracking + scored
        elif name.startswith("kitti/training"):
            yield name, [lambda: played(KittiObject, ObjectConfig(root=f"{root}/kitti"))]
        elif name.startswith("kitti/2011"):
            yield name, [lambda: played(KittiRaw, RawConfig(root=f"{root}/kitti"))]
        elif name.startswith("mot/A/gt") or name == "results/A.txt":
            yield name, of_mot
        elif name.startswith("mot"):
            yield name, [lambda: played(Mot, MotConfig(root=f"{root}/mot"))] + (of_mot if "seqinfo" in name else [])
        else:
            yield name, scored


def _detections(root):
    yield lambda: played(Detections, DetectionsConfig(root=f"{root}/kitti"))
    yield lambda: played(Detections2d, Detections2dConfig(root=f"{root}/kitti"))


def _scored(module, gt, root):
    module.lines(module.evaluate(gt, root / "results"))


BYTES = b"\0\x1a\x0c\x0b\x7f\xff\r\n\t ,;:-+.e0#[=%'"
WORDS = (
    "\n\n ,, \x1b[31m caf\xe9 \u2028 \ufeff \xa0 nan inf -inf 1e300 -1e300 1e-300 1e31 -1 0.5 -0.0 90 1_0 0x1f Car DontCare "
    "1712345678 1712345678000000 999999 1000000000 9007199254740993"
)
TOKENS = [bytes([b]) for b in BYTES] + [word.encode() for word in WORDS.split(" ")] + [b"9" * 5000, b"\xff\xfe"]


def mutated(data: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        match rng.randrange(7):
            case 0:
                data = data[:at] + rng.choice(TOKENS) + data[at:]
            case 1:
                data = data[:at] + rng.randbytes(1) + data[at + 1 :]
            case 2:
                data = data[:at] + data[min(end, at + 20) :]
            case 3:
                data = data[:at] + data[at:end] + data[at:]
            case 4:
                words = data.split(b" ") if b" " in data else data.split(b",")
                words[rng.randrange(len(words))] = rng.choice(TOKENS)
                data = (b" " if b" " in data else b",").join(words)
            case 5:
                data = data[:at]
            case 6:
                data = rng.choice((b"\xef\xbb\xbf" + data, data.decode("latin-1").encode("utf-16"), rng.randbytes(60), b""))
    return data


def attack(root, seed, rounds, each_s=10.0, each_bytes=64 << 20):
    kitti = Kitti(root / "kitti")
    for frame in range(4):
        kitti.scan(f"velodyne/0000/{frame:06d}.bin", [1, 2, 3, 0.5])
    kitti.scan("training/velodyne/000000.bin", [1, 2, 3, 0.5])
    for frame in range(2):
        kitti.scan(f"{RAW}/velodyne_points/data/{frame:010d}.bin", [1, 2, 3, 0.5])
    write(root / f"kitti/{RAW}/oxts/data/0000000001.txt", OXTS.partition("\n")[0])
    for name, text in FILES.items():
        write(root / name, text)
    rng = random.Random(seed)
    for name, reads in list(readers(root)):
        for read in reads:
            read()  # good, and its kernels are compiled
        refusals = 0
        for _ in range(rounds):
            data = mutated(FILES[name].encode(), rng)
            (root / name).write_bytes(data)
            for read in reads:
                begin = time.perf_counter()
                tracemalloc.start()
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("error", RuntimeWarning)
                        read()
                except PipeError as error:
                    text = str(error)
                    assert "\n" not in text and len(text) < 600 and text.isprintable(), (seed, name, data, text)
                    refusals += 1
                except BaseException as error:
                    raise AssertionError(f"seed {seed}, {name}, {data!r}: {type(error).__name__}: {error}") from error
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
                assert time.perf_counter() - begin < each_s, (seed, name, data)
                assert peak < each_bytes, (seed, name, data)
        assert refusals, name
        write(root / name, FILES[name])


@pytest.mark.timeout(100)
def test_any_bytes_are_arrays_or_one_line(tmp_path):
    attack(tmp_path, seed=11, rounds=5)


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(20))
def test_any_bytes_for_long(tmp_path, seed):
    attack(tmp_path, seed, rounds=300)
