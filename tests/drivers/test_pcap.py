import re
import struct

import pytest
from capture_files import BE, ethernet, frames, ipv4, ipv6, pcap, pcapng, udp

from drivers import pcap as pcap_module
from drivers.pcap import Pcap
from pipeline.errors import InputError

S, MS = 1_000_000_000, 1_000_000
ONE, TWO = b"one" * 400, b"two" * 400


@pytest.fixture
def capture(tmp_path):
    def make(data, **filters):
        path = tmp_path / "a.pcap"
        path.write_bytes(data)
        return Pcap(path, **filters)

    return make


def payloads(it):
    return [d.data for d in it]


@pytest.mark.parametrize(
    "data",
    [
        pcap(frames([ONE, TWO])), pcap(frames([ONE, TWO]), order=BE), pcap(frames([ONE, TWO]), nanoseconds=True),
        pcapng(frames([ONE, TWO])), pcapng(frames([ONE, TWO]), order=BE), pcapng(frames([ONE, TWO]), resolution=9),
        pcapng(frames([ONE, TWO]), resolution=0x80 | 20),
    ],
)  # fmt: skip
def test_both_formats_orders_and_units_give_the_same_datagrams(capture, data):
    it = capture(data)
    first, second = it
    assert (first.data, first.sender, first.port) == (ONE, "192.168.1.201", 2368) and second.data == TWO
    assert first.stamp_ns == 1000 * S and second.stamp_ns == pytest.approx(1000 * S + MS, abs=1000)
    assert (it.cut, it.incomplete) == ("", 0)
    assert payloads(it) == [ONE, TWO], "a second time"


def test_an_empty_capture(capture):
    assert list(capture(pcap([]))) == list(capture(pcapng([]))) == []


def test_blocks_without_stamps(capture):
    assert payloads(capture(pcapng(frames([ONE]), simple=True))) == [ONE]


@pytest.mark.parametrize(
    ("packet", "link"),
    [
        (ethernet(ipv4(udp(ONE)), trailer=bytes(6)), 1),
        (ethernet(ipv4(udp(ONE)), vlans=[0x8100]), 1),
        (ethernet(ipv4(udp(ONE)), vlans=[0x88A8, 0x8100]), 1),
        (ethernet(ipv4(udp(ONE), options=bytes(8))), 1),
        (ethernet(ipv6(udp(ONE))), 1),
        (ethernet(ipv6(udp(ONE), extension=bytes([17, 0]) + bytes(6), kind=0)), 1),
        (ipv4(udp(ONE)), 101),
        (struct.pack("<I", 2) + ipv4(udp(ONE)), 0),
        (bytes(14) + b"\x08\x00" + ipv4(udp(ONE)), 113),
        (b"\x08\x00" + bytes(18) + ipv4(udp(ONE)), 276),
    ],
)
def test_networks(capture, packet, link):
    assert payloads(capture(pcap([packet], link=link))) == [ONE]


@pytest.mark.parametrize(
    "packet",
    [
        b"", bytes(3), bytes(60), bytes(12) + b"\x08\x06" + bytes(28),  # ARP
        ethernet(ipv4(udp(ONE), protocol=6)), ethernet(ipv4(udp(ONE)))[:40], ethernet(ipv4(udp(ONE)))[:100],
        ethernet(ipv4(udp(ONE, to_cut=9))), ethernet(ipv4(b"")), ethernet(ipv6(b"", kind=6)), ethernet(b"\x90" + bytes(40)),
    ],
)  # fmt: skip
def test_other_packets_are_passed_over(capture, packet):
    assert payloads(capture(pcap([packet, *frames([TWO])]))) == [TWO]


def test_port_and_sender_are_filtered(capture):
    data = pcap([*frames([ONE], port=8308), *frames([TWO]), ethernet(ipv4(udp(b"x"), sender=7))])
    assert payloads(capture(data, port=2368)) == [TWO, b"x"] and payloads(capture(data, port=8308)) == [ONE]
    assert payloads(capture(data, sender="192.168.1.7")) == [b"x"]
    assert payloads(capture(data, port=1)) == []


