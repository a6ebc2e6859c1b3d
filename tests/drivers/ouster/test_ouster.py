"""The live driver on loopback: packets made by tests, sent at the sensor's rate and twice that."""

import contextlib
import http.server
import logging
import random
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from ouster_files import SERIAL, Made, metadata

from drivers.datagram import Datagram
from drivers.live import Lost
from drivers.ouster import reader as reader_file
from drivers.ouster.reader import MOST_MISFITS, Ouster, OusterConfig, port_of
from drivers.ouster.recorded import Recorded
from drivers.ouster.scans import PORTS, ScanConfig, Scans
from drivers.ouster.sdk import Sensor
from drivers.pcap import Pcap
from pipeline.errors import InputError, RunError
from pipeline.operator import attach, prepare
from pipeline.testing import run_source


def free_port():
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as made:
        made.bind(("127.0.0.1", 0))
        return made.getsockname()[1]


def send(port, datagrams, gap_s):
    """From a thread, each `gap_s` after the one before."""

    def run():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
            due = time.monotonic()
            for data in datagrams:
                time.sleep(max(0.0, due - time.monotonic()))
                made.sendto(data, ("127.0.0.1", port))
                due += gap_s

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.fixture
def lidar(tmp_path, monkeypatch):
    """lidar(text) -> the driver, opened; its statuses are in `said`. No pause of a busy machine ends a turn."""
    nodes = []
    monkeypatch.setattr(reader_file, "SILENT_TURNS", 600.0)

    def make(text=None, **config):
        if text is not None:
            tmp_path.joinpath("m.json").write_text(text)
            config["metadata"] = str(tmp_path / "m.json")
        config = {"source": f"udp://127.0.0.1:{free_port()}", "lost_s": 60.0, "stale_s": 60.0} | config
        node = prepare(Ouster(), "lidar", OusterConfig(**config))
        node.said = []
        attach(node, show=node.said.append)
        node.open()
        node._connect()
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.close()


def read_all(node, made):
    """Readings until the last scan has come."""
    out = []
    while not out or out[-1].meta["points"]["scan"] != made.frames[-1].frame_id:
        out.append(node.read())
    return out


def alone(text, made):
    """The readings of the same packets, none lost, without a network: scan -> points, times, rings"""
    taken = Scans(Sensor(text, "m.json"), ScanConfig())
    out = {}
    for packets in made.packets:
        for turn in [t for data in packets for t in taken.take(datagram(data))]:
            out[turn.frame_id] = taken.reading(turn, "", lambda _, __, shape, dtype: np.empty(shape, dtype)).values
    return out


def datagram(data):
    return Datagram(time.time_ns(), data, "127.0.0.1", 7502)


