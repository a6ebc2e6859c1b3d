import re

import numpy as np
import pytest
from kitti_files import Kitti

from drivers.synthetic.spinning import LidarConfig, SpinningLidar
from operators.streams import CLASSES, Truth
from pipeline.errors import InputError
from studies import world_vs_real
from studies.world_vs_real import Tally, beams, cut, difference, differences, generated, main, object_rows, opened, table, text


def truth(*rows):
    """(class, x, occluded, truncated, in the picture)"""
    n = len(rows)
    boxes2d = np.array([[0, 0, 9, 9 * row[4]] for row in rows], np.float32).reshape(-1, 4)
    boxes3d = np.array([[row[1], 0, 0, 4, 2, 2, 0] for row in rows], np.float32).reshape(-1, 7)
    labels = np.array([CLASSES.index(row[0]) for row in rows], np.int32)
    occluded, truncated = np.array([row[2] for row in rows], np.int32), np.array([row[3] for row in rows], np.float32)
    return Truth(boxes3d, boxes2d, labels, np.arange(n), occluded, truncated)


def points(*rows):
    return np.array(rows, np.float32).reshape(-1, 4)


def test_no_points_and_nobody():
    tally = Tally("a")
    tally.add(points(), truth())
    assert (tally.scans, tally.points, len(tally.objects)) == (1, 0, 0)
    assert tally.returns.tolist() == [0] * 64 and np.isnan(tally.median_ranges).all()
    rows = {row[0]: row[1] for row in table([tally])}
    assert rows["points of a Car, 5..15 m"] == "-" and rows["range 0 .. 5 m"] == "0.000"


def test_beams_of_our_own_sensor():
    """Beams are found by elevation as seen from the height of their block: at 10 and 40 m, where the two blocks cross."""
    sensor = SpinningLidar(LidarConfig(), 10.0, 1)
    for reach in (10.0, 40.0):
        z = sensor.heights + reach * np.tan(sensor.elevations)
        assert beams(np.column_stack([np.full(64, reach), np.zeros(64), z, np.zeros(64)])).tolist() == list(range(64))
    assert beams(points((10, 0, 50, 0), (10, 0, -50, 0))).tolist() == [0, 63]


