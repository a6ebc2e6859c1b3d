import numpy as np
import pytest
from cloud_files import pcd, ply

from drivers.clouds.reader import Clouds, CloudsConfig, intensity
from operators.streams import POINTS, POSE
from pipeline.errors import GraphError, InputError
from pipeline.operator import attach
from pipeline.settings import Where, build

GRAPH = """
version: 1
nodes:
  scans: {{driver: clouds, config: {{files: "{files}"}}}}
  near:  {{op: test.null, inputs: {{in: scans.points}}}}
"""
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
    expected = [[[1, 2, 3, 1], [4, 5, 6, 0.2]], [], [[7, 8, 9, 0.5]], [[1, 1, 1, 1], [2, 2, 2, 0], [3, 3, 3, 0]]]
    for reading, points in zip(readings, expected, strict=True):
        assert reading.values["points"] == pytest.approx(np.array(points, np.float32).reshape(-1, 4))
    assert [r.meta for r in readings] == [{}, {}, {}, {"points": {"dropped": 2, "without_intensity": 1}}]


def test_what_was_not_finite_is_said(folder, play, caplog):
    """In the status, which is in the summary and the report, and in the log."""
    source = play.opened(Clouds, CloudsConfig(files=str(folder)))
    said = []
    attach(source, show=said.append)
    while source.read():
        pass
    assert said == ["2 of 8 points were not finite and left out; 1 points had no finite intensity and got 0"]
    source.close()
    assert [record.getMessage() for record in caplog.records] == said


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("rows", "expected", "meta", "said"),
    [
        ([(1, 2, 3, NAN)] * 3, [[1, 2, 3, 0]] * 3, {"without_intensity": 3}, "3 points had no finite intensity and got 0"),
        ([(1, 2, 3, 0.5), (4, 5, 6, -INF)], [[1, 2, 3, 0.5], [4, 5, 6, 0]], {"without_intensity": 1}, "1 points had no"),
        ([(NAN, 2, 3, NAN), (4, 5, 6, 1)], [[4, 5, 6, 1]], {"dropped": 1}, "1 of 2 points were not finite and left out"),
        (
            [(NAN, NAN, NAN, 1)] * 2,
            [],
            {"dropped": 2},
            "2 of 2 points were not finite and left out; 1 clouds without any finite point, the first 'a.ply'",
        ),
    ],
)
def test_numbers_that_are_not_finite(tmp_path, play, rows, expected, meta, said):
    ply(tmp_path / "a.ply", dict.fromkeys(("x", "y", "z", "intensity"), "float"), rows)
    source = play.opened(Clouds, CloudsConfig(files=str(tmp_path)))
    shown = []
    attach(source, show=shown.append)
    reading = source.read()
    assert reading.values["points"].tolist() == expected
    assert reading.meta == {"points": meta}
    assert len(shown) == 1 and shown[0].startswith(said)


def test_a_run_says_it_in_summary_and_report(tmp_path, pipe):
    ply(tmp_path / "c" / "a.ply", dict.fromkeys("xyz", "float"), [(1, 2, 3), (NAN, 0, 0)])
    ended = pipe.run(pipe.graph(GRAPH.format(files=tmp_path / "c")), "--quiet")
    assert ended.code == 0, ended.stderr
    assert ended.report["nodes"]["scans"]["status"] == "1 of 2 points were not finite and left out"
    assert "  scans: 1 of 2 points were not finite and left out" in ended.stdout.splitlines()


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


GRID = np.array([[497336.5401, 5429871.2512, 117.788], [497322.0023, 5429865.6471, -3.25], [497325.437, 5429899.0001, 116.622]])


