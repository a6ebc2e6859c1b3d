import re
from pathlib import Path

import numpy as np
import pytest

from drivers.semantickitti import SemanticKitti
from operators import semantickitti as format
from operators.geometry.transforms import rigid
from operators.streams import VOID
from operators.write.semantickitti import SemanticKitti as Writer
from pipeline.errors import InputError
from pipeline.testing import header, run_operator, run_source

LABELS = np.array([0, 1, 10, 252, 40, 60, 30, 99], np.uint32)  # two cars, road and lane marking, a person; three without a class
INSTANCES = np.array([0, 3, 7, 7, 0, 0, 9, 0], np.uint32)
CLASSES = [VOID, VOID, 1, 1, 9, 9, 6, VOID]


def scan(num=8, seed=0):
    points = np.random.default_rng(seed).normal(0, 10, (num, 4)).astype(np.float32)
    points[:, 3] = np.linspace(0, 1, num)
    return points


def write(root: Path, sequence="00", frames=(0, 1, 2), labelled=True, poses=True, times=True):
    """A sequence in the published layout; the car drives 1 m forward per frame."""
    folder = root / "sequences" / sequence
    for kind in ("velodyne", "labels"):
        (folder / kind).mkdir(parents=True)
    for frame in frames:
        (folder / "velodyne" / f"{frame:06d}.bin").write_bytes(scan(seed=frame).tobytes())
        if labelled:
            (folder / "labels" / f"{frame:06d}.label").write_bytes((INSTANCES << 16 | LABELS).astype("<u4").tobytes())
    if poses:
        turned = "0 -1 0 0.1 0 0 -1 0.2 1 0 0 0.3"  # x right, y down, z forward
        (folder / "calib.txt").write_text(f"P0: {' '.join(['0'] * 12)}\nTr: {turned}\n")
        lines = [f"1 0 0 0 0 1 0 0 0 0 1 {5 + k}\n" for k in range(max(frames) + 1)]
        (folder / "poses.txt").write_text("".join(lines))
    if times:
        (folder / "times.txt").write_text("".join(f"{0.11 * k:.6e}\n" for k in range(max(frames) + 1)))
    return folder


def read(root, wanted=None, **config):
    return run_source(SemanticKitti, {"root": str(root), **config}, wanted=wanted)


def test_the_ports_of_a_sequence(tmp_path):
    write(tmp_path)
    readings = read(tmp_path)
    assert [reading.item for reading in readings] == ["00/000000", "00/000001", "00/000002"]
    assert [reading.stamp_ns for reading in readings] == [0, 110_000_000, 220_000_000]
    for k, reading in enumerate(readings):
        np.testing.assert_array_equal(reading.values["points"], scan(seed=k))
        assert reading.values["point_classes_truth"].tolist() == CLASSES
        assert reading.values["point_ids_truth"].tolist() == [-1, -1, 1 << 16 | 7, 1 << 16 | 7, -1, -1, 6 << 16 | 9, -1]
        np.testing.assert_allclose(reading.values["pose"], rigid(np.eye(3), (k, 0, 0)), atol=1e-12)
        for port in ("point_classes_truth", "point_ids_truth"):
            assert reading.meta[port] == {"class_names": list(format.NAMES), "things": list(format.THINGS)}
    assert (readings[0].values["pose"] == np.eye(4)).all()


def test_only_wanted_ports_are_read(tmp_path):
    folder = write(tmp_path)
    (folder / "labels" / "000001.label").write_bytes(b"123")
    assert all(set(reading.values) == {"points"} for reading in read(tmp_path, ["points"]))


@pytest.mark.parametrize("at", ["", "sequences", "sequences/08"])
def test_the_root_may_be_any_folder_of_the_layout(tmp_path, at):
    write(tmp_path, "08", frames=(3, 7))
    readings = read(tmp_path / at)
    assert [reading.item for reading in readings] == ["08/000003", "08/000007"]
    np.testing.assert_allclose(readings[1].values["pose"][:3, 3], (7, 0, 0), atol=1e-12)


def test_sequences_follow_one_another(tmp_path):
    for name in ("00", "01", "10"):
        write(tmp_path, name, frames=(0, 1), times=name != "01")
    readings = read(tmp_path, sequences=[0, "10"])
    assert [reading.item[:2] for reading in readings] == ["00", "00", "10", "10"]
    stamps = [reading.stamp_ns for reading in read(tmp_path)]
    assert stamps == sorted(set(stamps)) and len(stamps) == 6
    ids = [set(reading.values["point_ids_truth"].tolist()) - {-1} for reading in readings]
    assert ids[0] == ids[1] and not ids[0] & ids[2]


def test_a_folder_with_scans_and_labels(tmp_path):
    (tmp_path / "000000.bin").write_bytes(scan().tobytes())
    (tmp_path / "000000.label").write_bytes(LABELS.astype("<u4").tobytes())
    (reading,) = read(tmp_path, ["points", "point_classes_truth"])
    assert reading.item == "00/000000" and reading.values["point_classes_truth"].tolist() == CLASSES


@pytest.mark.parametrize("num", [0, 1])
def test_a_scan_without_points_and_with_one(tmp_path, num):
    (tmp_path / "000000.bin").write_bytes(scan(num).tobytes())
    (tmp_path / "000000.label").write_bytes(b"\x28\0\0\0" * num)
    (reading,) = read(tmp_path, ["points", "point_classes_truth", "point_ids_truth"])
    assert len(reading.values["points"]) == len(reading.values["point_ids_truth"]) == num
    assert reading.values["point_classes_truth"].tolist() == [9] * num


