"""Order of time, loss, turns: packets made by the manual's layout."""

import numpy as np
import pytest
from velodyne_scans import HOST_NS, cloud_of, scans_of

from drivers.velodyne.encode import encode, turning
from drivers.velodyne.models import MODELS, WrongModel
from drivers.velodyne.scans import Scans

VLP_16 = MODELS["VLP-16"]


def clouds(scans):
    return [cloud_of(scan)[0] for scan in scans.ready if scan.whole]


def test_no_packet_no_scan():
    scans = scans_of([])
    assert not scans.ready and scans.model is None


def test_scans_begin_and_end_at_the_cut(vlp16):
    scans = scans_of(vlp16)
    assert [scan.whole for scan in scans.ready] == [False, True, True, False]
    assert scans.lost == scans.late == scans.wrong == 0 and scans.model.name == "VLP-16"
    ends = np.diff([scan.end_ns for scan in scans.ready])[:2]
    assert abs(ends - 100e6).max() < 60_000  # an hour ends in the first
    for points in clouds(scans):
        azimuth = np.degrees(np.arctan2(-points[:, 1], points[:, 0])) % 360
        assert (azimuth[0] < 0.5 and azimuth[-1] > 359) or azimuth[-1] < 0.5
    total = sum(len(cloud_of(scan)[0]) for scan in scans.ready)
    assert total == sum(len(cloud_of(scan)[0]) for scan in scans_of(vlp16, cut_deg=123.45).ready)  # no point twice, none missing


@pytest.mark.parametrize("cut_deg, first", [(0, 0), (180, 180), (-90, 270), (359.99, 359.99)])
def test_cut_angle(vlp16, cut_deg, first):
    points = clouds(scans_of(vlp16, cut_deg=cut_deg))[0]
    azimuth = np.degrees(np.arctan2(-points[:, 1], points[:, 0]))
    assert (azimuth[0] - first) % 360 < 0.6


def test_a_scan_is_ready_with_its_last_packet(vlp16):
    scans, ready = Scans(None), []
    for ns, data in vlp16:
        scans.push(data, HOST_NS + ns)
        ready.append(len(scans.ready))
    assert ready[-1] == 3
    last = [n for n in range(1, len(ready)) if ready[n] > ready[n - 1]]
    assert [scan.arrival_ns - HOST_NS for scan in scans.ready] == [vlp16[n][0] for n in last]


@pytest.mark.parametrize("name", [name for name in MODELS if name != "Puck LITE"])
@pytest.mark.parametrize("dual", [False, True])
def test_every_model_turns_and_loses_nothing(name, dual):
    model = MODELS[name]
    scans = scans_of(list(turning(model, 1.3, dual=dual, start_deg=320)), model)
    assert [scan.whole for scan in scans.ready] == [False, True, False]
    assert scans.lost == scans.wrong == 0 and scans.ready[1].dual is dual


def test_lost_packets_are_counted_for_their_scan(vlp16):
    rng = np.random.default_rng(5)
    gone = set(rng.choice(np.arange(1, len(vlp16) - 1), 20, replace=False).tolist())
    whole, left = scans_of(vlp16), scans_of([p for n, p in enumerate(vlp16) if n not in gone])
    assert left.lost == sum(scan.lost for scan in left.ready) == 20
    for before, after in zip(whole.ready, left.ready, strict=True):
        assert abs(len(before.packets) - len(after.packets) - after.lost) <= 1  # one at the cut belongs to both
        kept = {tuple(row) for row in cloud_of(before)[0].tolist()}
        assert sum(tuple(row) not in kept for row in cloud_of(after)[0].tolist()) == 0


