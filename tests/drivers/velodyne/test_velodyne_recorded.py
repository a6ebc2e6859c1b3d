"""velodyne.recorded: the golden scan of a real VLP-16, capture files and recordings made here."""

import bag_files
import numpy as np
import pytest
from scipy.spatial import cKDTree
from velodyne_scans import HOST_NS, cloud_of, pcap_of, readings_of, scans_of

from drivers.velodyne import calibration, position
from drivers.velodyne.encode import turning
from drivers.velodyne.models import MODELS
from drivers.velodyne.recorded import Recorded, RecordedConfig
from pipeline.errors import InputError
from pipeline.operator import prepare


def bag_of(folder, packets, kind=bag_files.SCAN):
    """A folder of a recording: a message for each packet."""
    folder.mkdir()
    messages = [bag_files.scan([data], HOST_NS + ns) for ns, data in packets]
    bag_files.bag(folder / "made_0.db3", messages, kind)
    return folder


def test_a_capture_and_a_bag_give_the_same_scans(tmp_path, vlp16):
    expected = [cloud_of(scan) for scan in scans_of(vlp16).ready if scan.whole]
    capture = pcap_of(tmp_path / "drive.pcap", vlp16)
    recorded = bag_of(tmp_path / "drive", vlp16)
    for file in (capture, recorded, recorded / "made_0.db3"):
        config = RecordedConfig(file=str(file))
        assert Recorded.find(config).frames is None
        readings = readings_of(Recorded, config)
        assert [r.item for r in readings] == ["000000", "000001"]
        for reading, (points, rings, times) in zip(readings, expected, strict=True):
            np.testing.assert_array_equal(reading.values["points"], points)
            np.testing.assert_array_equal(reading.values["point_rings"], rings)
            np.testing.assert_allclose(reading.values["point_times"], times)
            facts = reading.meta["points"]
            assert (facts["clock"], facts["packets_lost"], facts["dual_return"]) == ("sensor", 0, False)
        assert abs(readings[1].stamp_ns - readings[0].stamp_ns - 100_000_000) < 200_000
        assert 0 <= readings[0].recv_ns - readings[0].stamp_ns < 3_000_000


def test_partial_scans_cut_clock_and_resume(tmp_path, vlp16):
    file = str(pcap_of(tmp_path / "drive.pcap", vlp16))
    assert len(readings_of(Recorded, RecordedConfig(file=file, partial_scans=True))) == 4
    assert len(readings_of(Recorded, RecordedConfig(file=file, cut_angle_deg=300))) == 2
    only = readings_of(Recorded, RecordedConfig(file=file, clock="arrival"), wanted={"points"})
    assert set(only[0].values) == {"points"} and only[0].stamp_ns == only[0].recv_ns
    gps = readings_of(Recorded, RecordedConfig(file=file, clock="gps"))
    assert gps[0].stamp_ns % 3_600_000_000_000 == scans_of(vlp16).ready[1].end_ns % 3_600_000_000_000
    source = prepare(Recorded(), "velo", RecordedConfig(file=file))
    source.open(1)
    assert source.read().item == "000001" and source.read() is None


def test_a_file_that_ends_early_plays_what_is_whole(tmp_path, vlp16, caplog):
    file = pcap_of(tmp_path / "drive.pcap", vlp16)
    file.write_bytes(file.read_bytes()[:-700])
    assert len(readings_of(Recorded, RecordedConfig(file=str(file)))) == 2
    assert "ends within the record" in caplog.text and "2 partial scans left out" in caplog.text


def find_and_read(config):
    Recorded.find(config)
    readings_of(Recorded, config)


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda p, v: p / "absent.pcap", "needs udp://HOST:PORT, a capture file or a rosbag2 recording"),
        (lambda p, v: bag_of(p / "b", [], kind="sensor_msgs/msg/Imu"), "needs a topic of velodyne_msgs/msg/VelodyneScan"),
        (lambda p, v: p, "needs one .*.db3, got 0"),
        (lambda p, v: pcap_of(p / "x.pcap", [(0, bytes(100))]), "needs packets of 1206 bytes, got none"),
        (lambda p, v: pcap_of(p / "x.pcap", list(turning(MODELS["VLP-32C"], 0.1))), "got VLP-32C"),
    ],
)
def test_wrong_files(tmp_path, vlp16, make, text):
    config = RecordedConfig(model="VLP-16", file=str(make(tmp_path, vlp16)))
    with pytest.raises(InputError, match=text):
        find_and_read(config)


def test_a_damaged_bag_is_one_line(tmp_path):
    (tmp_path / "x.db3").write_bytes(b"SQLite format 3\0" + bytes(100))
    with pytest.raises(InputError, match="copied incompletely"):
        Recorded.find(RecordedConfig(file=str(tmp_path / "x.db3")))


