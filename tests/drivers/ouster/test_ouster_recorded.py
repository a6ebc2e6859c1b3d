import hashlib
import importlib.util
import json
import logging
import re

import numpy as np
import pytest
from ouster_files import SERIAL, Made, metadata, write_capture

from drivers.ouster.recorded import Recorded, RecordedConfig
from drivers.ouster.scans import PORTS
from drivers.ouster.sdk import Sensor
from drivers.pcap import Pcap
from pipeline.errors import GraphError, InputError
from pipeline.graph.check import check
from pipeline.graph.load import load
from pipeline.testing import run_source

PROFILES = [
    "LEGACY", "RNG19_RFL8_SIG16_NIR16", "RNG19_RFL8_SIG16_NIR16_DUAL", "RNG15_RFL8_NIR8", "RNG15_RFL8_NIR8_DUAL",
    "FUSA_RNG15_RFL8_NIR8_DUAL", "RNG15_RFL8_NIR8_ZONE16", "RNG15_RFL8_WIN8", "RNG19_RFL8_SIG16_ZONE16_DUAL",
]  # fmt: skip
GOLDEN = "pcap/ouster/OS-0-128-U1_v2.3.0_1024x10"


def expected(sdk, frame, strength="REFLECTIVITY", strongest=255.0):
    """x y z intensity time ring of each return, column by column: from the SDK's own table of points."""
    info = frame.sensor_info
    rows = []
    for n in ("", "2"):
        if frame.has_field(f"RANGE{n}"):
            xyz = sdk.XYZLut(info, False)(frame.field(f"RANGE{n}"))
            row, column = np.nonzero(frame.field(f"RANGE{n}"))
            light = np.minimum(frame.field(f"{strength}{n}")[row, column] / strongest, 1)
            rows += [(frame.timestamp[c], r, n, *xyz[r, c], i) for r, c, i in zip(row, column, light, strict=True)]
    rows.sort(key=lambda row: row[:3])
    last = max(int(t) for t, status in zip(frame.timestamp, frame.status, strict=True) if status & 1)
    return np.array([(*xyz, i, (int(t) - last) * 1e-9, ring) for t, ring, _, *xyz, i in rows], np.float64).reshape(-1, 6)


def played(config, **more):
    return run_source(Recorded, config, wanted=list(PORTS), **more)


def table(reading):
    return np.column_stack([reading.values[port] for port in ("points", "point_times", "point_rings")])


def capture(folder, text, arrivals, name="drive", **more):
    folder.joinpath(f"{name}.json").write_text(text)
    return {"file": str(write_capture(folder / f"{name}.pcap", arrivals, **more))}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile(tmp_path, sdk, profile):
    made = Made(metadata(profile=profile), 3)
    readings = played(capture(tmp_path, metadata(profile=profile), made.arrivals()))
    assert len(readings) == 3
    for frame, reading in zip(made.frames, readings, strict=True):
        np.testing.assert_allclose(table(reading), expected(sdk, frame), rtol=0, atol=2e-5)
        facts = reading.meta["points"]
        assert facts == {
            "clock": "sensor", "packets": 4, "packets_lost": 0, "whole": True, "dual_return": "DUAL" in profile, "thinned": 0,
            "scan": frame.frame_id,
        }  # fmt: skip
    first, second = (reading.stamp_ns for reading in readings[:2])
    assert abs(second - first - 100_000_000) < 100_000
    assert 0 <= made.arrivals()[3][0] - first < 200_000
    assert readings[0].recv_ns == 0  # as a recording's: the engine takes the present


@pytest.mark.data
def test_the_recorded_scan_has_the_digests_of_its_makers(shared_data, sdk):
    """Every field of every packet and of the scan; and the points are those of the SDK."""
    base = shared_data / GOLDEN
    digest = json.loads(base.with_name(base.name + "_digest.json").read_text())
    where = base.with_name(base.name + ".json")
    sensor = Sensor(where.read_text(), str(where))
    datagrams = [d for d in Pcap(base.with_name(base.name + ".pcap")) if len(d.data) == sensor.packet_bytes]
    assert len(datagrams) == 64
    packets = [sensor.head(d.data, d.stamp_ns) for d in datagrams]
    fields = sensor.decode(packets, "reflectivity")
    hashes = digest["scans"][0]

    def md5(array):
        return hashlib.md5(np.ascontiguousarray(array).tobytes()).hexdigest()

    assert [str(packet.frame_id) for packet in packets] == [hashes["FRAME_ID"]] * 64
    assert md5(fields.ranges[0].T) == hashes["RANGE"]
    assert md5(fields.strengths[0].T.astype(np.uint8)) == hashes["REFLECTIVITY"]
    assert md5(fields.stamps_ns.astype(np.uint64)) == hashes["TIMESTAMP"]
    frame = sdk.LidarFrame(sensor._info)
    batcher = sdk.FrameBatcher(sensor._info)
    for packet in packets:
        batcher.batch(sensor._packet(packet.data, packet.stamp_ns), frame)
    for name in ("RANGE", "REFLECTIVITY", "NEAR_IR"):
        assert md5(frame.field(name)) == hashes[name]
    assert md5(frame.measurement_id) == hashes["MEASUREMENT_ID"]
    assert md5(frame.status.astype(np.uint64)) == hashes["STATUS"]

    (reading,) = played({"file": str(base) + ".pcap"})
    points, rings = reading.values["points"], reading.values["point_rings"]
    assert points.shape == (97299, 4)
    np.testing.assert_allclose(table(reading), expected(sdk, frame), rtol=0, atol=2e-5)
    assert points[rings == 0, 2].mean() > 4 > -0.3 > points[rings == 127, 2].mean()  # z up, ring 0 the highest
    assert reading.meta["points"]["whole"] and reading.meta["points"]["packets_lost"] == 0


