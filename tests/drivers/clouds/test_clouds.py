import numpy as np
import pytest
from cloud_files import pcd, ply

from drivers.clouds.reader import Clouds, CloudsConfig, intensity
from operators.streams import POINTS
from pipeline.errors import GraphError, InputError
from pipeline.settings import Where, build

XYZI = {"x": "float", "y": "float", "z": "float", "intensity": "uchar"}


@pytest.fixture
def folder(tmp_path):
    """2.ply with two points, 3.npy with none, 10.bin with one, 11.pcd with NaN; and a file that is not a cloud."""
    ply(tmp_path / "c" / "2.ply", XYZI, [(1, 2, 3, 255), (4, 5, 6, 51)])
    np.save(tmp_path / "c" / "3.npy", np.zeros((0, 4), np.float32))
    np.array([7, 8, 9, 0.5], np.float32).tofile(tmp_path / "c" / "10.bin")
    columns = [(name, "F", 4, 1) for name in ("x", "y", "z", "intensity")]
    nan, inf = float("nan"), float("inf")
    pcd(tmp_path / "c" / "11.pcd", columns, [(1, 1, 1, 1), (nan, 0, 0, 0), (0, -inf, 0, 0), (2, 2, 2, nan), (3, 3, 3, 0)])
    (tmp_path / "c" / "notes.txt").write_text("these are clouds")
    return tmp_path / "c"


def test_a_folder_in_the_order_of_its_names(folder, play):
    _, readings = play(Clouds, CloudsConfig(files=str(folder), rate_hz=4))
    assert [(r.item, r.stamp_ns) for r in readings] == [("2", 0), ("3", 250_000_000), ("10", 500_000_000), ("11", 750_000_000)]
    for reading in readings:
        POINTS.check({"points": reading.values["points"]}, "points")
    expected = [[[1, 2, 3, 1], [4, 5, 6, 0.2]], [], [[7, 8, 9, 0.5]], [[1, 1, 1, 1], [3, 3, 3, 0]]]
    for reading, points in zip(readings, expected, strict=True):
        assert reading.values["points"] == pytest.approx(np.array(points, np.float32).reshape(-1, 4))
    assert [r.meta for r in readings] == [{}, {}, {}, {"points": {"dropped": 3}}]


def test_what_was_dropped_is_said_at_the_end(folder, play, caplog):
    play(Clouds, CloudsConfig(files=str(folder)))
    assert [record.getMessage() for record in caplog.records] == ["3 of 8 points were not finite and left out"]


def test_going_on_in_the_middle(folder, play):
    _, readings = play(Clouds, CloudsConfig(files=str(folder)), start=3)
    assert [r.item for r in readings] == ["11"]


def test_nobody_reads(folder, play):
    (folder / "10.bin").write_bytes(b"")
    assert [r.values for r in play(Clouds, CloudsConfig(files=str(folder)), wanted=())[1]] == [{}] * 4


def test_a_list_of_files(folder, play):
    files = [str(folder / name) for name in ("10.bin", "2.ply")]
    assert [r.item for r in play(Clouds, CloudsConfig(files=files))[1]] == ["10", "2"]


def test_units_and_axes(tmp_path, play):
    np.save(tmp_path / "camera.npy", np.array([[100.0, 200.0, 3000.0]]))
    config = CloudsConfig(files=str(tmp_path), unit_m=0.001, axes=("z", "-x", "-y"))
    (reading,) = play(Clouds, config)[1]
    assert reading.values["points"] == pytest.approx(np.array([[3, -0.1, -0.2, 0]]))


def test_names_are_stamps(tmp_path, play):
    for name in ("1673400472138016708", "99", "1673400471837873222"):
        np.save(tmp_path / f"{name}.npy", np.zeros((1, 3)))
    _, readings = play(Clouds, CloudsConfig(files=str(tmp_path), stamps="names"))
    assert [r.stamp_ns for r in readings] == [99, 1673400471837873222, 1673400472138016708]


def test_slots_are_as_large_as_the_largest_cloud(folder):
    assert Clouds.slot_bytes(CloudsConfig(files=str(folder))) == {"points": 128}  # 5 points
    assert Clouds.slot_bytes(CloudsConfig(files=str(folder / "3.npy"))) == {"points": 64}
    assert Clouds.slot_bytes(CloudsConfig()) == {}


@pytest.mark.parametrize(
    "values, most, expected",
    [
        (np.zeros(0, np.float32), None, []),
        (np.array([0, 0.5, 1]), None, [0, 0.5, 1]),
        (np.array([0, 255], np.uint8), None, [0, 1]),
        (np.array([0, 1], np.uint16), None, [0, 1]),
        (np.array([0, 100, 400], np.uint16), 200.0, [0, 0.5, 1]),
        (np.array([51], np.uint8), 51.0, [1]),
    ],
)
def test_intensity(tmp_path, values, most, expected):
    assert intensity(tmp_path, values, most) == pytest.approx(np.array(expected))