def test_an_hdl_64e_needs_its_table(tmp_path, hdl64):
    file = str(pcap_of(tmp_path / "x.pcap", list(turning(MODELS["HDL-64E"], 0.1))))
    with pytest.raises(InputError, match=r"config.lasers: needs the file of this HDL-64E"):
        Recorded.find(RecordedConfig(file=file))
    Recorded.find(RecordedConfig(file=file, lasers=hdl64))
    with pytest.raises(InputError, match="needs 16 of a VLP-16, got 64"):
        Recorded.find(RecordedConfig(model="VLP-16", file=file, lasers=hdl64))


def sixteen(row):
    return "lasers:\n" + "\n".join(f"- {row.replace('N', str(n))}" for n in range(16))


@pytest.mark.parametrize(
    "text, match",
    [
        ("lasers: 3", "lasers: needs a list"),
        ("lasers: [{laser_id: 0}]", "needs 16 of a VLP-16, got 1"),
        (sixteen("{laser_id: 0, rot_correction: 0, vert_correction: 0}"), "once, got 0"),
        (sixteen("{laser_id: N, rot_correction: 0}"), "vert_correction: needs an angle"),
        (sixteen("{laser_id: N, rot_correction: x, vert_correction: 0}"), "got x"),
    ],
)
def test_wrong_tables(tmp_path, text, match):
    path = tmp_path / "lasers.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=match):
        calibration.read(path, MODELS["VLP-16"])


@pytest.mark.data
def test_the_golden_scan(shared_data):
    """Of tier4/nebula, a dual return scan: which of its points are ours, and why the others differ."""
    folder = shared_data / "pcap" / "velodyne_vlp16"
    (pcd,) = folder.glob("*.pcd")
    raw = pcd.read_bytes()
    fields = ["x", "y", "z", "intensity", "return_type", "channel", "azimuth", "elevation", "distance", "time_stamp"]
    dtype = np.dtype(list(zip(fields, ["<f4", "<f4", "<f4", "u1", "u1", "<u2", "<f4", "<f4", "<f4", "<u4"], strict=True)))
    golden = np.frombuffer(raw, dtype, offset=raw.index(b"DATA binary\n") + 12)
    assert len(golden) == 14_831
    readings = readings_of(Recorded, RecordedConfig(file=str(folder / "1673400471837873222")))
    assert [len(r.values["points"]) for r in readings] == [14_829, 14_821, 14_845, 14_879]
    assert all(r.meta["points"]["packets_lost"] == 0 and r.meta["points"]["dual_return"] for r in readings)
    points, rings = readings[3].values["points"], readings[3].values["point_rings"]
    # each of its points is one of ours: same ring, distance (2 mm steps), intensity; turned about z by up to 0.42 degrees
    columns = [15.0 - golden["channel"], golden["distance"] / 0.002, golden["intensity"] * 1.0]
    azimuth = np.degrees(golden["azimuth"].astype(float))
    theirs = np.stack([*(c * 10 for c in columns), azimuth], 1)
    away = np.linalg.norm(points[:, :3], axis=1) / 0.002
    ours_azimuth = np.degrees(np.arctan2(-points[:, 1], points[:, 0])) % 360
    ours = np.stack([rings * 10.0, away * 10, points[:, 3] * 2550, ours_azimuth], 1)
    apart, _ = cKDTree(np.round(ours, 3)).query(theirs, p=np.inf)
    assert apart.max() < 0.45
    xyz = np.stack([golden["x"], golden["y"], golden["z"]], 1)
    apart_m, _ = cKDTree(points[:, :3]).query(xyz)
    # it does not interpolate the last of the 6 columns of a packet, and gives second returns the azimuth of the next column
    assert (apart_m < 1e-5).sum() >= 12_000 and apart_m.max() < 0.05


@pytest.mark.data
def test_single_and_position_packets(shared_data):
    folder = shared_data / "pcap" / "velodyne_packets"
    (reading,) = readings_of(Recorded, RecordedConfig(file=str(folder / "single.pcap"), partial_scans=True))
    assert len(reading.values["points"]) > 100 and reading.meta["points"]["packets"] == 1
    found = position.read((folder / "position.pcap").read_bytes()[-512:])
    assert found.pps == "locked" and found.valid and found.locked and found.nmea.startswith("$GPRMC,214106,A")
    assert found.text() == "GPS: pulse locked, fix"


def test_position_packets_without_a_receiver():
    assert position.read(bytes(512)).text() == "GPS: pulse absent, no receiver"
    text = b"$GPRMC,214106,V,3707.8178,N,12139.2690,W,010.3,188.2,230715,013.8,E,D*12"
    data = bytes(202) + b"\x01\0\0\0" + text + bytes(512 - 206 - len(text))
    assert position.read(data).text() == "GPS: pulse synchronizing, no fix"
    assert position.read(data.replace(b"D*12", b"D*13")).nmea == ""