def test_an_unlabelled_scan_of_a_labelled_sequence_sends_no_truth(tmp_path):
    folder = write(tmp_path)
    (folder / "labels" / "000001.label").unlink()
    assert ["point_classes_truth" in reading.values for reading in read(tmp_path)] == [True, False, True]


def wrong(folder, name, content):
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("velodyne/000001.bin", b"\0" * 100, "000001.bin: needs a multiple of 16 bytes"),
        ("labels/000001.label", b"\0" * 28, "000001.label: needs 8 labels of 4 bytes, one per point of its scan, got 28 bytes"),
        ("labels/000001.label", b"\0" * 33, "got 33 bytes; copied incompletely?"),
        ("labels/000001.label", b"\x28\0\0\0" * 7 + b"\x29\0\0\0", "got 41 at point 7 and 1 such points"),
        (
            "velodyne/000001.bin",
            np.full((8, 4), np.nan, np.float32).tobytes(),
            "needs finite numbers, got NaN or infinity in 8 of 8",
        ),
        ("poses.txt", "1 0 0 0 0 1 0 0 0 0 1 0\n" * 2, "poses.txt: needs a line per frame, 3 or more, got 2"),
        ("poses.txt", "1 0 0 0 0 1 0 0 0 0 1\n" * 3, "poses.txt"),
        ("poses.txt", "0 0 0 0 0 0 0 0 0 0 0 0\n" * 3, "poses.txt:1: needs a rotation in columns 1-3, 5-7, 9-11"),
        ("calib.txt", "P0: 1\nTr: 1 2\n", "calib.txt:2: needs 12 numbers"),
        ("times.txt", "0\n0.1\n", "times.txt: needs a line per frame, 3 or more, got 2"),
        ("times.txt", "0\n0.1\n0.1\n", "times.txt:3: needs a time after that of the line before, got 0.1 s"),
    ],
)
def test_wrong_files_are_named(tmp_path, name, content, message):
    wrong(write(tmp_path), name, content)
    with pytest.raises(InputError, match=re.escape(message)):
        read(tmp_path)


@pytest.mark.parametrize(("lost", "ports"), [("poses.txt", "pose"), ("calib.txt", "pose"), ("labels", "point_classes_truth")])
def test_a_needed_port_without_a_file(tmp_path, lost, ports):
    folder = write(tmp_path, labelled=lost != "labels")
    if lost != "labels":
        (folder / lost).unlink()
    with pytest.raises(InputError, match=rf"{ports} is connected, but .*{lost}.* (is not there|holds no .label files); add"):
        read(tmp_path)
    assert len(read(tmp_path, ["points"])) == 3


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"root": ""}, "config.root: needs a folder with sequences/SS/velodyne/NNNNNN.bin, or NNNNNN.bin, got nothing"),
        ({"sequences": [0, 5]}, "config.sequences: needs sequences of "),
        ({"rate_hz": 0.0}, "config.rate_hz: needs"),
    ],
)
def test_a_wrong_config_names_its_key(tmp_path, config, message):
    write(tmp_path)
    with pytest.raises(InputError, match=re.escape(message)):
        run_source(SemanticKitti, {"root": str(tmp_path), **config})


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(InputError, match=r"needs a folder with sequences/SS/velodyne.*\(holds notes\.txt\)"):
        read(tmp_path)


def test_what_the_writer_writes_is_read_back(tmp_path):
    """Ids become instances 1, 2, .. of the sequence."""
    points, classes = scan(6), np.array([VOID, 1, 1, 9, 6, 1], np.uint8)
    ids = np.array([-1, 1 << 40, 77, -1, 5, 77])
    facts = {"point_classes": {"class_names": format.NAMES}}
    given = {"points": points, "point_classes": classes, "point_ids": ids}
    heads = [header(k, f"08/{k:06d}") for k in range(2)]
    run_operator(Writer, [given] * 2, {"folder": "labels"}, headers=heads, meta=[facts] * 2, out_dir=tmp_path)
    for reading in read(tmp_path, ["points", "point_classes_truth", "point_ids_truth"]):
        np.testing.assert_array_equal(reading.values["points"], points)
        np.testing.assert_array_equal(reading.values["point_classes_truth"], classes)
        assert (reading.values["point_ids_truth"] & 0xFFFF).tolist() == [0xFFFF, 1, 2, 0xFFFF, 3, 2]


def test_any_bytes_are_labels_or_one_line(tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "000000.label"
    good = (INSTANCES << 16 | LABELS).astype("<u4").tobytes()
    outcomes = set()
    for _ in range(200):
        data = bytearray(good)
        for _ in range(int(rng.integers(0, 3))):
            data[int(rng.integers(0, len(data)))] = int(rng.integers(0, 256))
        path.write_bytes(data[: int(rng.integers(0, 40))])
        try:
            classes, instances = format.read_label(path, 8)
            assert classes.max() < 20 and 0 <= instances.min() <= instances.max() <= format.MAX_INSTANCE
            outcomes.add("labels")
        except InputError as error:
            outcomes.add("one line" if str(error).startswith(f"{path}: ") and "\n" not in str(error) else str(error))
    assert outcomes == {"labels", "one line"}


@pytest.mark.data
def test_the_real_scan(shared_data):
    (reading,) = read(shared_data / "semantickitti", ["points", "point_classes_truth", "point_ids_truth"])
    classes, ids = reading.values["point_classes_truth"], reading.values["point_ids_truth"]
    assert len(reading.values["points"]) == len(classes) == len(ids) == 123_389
    assert (classes == format.NAMES.index("car")).sum() == 1534 and (classes == format.NAMES.index("road")).sum() == 20975
    assert set(classes[ids >= 0].tolist()) <= {format.NAMES.index(name) for name in format.THINGS}