def check(readings, expected, lost):
    """lost: scan -> columns that were not sent, of 64"""
    for reading in readings:
        facts = reading.meta["points"]
        whole, missing = expected[facts["scan"]], lost.get(facts["scan"], [])
        columns = np.round((whole["point_times"] + 0.1) * 640).astype(int) - 1
        kept = ~np.isin(columns // 16, [column // 16 for column in missing])
        for port in ("points", "point_rings"):
            np.testing.assert_array_equal(reading.values[port], whole[port][kept])
        assert facts["packets_lost"] == len(missing)


@pytest.mark.parametrize("speed", [1, 2])
def test_over_loopback_with_loss_and_reordering(sdk, lidar, speed):
    """Every scan is equal but for the lost columns; each is sent once, or counted as skipped."""
    text = metadata()
    made = Made(text, 10)
    expected = alone(text, made)
    packets = [(k, 16 * n, data) for k, turn in enumerate(made.packets) for n, data in enumerate(turn)]
    draw = random.Random(speed)
    lost = {103: [16], 105: [0], 106: [32, 48]}
    packets = [(k, column, data) for k, column, data in packets if column not in lost.get(100 + k, [])]
    for at in range(3, len(packets) - 4, 5):
        other = at + draw.randrange(1, 4)
        packets[at], packets[other] = packets[other], packets[at]
    node = lidar(text)
    sender = send(port_of(node.config.source)[0], [data for *_, data in packets], 0.025 / speed)
    readings = read_all(node, made)
    sender.join()
    check(readings, expected, lost)
    skipped = node._counts.get("dropped at the source", 0)
    assert len(readings) + skipped == 10
    assert node._scans.lost == 4 and node._scans.frames.late == 0
    node.close()
    assert "4 packets lost" in node.said[-1]
    ends = np.diff([reading.stamp_ns for reading in readings]) / np.diff([r.meta["points"]["scan"] for r in readings])
    assert (ends > 0).all()


@pytest.mark.data
def test_the_recorded_scan_at_twice_the_rate(sdk, lidar, shared_data):
    """From the network as from the capture; then again and again, with the same number."""
    base = str(shared_data / "pcap/ouster/OS-0-128-U1_v2.3.0_1024x10")
    (expected,) = run_source(Recorded, {"file": f"{base}.pcap"}, wanted=list(PORTS))
    node = lidar(metadata=f"{base}.json")
    packets = [d.data for d in Pcap(Path(f"{base}.pcap"), port=7502)]
    assert len(packets) == 64
    sender = send(port_of(node.config.source)[0], packets * 3, 0.05 / 64)
    sent = 0
    while sent < 3:
        reading = node.read()
        sent = 1 + int(reading.item)
        for port in ("points", "point_times", "point_rings"):
            np.testing.assert_array_equal(reading.values[port], expected.values[port])
        assert reading.meta == expected.meta
    sender.join()


@pytest.mark.slow
def test_the_largest_scans_at_twice_the_rate(sdk, lidar):
    """128 beams, 1024 columns, two returns: 42 MB/s."""
    text = metadata(beams=128, columns=1024, profile="RNG19_RFL8_SIG16_NIR16_DUAL")
    made = Made(text, 20)
    expected = alone(text, made)
    node = lidar(text)
    sender = send(port_of(node.config.source)[0], [data for turn in made.packets for data in turn], 0.05 / 64)
    readings = read_all(node, made)
    sender.join()
    check(readings, expected, {})
    assert node._scans.lost == node._receiver.lost == 0
    assert len(readings) + node._counts.get("dropped at the source", 0) == 20


def test_a_silent_sensor_ends_its_scan(sdk, lidar, monkeypatch):
    text = metadata()
    made = Made(text, 1)
    node = lidar(text)
    monkeypatch.setattr(reader_file, "SILENT_TURNS", 1.0)
    send(port_of(node.config.source)[0], made.packets[0][1:3], 0.0).join()
    reading = node.read()
    assert reading.meta["points"] == {
        "clock": "sensor", "packets": 2, "packets_lost": 0, "whole": False, "dual_return": False, "thinned": 0, "scan": 100,
    }  # fmt: skip
    assert (reading.item, reading.frame_id) == ("000000", None)


def test_scans_that_wait_are_skipped_and_counted(sdk, lidar):
    text = metadata()
    made = Made(text, 4)
    node = lidar(text)
    send(port_of(node.config.source)[0], [data for turn in made.packets for data in turn], 0.0).join()
    time.sleep(0.2)
    readings = read_all(node, made)
    assert len(readings) + node._counts.get("dropped at the source", 0) == 4
    assert readings[-1].frame_id in (3, None)
    assert readings[-1].item == "000003"


@pytest.mark.parametrize(
    ("other", "needs"),
    [
        (metadata(profile="LEGACY"), r"needs packets of 3328 bytes \(OS-1-16 .*got 3392 bytes; set config.metadata to the file"),
        (metadata(prod_sn="992200000008"), rf"needs packets of sensor {SERIAL}.*got those of 992200000008; set config.metadata"),
    ],
)
def test_packets_of_another_sensor(sdk, lidar, other, needs):
    """A few are malformed; many in a row are the wrong metadata."""
    text = metadata()
    node = lidar(text)
    wrong, right = Made(other, 1).packets[0], Made(text, 1)
    send(port_of(node.config.source)[0], wrong * 3 + right.packets[0], 0.0).join()
    assert node.read().meta["points"]["whole"]
    assert node._counts["malformed"] == 12
    send(port_of(node.config.source)[0], wrong * (MOST_MISFITS // 4), 0.0).join()
    with pytest.raises(RunError, match=f"lidar: {needs}"):
        node.read()


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status, text = self.server.answer
        self.server.paths.append(self.path)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args):
        pass


@pytest.fixture
def sensor():
    """A server that answers as a sensor's does: `answer`, `paths`, `address`"""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.paths, server.address = [], f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_sensor_is_asked_for_its_metadata(sdk, lidar, sensor, monkeypatch):
    text = metadata(new=True, clock="TIME_FROM_PTP_1588")
    sensor.answer = (200, text)
    monkeypatch.setattr(reader_file, "_number_of", lambda address: "127.0.0.1")
    node = lidar(address=sensor.address)
    assert sensor.paths == ["/api/v1/sensor/metadata"]
    made = Made(text, 1)
    send(port_of(node.config.source)[0], made.packets[0], 0.0).join()
    assert node.read().meta["points"]["clock"] == "ptp"
    assert any("stamps by PTP time" in line for line in node.said)


def test_a_sensor_that_does_not_answer_is_waited_for(sdk, sensor):
    sensor.answer = (404, "")
    with pytest.raises(Lost, match=r"needs the sensor's metadata, got 404 Not Found; firmware before 2.1 has no such page"):
        reader_file._ask(sensor.address)
    with pytest.raises(Lost, match=r"http://127.0.0.1:1/api/v1/sensor/metadata: .*refused"):
        reader_file._ask("127.0.0.1:1")


@pytest.mark.parametrize(
    ("config", "needs"),
    [
        ({}, r"metadata: needs the sensor's json file, or config.address of the sensor, got neither"),
        ({"metadata": "m", "source": "udp://0.0.0.0:70000"}, r"source: needs udp://HOST:PORT, got 'udp://0.0.0.0:70000'"),
        (
            {"metadata": "m", "source": "a.pcap"},
            r"source: needs udp://HOST:PORT, got 'a.pcap'; a capture file: driver",
        ),
        ({"metadata": "m", "buffer_mb": 0.0}, r"buffer_mb: needs more than 0, at most 1024, got 0"),
        ({"metadata": "m", "stale_s": -1.0}, r"stale_s"),
        ({"metadata": "m", "max_points": 10**7}, r"max_points: needs 1 .. 200000, got 10000000"),
    ],
)
def test_wrong_config(config, needs):
    with pytest.raises(ValueError, match=needs):
        OusterConfig(**config)


def test_a_port_in_use(sdk, tmp_path):
    tmp_path.joinpath("m.json").write_text(metadata())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        config = {"metadata": str(tmp_path / "m.json"), "source": f"udp://127.0.0.1:{port}"}
        with pytest.raises(InputError, match=rf"lidar.config.source: needs UDP port {port}, got: Address already in use"):
            run_source(
                Ouster,
                config,
                name="lidar",
                wanted=list(PORTS),
            )


def test_the_clock_of_a_sensor_that_started_anew(sdk, lidar, caplog):
    """Its time goes back to 0: the stamps go on, the step is said."""
    text = metadata()
    node = lidar(text)
    port = port_of(node.config.source)[0]
    before, after = Made(text, 2), Made(text, 2, first_id=1, start_ns=1_000_000)
    stamps = []
    with caplog.at_level(logging.WARNING):
        for packets in (*before.packets, *after.packets):
            time.sleep(0.05)
            send(port, packets, 0.0).join()
            if packets is not after.packets[0]:
                stamps.append(node.read().stamp_ns)
    assert stamps == sorted(stamps)