def test_reordered_and_repeated_packets_give_the_same_scans(vlp16):
    mixed = list(vlp16)
    for n in range(1, len(mixed) - 4, 3):
        mixed[n], mixed[n + 2] = mixed[n + 2], mixed[n]
    mixed = [p for packet in mixed for p in ((packet, packet) if packet[0] % 7 == 0 else (packet,))]
    straight, scans = scans_of(vlp16), Scans(None)
    for ns, data in mixed:
        scans.push(data, HOST_NS + ns)
    scans.flush()
    assert scans.lost == scans.late == 0
    for a, b in zip(clouds(straight), clouds(scans), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_packet_that_comes_too_late_is_lost(vlp16):
    late = [*vlp16[:50], *vlp16[51:80], vlp16[50], *vlp16[80:]]
    scans = scans_of(late)
    assert (scans.lost, scans.late) == (1, 1)


def test_a_gap_of_a_turn_joins_no_scans(vlp16):
    scans = scans_of(vlp16[:60] + vlp16[150:])
    assert [scan.whole for scan in scans.ready] == [False] * 4
    assert scans.lost == 90
    assert all(scan.starts_ns[-1] - scan.starts_ns[0] < 105e6 for scan in scans.ready)


@pytest.mark.parametrize("step_us", [-400_000, 300_000, 1_200_000_000])
def test_a_clock_that_is_set_loses_few(vlp16, step_us):
    """The packets after it have other times; those within 16 of a step back are left out."""
    later = []
    for ns, data in vlp16[100:]:
        us = (int.from_bytes(data[1200:1204], "little") + step_us) % 3_600_000_000
        later.append((ns, data[:1200] + us.to_bytes(4, "little") + data[1204:]))
    scans = scans_of(vlp16[:100] + later)
    assert scans.late <= 16
    assert any(scan.whole for scan in scans.ready)


def test_what_is_no_packet_is_counted(vlp16):
    bad = bytearray(vlp16[3][1])
    bad[200:202] = b"\0\0"
    far = bytearray(vlp16[4][1])
    far[2:4] = (36_000).to_bytes(2, "little")
    hour = vlp16[5][1][:1200] + (3_600_000_000).to_bytes(4, "little") + vlp16[5][1][1204:]
    other = vlp16[6][1][:-1] + b"\x28"
    cut = vlp16[7][1][:1000]
    packets = [(vlp16[0][0], d) for d in (vlp16[0][1], bytes(bad), bytes(far), hour, other, cut, b"")]
    scans = scans_of(packets)
    assert scans.wrong == 6 and len(scans.ready) == 1
    for data, text in (
        (bad, "blocks that begin"),
        (far, "below 360"),
        (hour, "below an hour"),
        (other, "0x28"),
        (cut, "got 1000"),
    ):
        assert text in scans_of([vlp16[0], (0, bytes(data))]).why_wrong


@pytest.mark.parametrize(
    "factory, model, text",
    [
        (0x28, "VLP-16", r"needs packets of a VLP-16, got VLP-32C \(factory byte 0x28\)"),
        (0x22, "HDL-64E", "needs packets of a HDL-64E, got VLP-16"),
        (0xA1, None, r"got VLS-128 \(Alpha Prime\)"),
        (0x07, None, "got factory byte 0x07; set config.model"),
    ],
)
def test_wrong_model(factory, model, text):
    data = encode(VLP_16, 0, np.arange(12), np.ones((12, 32), int), np.ones((12, 32), int), factory=factory)
    with pytest.raises(WrongModel, match=text):
        scans_of([(0, data)], model and MODELS[model])


def test_firmware_without_a_factory_byte_needs_the_model():
    data = encode(MODELS["HDL-32E"], 0, np.arange(12), np.ones((12, 32), int), np.ones((12, 32), int), mode=0, factory=7)
    assert len(scans_of([(0, data)], MODELS["HDL-32E"]).ready) == 1


def test_an_hdl_64e_is_known_by_its_banks():
    packets = list(turning(MODELS["HDL-64E"], 0.1))
    assert scans_of(packets).model.name == "HDL-64E"
    with pytest.raises(WrongModel, match="got two banks of lasers"):
        scans_of(packets, VLP_16)


def test_a_sensor_that_does_not_turn_gives_no_whole_scan_and_takes_no_memory():
    still = list(turning(VLP_16, 0.0265, rate_hz=0.01))
    scans = scans_of(still)
    assert all(not scan.whole and len(scan.packets) < 400 for scan in scans.ready) and len(scans.ready) >= 5