def fragments(payload, size, number=1):
    body = udp(payload)
    at = range(0, len(body), size)
    return [ethernet(ipv4(body[o : o + size], number=number, offset=o, more=o != at[-1])) for o in at]


def test_fragments_are_put_together_in_any_order(capture):
    big, other = bytes(range(256)) * 100, bytes(reversed(range(256))) * 20
    a, b = fragments(big, 1480, 1), fragments(other, 1480, 2)
    it = capture(pcap([*a[::-1], b[0], *frames([ONE]), *b[1:]], gap_us=1))
    got = list(it)
    assert [d.data for d in got] == [big, ONE, other] and it.incomplete == 0
    assert got[0].stamp_ns == 1000 * S + (len(a) - 1) * 1000, "the stamp of the last fragment that came"


def test_missing_repeated_and_overlapping_fragments(capture, monkeypatch):
    a = fragments(bytes(5000), 1480)
    it = capture(pcap([*a[:2], *a[3:], *frames([ONE])]))
    assert payloads(it) == [ONE] and it.incomplete == 1
    it = capture(pcap([a[0], a[0], *a[1:]]))
    assert payloads(it) == [bytes(5000)] and it.incomplete == 0
    monkeypatch.setattr(pcap_module, "MAX_FRAGMENTED", 3)
    it = capture(pcap([fragments(ONE * 2, 1480, n)[0] for n in range(10)]))
    assert payloads(it) == [] and it.incomplete == 10


@pytest.mark.parametrize("data", [pcap(frames([ONE[:99], TWO[:99]])), pcapng(frames([ONE[:99], TWO[:99]]), order=BE)])
def test_a_file_cut_anywhere_plays_what_is_whole(capture, data):
    whole, uncut = 0, 0
    for end in range(50, len(data), 7):
        it = capture(data[:end])
        got = payloads(it)
        assert got == [ONE[:99], TWO[:99]][: len(got)] and len(got) >= whole
        whole, uncut = len(got), uncut + (it.cut == "")
        assert it.cut == "" or re.fullmatch(rf"{it.path}: ends within the record at byte \d+; the datagrams.* are whole", it.cut)
    assert uncut <= 3, "only between two records"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"a.pcap: needs a capture file \(pcap, pcapng\), got an empty file; copied incompletely, or compressed\?"),
        (b"\x1f\x8b\x08\0abc", r"got one that begins with 1f 8b 08 00"),
        (pcap([])[:20], "a.pcap: needs a head of 24 bytes, got 20; copied incompletely"),
        (
            pcap([]) + struct.pack("<4I", 1, 2, 1 << 30, 5),
            "a.pcap: byte 24: needs a packet of at most 262144 bytes, got 107374182",
        ),
        (pcapng([]) + struct.pack("<III", 6, 7, 0), "needs a block of 12 bytes or more, a multiple of 4, got 7; damaged"),
        (pcapng([]) + struct.pack("<10I", 6, 40, 9, 0, 0, 4, 4, 0, 0, 40), "needs a packet of one of 1 interfaces"),
    ],
)
def test_what_is_no_capture_or_damaged_is_one_line(capture, data, message):
    with pytest.raises(InputError, match=message) as error:
        list(capture(data))
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"no.pcap"):
        list(Pcap(tmp_path / "no.pcap"))


@pytest.mark.data
def test_recorded_captures(shared_data):
    """velodyne_decoder's packets and one Ouster scan, whose frames are of 8 KB."""
    (packet,) = Pcap(shared_data / "pcap/velodyne_packets/single.pcap", port=2368)
    assert (packet.stamp_ns, len(packet.data), packet.sender) == (1437687665703255000, 1206, "192.168.1.200")
    (position,) = Pcap(shared_data / "pcap/velodyne_packets/position.pcap")
    assert (len(position.data), position.port) == (512, 8308)
    scan = Pcap(shared_data / "pcap/ouster/OS-0-128-U1_v2.3.0_1024x10.pcap", port=7502)
    sizes = [len(d.data) for d in scan]
    assert sizes and set(sizes) == {8448} and not scan.cut