def test_first_column_looks_backwards_and_turns_clockwise(sdk):
    """Ouster's manual: encoder 0 is the side of the connector, which is at -x; the turn is clockwise seen from above."""
    sensor = Sensor(metadata(beam_azimuth_angles=[0] * 16), "m.json")
    azimuth = np.degrees(np.arctan2(sensor.direction[:, 8, 1], sensor.direction[:, 8, 0]))
    assert abs(abs(azimuth[0]) - 180) < 0.01
    np.testing.assert_allclose((azimuth[0] - azimuth[16]) % 360, 90, atol=0.01)


@pytest.mark.parametrize(
    ("clock", "name"),
    [("TIME_FROM_INTERNAL_OSC", "sensor"), ("TIME_FROM_SYNC_PULSE_IN", "gps"), ("TIME_FROM_PTP_1588", "ptp")],
)
@pytest.mark.parametrize("new", [False, True])
def test_what_the_stamps_follow(sdk, clock, name, new):
    assert Sensor(metadata(new=new, clock=clock), "m.json").clock == name


def test_signal_a_window_and_a_limit_of_points(tmp_path, sdk):
    text = metadata(columns=128, window=(100, 43))
    made = Made(text, 2)
    config = capture(tmp_path, text, made.arrivals()) | {"intensity": "signal"}
    readings = played(config)
    for frame, reading in zip(made.frames, readings, strict=True):
        np.testing.assert_allclose(table(reading), expected(sdk, frame, "SIGNAL", 4095.0), rtol=0, atol=2e-5)
        assert reading.meta["points"]["whole"]
    few = played(config | {"max_points": 100})
    assert len(few[0].values["points"]) == 100
    assert few[0].meta["points"]["thinned"] == len(readings[0].values["points"]) - 100
    assert set(map(tuple, few[0].values["points"])) <= set(map(tuple, readings[0].values["points"]))
    assert Recorded.slot_bytes(RecordedConfig(file="f", max_points=100)) == {
        "points": 2048, "point_times": 512, "point_rings": 128,
    }  # fmt: skip