def test_each_scan_counts_as_much():
    tally = Tally("a")
    tally.add(points((10, 0, 0, 0.5)), truth())
    tally.add(points(*[(30, 0, 0, 0.0)] * 9, (10, 0, 0, 0.0)), truth())
    share = tally.shares("range")
    assert share[10 // 2] == pytest.approx(0.55) and share[30 // 2] == pytest.approx(0.45) and share.sum() == pytest.approx(1)
    assert tally.points == 11 and tally.returns.sum() == 5.5


def test_the_median_distance_of_a_beam():
    tally = Tally("a")
    tally.add(points(*[(x, 0, 0.2, 0) for x in (10, 20, 70)]), truth())
    (beam,) = np.flatnonzero(tally.returns)
    assert tally.median_ranges[beam] == pytest.approx(20, abs=0.25)


def test_points_of_objects_and_their_zeros():
    scan = points((10, 0, 0, 0), (11, 0.5, 0.5, 0), (9, 0, 0, 0.3), (20, 0, 0, 0.3), (50, 0, 0, 0))
    rows = object_rows(scan, truth(("Car", 10, 1, 0.2, 1), ("Cyclist", 20, 0, 0, 1), ("Pedestrian", 30, 0, 0, 1)))
    assert rows[:, :3].tolist() == [[0, 10, 3], [2, 20, 1], [1, 30, 0]]
    assert rows[:2, 3] == pytest.approx([2 / 3, 0]) and np.isnan(rows[2, 3])


@pytest.mark.parametrize("row", [("Car", 10, 2, 0, 1), ("Car", 10, 0, 0.3, 1), ("Car", 10, 0, 0, 0), ("Truck", 10, 0, 0, 1)])
def test_who_does_not_count(row):
    assert len(object_rows(points((10, 0, 0, 0)), truth(row))) == 0


@pytest.mark.parametrize(
    "a, b, expected",
    [([1, 1], [2, 2], 0), ([1, 0], [0, 5], 1), ([3, 1], [1, 1], 0.25), ([0, 0], [0, 0], 0), ([0, 0], [1, 1], 0.5)],
)
def test_difference(a, b, expected):
    assert difference(np.array(a, float), np.array(b, float)) == pytest.approx(expected)


def test_a_table_of_three():
    tallies = [Tally(name) for name in ("one", "two", "three")]
    for k, tally in enumerate(tallies):
        tally.add(points((10 + 20 * k, 0, 0, 0.5), (12, 0, -1, 0)), truth(("Car", 10, 0, 0, 1)))
    assert [line.partition(":")[0] for line in differences(tallies)] == [
        "difference of one and two", "difference of one and three", "difference of two and three",
    ]  # fmt: skip
    assert differences(tallies)[0].startswith(
        "difference of one and two: range 0.500, height 0.000, azimuth 0.000, intensity 0.000"
    )
    rows = table(tallies)
    assert len({len(row) for row in rows}) == 1 and len({len(line) for line in text(rows).splitlines()}) == 1
    assert ["points of a Car, 5..15 m", "2 (1)", "1 (1)", "1 (1)"] in rows
    assert ["intensity 0 on a Car, 5..15 m", "0.50 (1)", "1.00 (1)", "1.00 (1)"] in rows


@pytest.fixture
def recorded(tmp_path):
    """Two scans of KITTI object, each with a car, a point on it in the image and a point behind the camera."""
    kitti = Kitti(tmp_path / "kitti")
    for frame in (1, 2):
        kitti.scan(f"training/velodyne/{frame:06d}.bin", np.array([[10, 0, -0.5, 0.2], [-10, 0, 0, 0]]))
        kitti.calib(f"training/calib/{frame:06d}.txt")
        kitti.write(kitti.root / f"training/label_2/{frame:06d}.txt", "Car 0 0 0 500 100 700 300 2 2 4 0 1.5 10 0")
    return kitti


def test_scans_are_cut_to_the_picture(recorded):
    scans = list(cut(opened(recorded.root)))
    assert [len(points) for _, points, _ in scans] == [1, 1]
    assert [len(reading.values["truth"].labels) for reading, _, _ in scans] == [1, 1]


def test_without_a_calibration(recorded):
    source = opened(recorded.root)
    source.statics = lambda: []
    with pytest.raises(InputError, match=r"^scans: 000001 needs a calibration to be cut to the picture, got none$"):
        list(cut(source))


def test_without_labels(recorded, capsys):
    for path in (recorded.root / "training/label_2").iterdir():
        path.unlink()
    assert main([str(recorded.root), "--drives", "1"]) == 1
    assert capsys.readouterr().err == "error: kitti: needs scans with labels, got none\n"


def test_a_folder_that_is_none(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(world_vs_real, "generated", lambda drives: opened(tmp_path))
    assert main([str(tmp_path)]) == 1
    assert "needs a folder with velodyne/ or image_02/" in capsys.readouterr().err


def test_generated_scenes_are_as_the_driver_says():
    scans = list(cut(generated(2)))
    assert len(scans) == 2
    for reading, scan, _ in scans:
        assert 5_000 < len(scan) < 30_000 and scan[:, 0].min() > 0
        assert np.abs(np.degrees(np.arctan2(scan[:, 1], scan[:, 0]))).max() < 45 and len(reading.values["truth"].labels)


def test_the_page_and_its_plots(recorded, tmp_path, capsys):
    out = tmp_path / "docs"
    assert main([str(recorded.root), "--drives", "1", "--out", str(out)]) == 0
    assert f"written to {out}" in capsys.readouterr().out
    page = (out / "README.md").read_text()
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", page)
    assert {path.name for path in out.iterdir()} == {"README.md", *pictures} and len(pictures) == 11
    assert f"`python -m studies.world_vs_real {recorded.root} --out {out} --drives 1` at commit" in page
    assert "| scans | 1 | 2 |" in page and "difference of generated and kitti: range" in page
    assert all("generated" in (out / name).read_text() for name in pictures)


@pytest.mark.data
def test_real_folders(shared_data):
    """Both layouts give nearly equal results; 21 and 129 scans of about 20,000 points."""
    tallies = [world_vs_real.tally(name, opened(shared_data / name)) for name in ("kitti_object", "kitti_tracking_0000")]
    assert [t.scans for t in tallies] == [21, 129]
    assert all(18_000 < t.points / t.scans < 21_000 for t in tallies)
    assert difference(tallies[0].returns, tallies[1].returns) < 0.05