@pytest.mark.parametrize("name", ["a.npy", "a.ply", "b.ply", "c.ply", "a.pcd", "b.pcd", "c.pcd"])
def test_a_national_grid_keeps_its_millimetres(tmp_path, play, name):
    """pose takes the points back to the files' coordinates. c.ply says float, but text has the digits."""
    double = dict.fromkeys("xyz", "double")
    np.save(tmp_path / "a.npy", GRID)
    ply(tmp_path / "a.ply", double, GRID.tolist())
    ply(tmp_path / "b.ply", double, GRID.tolist(), "ascii")
    ply(tmp_path / "c.ply", dict.fromkeys("xyz", "float"), GRID.tolist(), "ascii")
    for file, data in (("a.pcd", "ascii"), ("b.pcd", "binary"), ("c.pcd", "binary_compressed")):
        pcd(tmp_path / file, [(axis, "F", 8, 1) for axis in "xyz"], GRID.tolist(), data)
    source = play.opened(Clouds, CloudsConfig(files=str(tmp_path / name)))
    assert source.said() == "points are relative to [497337, 5429871, 0]"
    values = source.read().values
    POSE.check({"T_world_velo": values["pose"]}, "pose")
    assert np.abs(values["points"]).max() < 200
    world = values["points"][:, :3].astype(np.float64) @ values["pose"][:3, :3].T + values["pose"][:3, 3]
    assert np.abs(world - GRID).max() < 5e-6


def test_every_file_of_a_grid_has_the_same_offset(tmp_path, play):
    """Also after a restart in the middle, and where the first files have no finite point."""
    for number, rows in enumerate(([], [[NAN] * 3], GRID + 3, GRID)):
        np.save(tmp_path / f"{number}.npy", np.array(rows, np.float64).reshape(-1, 3))
    for start in (0, 3):
        readings = play(Clouds, CloudsConfig(files=str(tmp_path)), start=start)[1]
        assert {tuple(r.values["pose"][:3, 3]) for r in readings} == {(497340.0, 5429874.0, 0.0)}
    assert play(Clouds, CloudsConfig(files=str(tmp_path)), wanted={"pose"})[1][0].values.keys() == {"pose"}


def test_the_offset_that_was_asked_for(tmp_path, play):
    """In the files' unit and axes."""
    np.save(tmp_path / "a.npy", np.array([[100.0, 200.0, 3000.0]]))
    config = CloudsConfig(files=str(tmp_path), unit_m=0.001, axes=("z", "-x", "-y"), offset=(100.0, 0.0, 1000.0))
    (reading,) = play(Clouds, config)[1]
    assert reading.values["points"] == pytest.approx(np.array([[2, 0, -0.2, 0]]))
    assert reading.values["pose"][:3, 3] == pytest.approx([1, -0.1, 0])


@pytest.mark.parametrize("kind", ["int32", "float64", "int64"])
def test_coordinates_that_lose_too_much(tmp_path, play, kind):
    """No offset serves both ends; the cure in the message works."""
    points = np.array([[0, 0, 0], [2147478294, 1, 2]], kind)
    np.save(tmp_path / "a.npy", points)
    message = r"a\.npy: needs points that float32 changes by at most 0\.0005 m, got \d+ m; set config.offset, e\.g\. .*max_roundi"
    with pytest.raises(InputError, match=message):
        play(Clouds, CloudsConfig(files=str(tmp_path)))
    (reading,) = play(Clouds, CloudsConfig(files=str(tmp_path), max_rounding_m=64))[1]
    assert reading.values["points"][:, :3] == pytest.approx(points)


@pytest.mark.parametrize("points", [[[1e300, 0, 0]], [[0, 0, 0], [1e39, 0, 0]]])
def test_coordinates_beyond_float32(tmp_path, play, points):
    np.save(tmp_path / "a.npy", np.array(points, np.float64))
    if len(points) == 1:
        assert play(Clouds, CloudsConfig(files=str(tmp_path)))[1][0].values["points"].tolist() == [[0, 0, 0, 0]]
    else:
        with pytest.raises(InputError, match="needs points that float32 changes by at most"):
            play(Clouds, CloudsConfig(files=str(tmp_path)))


@pytest.mark.parametrize("kind", ["float32", "float16", "int16"])
def test_types_that_float32_holds_need_no_offset(tmp_path, play, kind):
    points = np.array([[30000, 20000, 1]], kind)
    np.save(tmp_path / "a.npy", points)
    (reading,) = play(Clouds, CloudsConfig(files=str(tmp_path)))[1]
    assert np.array_equal(reading.values["pose"], np.eye(4)) and (reading.values["points"][:, :3] == points).all()


def test_names_are_stamps(tmp_path, play):
    for name in ("1673400472138016708", "99", "1673400471837873222"):
        np.save(tmp_path / f"{name}.npy", np.zeros((1, 3)))
    _, readings = play(Clouds, CloudsConfig(files=str(tmp_path), stamps="names"))
    assert [r.stamp_ns for r in readings] == [99, 1673400471837873222, 1673400472138016708]