@pytest.mark.parametrize(
    "values, most, text", [([0, 187], None, r"0\.\.187"), ([-2, 0.5], None, r"-2\.\.0\.5"), ([-1, 0], 255.0, r"-1\.\.0")]
)
def test_intensity_that_nobody_explained(tmp_path, values, most, text):
    message = rf"a\.ply: needs intensity 0\.\.1, got {text}; set config.intensity_max to what counts as 1\?"
    with pytest.raises(InputError, match=message):
        intensity(tmp_path / "a.ply", np.array(values), most)


def test_no_files(tmp_path):
    needs = r"clouds: config.files: needs a file or a folder of \.ply \.pcd \.npy \.bin, got"
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.las").write_bytes(b"")
    for files, got in [
        ("", "nothing; set --set NODE.config.files=PATH"),
        ([], "nothing"),
        (str(tmp_path / "gone"), r".*gone \(not there\)"),
        (str(tmp_path / "empty"), r".*empty without any"),
        (str(tmp_path / "a.las"), r".*a\.las$"),
    ]:
        with pytest.raises(InputError, match=f"{needs} {got}"):
            Clouds.find(CloudsConfig(files=files))


def test_two_files_of_one_name(folder):
    np.save(folder / "2.npy", np.zeros((1, 3)))
    with pytest.raises(InputError, match=r"clouds: config.files: needs names that differ, got .*2\.npy and .*2\.ply"):
        Clouds.find(CloudsConfig(files=str(folder)))


def test_names_that_are_no_stamps(folder, tmp_path):
    np.save(folder / "a.npy", np.zeros((1, 3)))
    with pytest.raises(InputError, match=r"a\.npy: config.stamps: names needs a file called by its time \[ns\]; config"):
        Clouds.find(CloudsConfig(files=str(folder), stamps="names"))
    files = [str(folder / name) for name in ("10.bin", "2.ply")]
    with pytest.raises(InputError, match=r"2\.ply: config.stamps: names needs later times .*, got .*10\.bin before it"):
        Clouds.find(CloudsConfig(files=files, stamps="names"))


def test_a_cloud_that_is_cut_off_is_found_before_the_start(folder):
    (folder / "2.ply").write_bytes((folder / "2.ply").read_bytes()[:-1])
    with pytest.raises(InputError, match=r"2\.ply: needs \d+ bytes for 2 points"):
        Clouds.find(CloudsConfig(files=str(folder)))


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("rate_hz", 0, "rate_hz: needs a number above 0, got 0"),
        ("unit_m", -1, "unit_m: needs a number above 0, got -1"),
        ("intensity_max", float("inf"), "intensity_max: needs a number above 0, got inf"),
        ("bin_columns", 2, r"bin_columns: needs 3\.\.64, got 2"),
        ("axes", ["x", "y", "-z"], r"axes: needs x y z in any order, each with - or without, and right-handed, got x y -z"),
        ("stamps", "name", r"stamps.*did you mean names\?"),
        ("root", "DIR", "root: unknown key"),
    ],
)
def test_config_that_is_wrong(key, value, message):
    with pytest.raises(GraphError, match=message):
        build(CloudsConfig, {key: value}, Where("clouds.config"))


@pytest.mark.data
def test_real_clouds(shared_data, play):
    """One decoded Velodyne scan and two clouds of a registration pair: sizes equal their headers."""
    (scan,) = play(Clouds, CloudsConfig(files=str(shared_data / "pcap/velodyne_vlp16"), stamps="names"))[1]
    points = scan.values["points"]
    assert (scan.item, len(points), scan.meta) == ("1673400472138016708", 14831, {})
    assert np.hypot(points[:, 0], points[:, 1]).max() < 150 and 0 < points[:, 3].mean() < 1
    elevation_deg = np.degrees(np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1])))
    assert np.abs(elevation_deg - np.rint(elevation_deg)).max() < 1e-4  # a VLP-16's beams are 2 degrees apart, on odd ones
    assert set(np.rint(elevation_deg)) == set(range(-13, 16, 2))  # the lowest beam has no returns
    pair = play(Clouds, CloudsConfig(files=str(shared_data / "registration_pair"), intensity_max=255))[1]
    assert [(r.item, len(r.values["points"])) for r in pair] == [("source", 69792), ("target", 69088)]
    with pytest.raises(InputError, match=r"source\.ply: needs intensity 0\.\.1, got 0\.\.187; set config.intensity_max"):
        play(Clouds, CloudsConfig(files=str(shared_data / "registration_pair" / "source.ply")))