def test_lost_reordered_and_foreign_packets(tmp_path, sdk, caplog):
    text = metadata()
    made = Made(text, 6)
    arrivals = made.arrivals()
    del arrivals[9]  # of scan 2
    arrivals[14], arrivals[17] = arrivals[17], arrivals[14]  # over the border of scans 3 and 4, counted from 0
    arrivals.insert(5, (arrivals[5][0], b"x" * 48))  # as long as one of the IMU
    arrivals.insert(9, (arrivals[9][0], b"x" * 1000))
    arrivals.insert(11, arrivals[10])
    with caplog.at_level(logging.WARNING):
        readings = played(capture(tmp_path, text, arrivals), name="lidar")
    assert [reading.meta["points"]["packets_lost"] for reading in readings] == [0, 0, 1, 0, 0, 0]
    for k, (frame, reading) in enumerate(zip(made.frames, readings, strict=True)):
        rows = expected(sdk, frame)
        if k == 2:
            rows = rows[(rows[:, 4] + 0.1 * 63 / 64 + 1e-4) // 0.025 != 1]  # columns 16 to 31
        np.testing.assert_allclose(table(reading), rows, rtol=0, atol=2e-5)
    (line,) = caplog.messages
    assert line == (
        "1 packets lost; 1 packets too late or doubled; 1 packets of something else: "
        f"needs packets of 3328 bytes (OS-1-16 {SERIAL}, RNG19_RFL8_SIG16_NIR16, 64x10), got 1000 bytes"
    )


def test_a_capture_that_begins_and_ends_within_a_scan(tmp_path, sdk):
    text = metadata()
    arrivals = Made(text, 3).arrivals()
    readings = played(capture(tmp_path, text, arrivals[2:-1]))
    facts = [(r.meta["points"]["whole"], r.meta["points"]["packets_lost"]) for r in readings]
    assert facts == [(False, 0), (True, 0), (False, 0)]
    assert [r.meta["points"]["scan"] for r in played({"file": str(tmp_path / "drive.pcap"), "partial_scans": False})] == [101]
    later = played(capture(tmp_path, text, arrivals[2:-1]), start=1)
    assert [(r.item, r.stamp_ns) for r in later] == [(r.item, r.stamp_ns) for r in readings[1:]]


def test_packets_without_any_return(tmp_path, sdk):
    text = metadata()
    made = Made(text, 1)
    made.frames[0].field("RANGE")[:] = 0
    layout = sdk.PacketFormat(made.info)
    packets = [bytes(p.buf) for p in sdk.frame_to_packets(made.frames[0], layout, 77, SERIAL)]
    made.packets = [[p for p in packets if len(p) == layout.lidar_packet_size]]
    (reading,) = played(capture(tmp_path, text, made.arrivals()))
    assert table(reading).shape == (0, 6)


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("", "needs the sensor's metadata as JSON, got"),
        ("[1]", "needs the sensor's metadata, a JSON object, got other JSON"),
        ("{}", "needs the metadata of an Ouster sensor, got: Critical Metadata Issues Exist"),
        (metadata()[:200], "needs the sensor's metadata as JSON, got"),
        (metadata(profile="RNG99"), "needs a UDP profile that ouster-sdk knows, got 'RNG99'; a newer ouster-sdk?"),
        (metadata(beam_altitude_angles=[1, 2]), "Must have beam angle 16 elements"),
        (metadata(profile="FIVE_WORD_PIXEL"), "needs a UDP profile with ranges, got FIVE_WORD_PIXEL"),
        (
            metadata(profile="RNG15_RFL8_NIR8"),
            "needs a UDP profile with signal, got OS-1-16 .*; it has reflectivity",
        ),
    ],
)
def test_metadata_that_are_none(tmp_path, sdk, text, needs):
    config = capture(tmp_path, text, []) | {"intensity": "signal"}
    with pytest.raises(InputError, match=needs) as caught:
        played(config)
    assert "\n" not in str(caught.value)


def test_captures_of_something_else(tmp_path, sdk):
    text = metadata()
    empty = capture(tmp_path, text, [])
    with pytest.raises(InputError, match=r"drive.pcap: needs packets of OS-1-16 .*, got none in 0 datagrams; is .*json of this"):
        played(empty)
    other = Made(metadata(profile="LEGACY"), 1).arrivals()
    with pytest.raises(
        InputError, match=r"needs packets of 3328 bytes \(OS-1-16.*got 3392 bytes on port 7502; is .*of this sensor"
    ):
        played(capture(tmp_path, text, other))
    unit = Made(metadata(prod_sn="992200000008"), 1).arrivals()
    with pytest.raises(InputError, match=rf"needs packets of sensor {SERIAL}, of which the metadata are, got .* 992200000008"):
        played(capture(tmp_path, text, unit))
    with pytest.raises(InputError, match=r"got none in 0 datagrams"):
        played(capture(tmp_path, text, Made(text, 1).arrivals()) | {"port": 7777})
    with pytest.raises(InputError, match=re.escape(str(tmp_path / "gone.json"))):
        played(empty | {"metadata": str(tmp_path / "gone.json")})


@pytest.mark.parametrize("driver", ["ouster", "ouster.recorded"])
def test_check_names_the_missing_package(monkeypatch, tmp_path, driver):
    found = importlib.util.find_spec

    def without(name, package=None):
        if name.partition(".")[0] == "ouster":
            raise ModuleNotFoundError(name=name)
        return found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    key = "metadata" if driver == "ouster" else "file"
    path = tmp_path / "g.yaml"
    lidar, end = f"{{driver: {driver}, config: {{{key}: m}}}}", "{op: test.null, inputs: {in: lidar.points}}"
    path.write_text(f"version: 1\nnodes:\n  lidar: {lidar}\n  end: {end}\n")
    with pytest.raises(GraphError) as caught:
        check(load(str(path), []))
    needs = f"{driver}: needs ouster-sdk, which is not installed; pip install 'perception-pipe[ouster]'"
    assert str(caught.value) == f"{path}:3: lidar: {needs}"


@pytest.mark.parametrize(
    ("config", "needs"),
    [
        ({}, "file: needs a capture file, got none"),
        ({"file": "a", "intensity_max": 0.0}, "intensity_max: needs a number above 0, got 0"),
        ({"file": "a", "intensity_max": float("nan")}, "intensity_max: needs a number above 0, got nan"),
        ({"file": "a", "max_points": 0}, "max_points: needs 1 .. 200000, got 0"),
    ],
)
def test_wrong_config(config, needs):
    with pytest.raises(ValueError, match=needs):
        RecordedConfig(**config)