def test_a_folder_is_in_the_order_of_its_times(tmp_path, play):
    for name in ("10.5", "10.25", "9.75"):
        np.save(tmp_path / f"{name}.npy", np.zeros((1, 3)))
    _, readings = play(Clouds, CloudsConfig(files=str(tmp_path), stamps="names"))
    assert [(r.item, r.stamp_ns / 1e9) for r in readings] == [("9.75", 9.75), ("10.25", 10.25), ("10.5", 10.5)]


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
    assert intensity(tmp_path, values, None, most) == pytest.approx(np.array(expected))


@pytest.mark.parametrize(
    ("values", "least", "most", "text", "cures"),
    [
        ([0, 187], None, None, r"0\.\.187", {"max": 187}),
        ([-2, 0.5], None, None, r"-2\.\.0\.5", {"min": -2}),
        ([-1, 0], None, 255.0, r"-1\.\.0", {"min": -1}),
        ([-9, 15.5, 191], None, None, r"-9\.\.191", {"min": -9, "max": 191}),
        ([-128, 127], None, None, r"-128\.\.127", {"min": -128, "max": 127}),
        ([-40, 2], -30.0, None, r"-40\.\.2", {"max": 2}),
    ],
)
def test_intensity_that_nobody_explained(tmp_path, values, least, most, text, cures):
    """What the message says to set is what helps."""
    array = np.array(values, np.int8 if values[-1] == 127 else np.float32)
    set_ = " and ".join(f"config.intensity_{key} to what counts as {int(key == 'max')}" for key in cures)
    with pytest.raises(InputError, match=rf"a\.ply: needs intensity 0\.\.1, got {text}; set {set_}$"):
        intensity(tmp_path / "a.ply", array, least, most)
    mended = intensity(tmp_path / "a.ply", array, float(cures.get("min", least or 0)), float(cures.get("max", most or 1)))
    assert mended.min() == 0 and mended.max() <= 1 and mended[-1] == (pytest.approx(1) if "max" in cures else mended[-1])


def test_values_beyond_the_given_range(tmp_path):
    assert intensity(tmp_path, np.array([-50, -40, 0, 10, 20]), -40.0, 10.0) == pytest.approx(np.array([0, 0, 0.8, 1, 1]))


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
    with pytest.raises(InputError, match=r"a\.npy: config.stamps: names needs a file called by its time; config"):
        Clouds.find(CloudsConfig(files=str(folder), stamps="names"))
    files = [str(folder / name) for name in ("10.bin", "2.ply")]
    with pytest.raises(InputError, match=r"2\.ply: config.stamps: names needs later times .*, got .*10\.bin before it"):
        Clouds.find(CloudsConfig(files=files, stamps="names", stamp_unit="ns"))


def test_a_cloud_that_is_cut_off_is_found_before_the_start(folder):
    (folder / "2.ply").write_bytes((folder / "2.ply").read_bytes()[:-1])
    with pytest.raises(InputError, match=r"2\.ply: needs \d+ bytes for 2 points"):
        Clouds.find(CloudsConfig(files=str(folder)))


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("rate_hz", 0, r"rate_hz: needs 0\.001 to 1,000,000, got 0"),
        ("rate_hz", 1e-300, r"rate_hz: needs 0\.001 to 1,000,000, got 1e-300"),
        ("unit_m", -1, "unit_m: needs a number above 0, got -1"),
        ("intensity_max", float("inf"), "intensity_max: needs a number above 0, got inf"),
        ("intensity_min", float("-inf"), "intensity_min: needs finite numbers"),
        ("intensity_min", 20, "intensity_max: needs a number above intensity_min, which is 20.0, got none"),
        ("max_rounding_m", 0, "max_rounding_m: needs a number above 0, got 0"),
        ("offset", [0, 0], r"offset: needs auto or \[float, float, float\], got"),
        ("offset", [0, 0, float("inf")], "offset: needs finite numbers, got"),
        ("stamp_unit", "min", "stamp_unit: needs auto | s | ms | us | ns | s.ns, got 'min'"),
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
