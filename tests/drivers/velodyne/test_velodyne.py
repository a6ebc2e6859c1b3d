"""The live driver over loopback: a sender's pace, loss and order; what the status says."""

import socket
import threading
import time

import numpy as np
import pytest
from velodyne_scans import HOST_NS, cloud_of, pcap_of, scans_of

from drivers.rosbag2 import Rosbag2
from drivers.velodyne.encode import turning
from drivers.velodyne.models import MODELS
from drivers.velodyne.reader import Velodyne, VelodyneConfig
from pipeline.errors import InputError, RunError
from pipeline.operator import attach, prepare


class Sensor:
    """Sends (ns, packet) to a port of this machine, `rate` times as fast as their times."""

    def __init__(self, packets, rate=1.0):
        self.packets, self.rate = packets, rate

    def __call__(self, port):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            start, first = time.monotonic(), min(ns for ns, _ in self.packets)
            for ns, data in self.packets:
                time.sleep(max(start + (ns - first) * 1e-9 / self.rate - time.monotonic(), 0))
                out.sendto(data, ("127.0.0.1", port))


@pytest.fixture
def live():
    """live(config, sensor) -> readings, last status"""
    running, said = [], [""]

    def run(sensor, count, **kwargs):
        config = VelodyneConfig(source="udp://127.0.0.1:0", position_port=0, **kwargs)
        source = prepare(Velodyne(), "velo", config)
        attach(source, show=lambda text: said.__setitem__(0, text))
        source.open()
        running.append(source)
        source.connect()
        source._link.connect(time.monotonic_ns())
        thread = threading.Thread(target=sensor, args=(source.input.port,))
        thread.start()
        readings = []
        until = time.monotonic() + 20
        while len(readings) < count and time.monotonic() < until:
            readings.append(source.read())
        thread.join()
        return readings, said

    yield run
    for source in running:
        source.close()


@pytest.mark.parametrize("rate", [1, 2])
def test_clouds_over_loopback_equal_those_of_the_packets(live, vlp16, rate):
    expected = [cloud_of(scan) for scan in scans_of(vlp16).ready if scan.whole]
    readings, said = live(Sensor(vlp16, rate), 2)
    for number, (reading, (points, rings, times)) in enumerate(zip(readings, expected, strict=True)):
        np.testing.assert_array_equal(reading.values["points"], points)
        np.testing.assert_array_equal(reading.values["point_rings"], rings)
        np.testing.assert_allclose(reading.values["point_times"], times)
        facts = reading.meta["points"]
        assert (facts["clock"], facts["packets_lost"], facts["dual_return"]) == ("sensor", 0, False)
        assert facts["packets"] in (76, 77)
        assert reading.frame_id is None and reading.item == f"{number:06d}"
        assert abs(time.time_ns() - reading.stamp_ns) < 5e9
    assert "VLP-16" in said[0] and "stamps by the sensor's clock" in said[0] and "partial scans left out" in said[0]


def test_loss_and_order_over_loopback(live, vlp16):
    """Lost packets are counted for their scan; the other points are the same."""
    gone = {40, 41, 100, 130}
    packets = [p for n, p in enumerate(vlp16) if n not in gone]
    for n in range(3, len(packets) - 3, 5):
        packets[n], packets[n + 1] = packets[n + 1], packets[n]
    expected = [(scan.lost, cloud_of(scan)[0]) for scan in scans_of(packets).ready if scan.whole]
    readings, said = live(Sensor(packets), 2)
    assert [r.meta["points"]["packets_lost"] for r in readings] == [lost for lost, _ in expected]
    assert sum(lost for lost, _ in expected) == 4
    for reading, (_, points) in zip(readings, expected, strict=True):
        np.testing.assert_array_equal(reading.values["points"], points)
    assert "packets lost" in said[0]


@pytest.mark.data
@pytest.mark.parametrize("rate, gone", [(1, {200, 201, 333}), (2, set())])
def test_recorded_packets_over_loopback(live, shared_data, rate, gone):
    """Of a real VLP-16 with two returns: its clouds over UDP are those of the recording, which test_the_golden_scan looks at."""
    bag = Rosbag2(shared_data / "pcap" / "velodyne_vlp16" / "1673400471837873222")
    packets = [(datagram.stamp_ns, datagram.data) for n, datagram in enumerate(bag) if n not in gone]
    for n in range(2, len(packets) - 2, 7):
        packets[n], packets[n + 1] = (packets[n][0], packets[n + 1][1]), (packets[n + 1][0], packets[n][1])
    expected = [cloud_of(scan)[0] for scan in scans_of(packets).ready if scan.whole]
    readings, _ = live(Sensor(packets, rate), 4)
    assert [len(r.values["points"]) for r in readings] == [len(points) for points in expected]
    for reading, points in zip(readings, expected, strict=True):
        np.testing.assert_array_equal(reading.values["points"], points)
        assert reading.meta["points"]["dual_return"]
    assert sum(r.meta["points"]["packets_lost"] for r in readings) == len(gone)


def test_malformed_packets_are_counted_and_a_wrong_model_ends(live, vlp16):
    packets = list(vlp16)
    for n in (20, 50, 90):
        packets.insert(n, (packets[n][0], b"what is this"))
    readings, said = live(Sensor(packets, 2), 2)
    assert len(readings) == 2 and "malformed" in said[0] and "needs 1206 bytes, got 12" in said[0]
    with pytest.raises(RunError, match=r"velo: needs packets of a HDL-32E, got VLP-16 \(factory byte 0x22\)"):
        live(Sensor(vlp16[:9]), 1, model="HDL-32E")


def test_a_recording_is_played_at_its_pace(tmp_path):
    packets = list(turning(MODELS["VLP-16"], 1.2, start_deg=330))
    config = VelodyneConfig(source=str(pcap_of(tmp_path / "drive.pcap", packets)))
    Velodyne.find(config)
    source = prepare(Velodyne(), "velo", config)
    source.open()
    began = time.monotonic()
    reading = source.read()
    assert 0.05 < time.monotonic() - began < 5
    assert abs(time.time_ns() - reading.stamp_ns) < 5e9 and reading.stamp_ns != HOST_NS
    assert source.read() is None
    source.close()


@pytest.mark.parametrize(
    "keys, text",
    [
        ({"source": "udp://host"}, "source: needs udp://HOST:PORT or a file"),
        ({"source": "udp://:99999"}, "source: needs udp://HOST:PORT or a file"),
        ({"cut_angle_deg": 400}, "cut_angle_deg: needs"),
        ({"min_range_m": 5, "max_range_m": 4}, "min_range_m: needs"),
        ({"reorder_packets": -1}, "reorder_packets: needs"),
        ({"rate_hz": 0}, "rate_hz: needs"),
        ({"position_port": 70_000}, "position_port: needs"),
        ({"stale_s": 9.0}, "stale_s: needs"),
    ],
)
def test_wrong_keys(keys, text):
    with pytest.raises(ValueError, match=text):
        VelodyneConfig(**keys)


def test_a_port_in_use_is_found_before_the_run():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        config = VelodyneConfig(source=f"udp://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(InputError, match="another program receives there"):
            Velodyne.check_ports("velo", config, frozenset({"points"}), frozenset({"points"}))


def test_slots_hold_two_returns():
    assert Velodyne.slot_bytes(VelodyneConfig()) == {}
    one = Velodyne.slot_bytes(VelodyneConfig(model="VLP-16"))
    assert one["points"] >= 16 * 2 * 28_936 and one["points"] == 16 * one["point_rings"] == 4 * one["point_times"]
