"""Datagrams of a capture file (tcpdump, Wireshark): pcap and pcapng, in the order of the file.

UDP in IPv4 and IPv6, on Ethernet (with VLAN tags), Linux cooked captures, raw IP, loopback. Fragments of IPv4 are put together,
as a LiDAR's packets of more than 1,500 bytes are cut by its network card: the stamp is that of the last one. Everything else in
the file is passed over. Checksums are not looked at: network cards fill them in after the capture.

A file that ends within a record plays what is whole, and `cut` says so: a capture ends like this when tcpdump is killed. A file
that is no capture, or that is damaged in its middle, raises InputError with the position.

Sources: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng, www.tcpdump.org/linktypes.html
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from drivers.datagram import Datagram
from operators import folders
from pipeline.errors import InputError

_PCAP = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000), b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1), b"\xa1\xb2\x3c\x4d": (">", 1),
}  # fmt: skip
"""First bytes -> byte order, ns of a tick."""
_PCAPNG = b"\x0a\x0d\x0d\x0a"
_SECTION, _INTERFACE, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 3, 6
_RESOLUTION, _END_OF_OPTIONS = 9, 0
MAX_RECORD = 1 << 18
"""Larger packets are damage: tcpdump's own limit."""
_HEADS = {1: 12, 113: 14, 276: 0}
"""Link type -> where its EtherType stands: Ethernet, Linux cooked 1 and 2."""
_NULL, _RAW = (0, 108), (12, 14, 101, 228, 229)
_IPV4, _IPV6, _VLANS = 0x0800, 0x86DD, (0x8100, 0x88A8, 0x9100)
_UDP = 17
_EXTENSIONS = (0, 43, 60)
"""IPv6 headers that may stand before UDP: hop-by-hop, routing, destination."""
MAX_FRAGMENTED = 64
"""Datagrams that wait for their other fragments; then the oldest is given up."""


class Pcap:
    """Iterate it for its datagrams. After that:

    cut         "", or a line about the record in which the file ends
    incomplete  fragmented datagrams of which a fragment is missing
    """

    def __init__(self, path: Path, port: int | None = None, sender: str = "") -> None:
        """port: only datagrams sent to this port; sender: only from this address."""
        self.path, self._port, self._sender = path, port, sender
        self.cut = ""
        self.incomplete = 0

    def __iter__(self) -> Iterator[Datagram]:
        self.cut, self.incomplete = "", 0
        with os.fdopen(folders.open_file(self.path), "rb") as file:
            fragments = _Fragments()
            for stamp_ns, link, packet in self._packets(file):
                found = _datagram(stamp_ns, link, packet, fragments)
                if found is not None and self._port in (None, found.port) and self._sender in ("", found.sender):
                    yield found
            self.incomplete = fragments.given_up + len(fragments)

    def _packets(self, file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
        """(stamp_ns, link type, packet) of each record."""
        start = file.read(4)
        if start in _PCAP:
            return self._pcap(file, *_PCAP[start])
        if start == _PCAPNG:
            file.seek(0)
            return self._pcapng(file)
        got = "an empty file" if not start else f"one that begins with {start.hex(' ')}"
        raise InputError(f"{self.path}: needs a capture file (pcap, pcapng), got {got}; copied incompletely, or compressed?")

    def _pcap(self, file: BinaryIO, order: str, tick_ns: int) -> Iterator[tuple[int, int, bytes]]:
        head = file.read(20)
        if len(head) < 20:
            raise InputError(f"{self.path}: needs a head of 24 bytes, got {4 + len(head)}; copied incompletely?")
        link = struct.unpack_from(order + "I", head, 16)[0] & 0xFFFF
        record = struct.Struct(order + "4I")
        while True:
            at = file.tell()
            if not (data := self._whole(file, record.size, at)):
                return
            seconds, ticks, size, _ = record.unpack(data)
            self._check_size(size, at)
            packet = self._whole(file, size, at)
            if packet is None or len(packet) < size:
                return
            yield seconds * 1_000_000_000 + ticks * tick_ns, link, packet

    def _pcapng(self, file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
        order, interfaces = "<", list[tuple[int, int]]()  # link type, ticks per second
        stamp_ns = 0
        while True:
            at = file.tell()
            head = self._whole(file, 12, at)
            if not head:
                return
            if head[:4] == _PCAPNG:
                order = "<" if head[8:] == b"\x4d\x3c\x2b\x1a" else ">"
                interfaces = []
            kind, size = struct.unpack(order + "II", head[:8])
            self._check_size(size - 32, at)
            if size < 12 or size % 4:
                raise self._damaged(at, f"a block of 12 bytes or more, a multiple of 4, got {size}")
            rest = self._whole(file, size - 12, at)
            if rest is None or len(rest) < size - 12:
                return
            body = (head[8:] + rest)[: size - 12]
            if kind == _INTERFACE and len(body) >= 8:
                interfaces.append((struct.unpack_from(order + "H", body)[0], _ticks_per_s(body[8:], order)))
            elif kind == _ENHANCED and len(body) >= 20:
                interface, high, low, length = struct.unpack_from(order + "4I", body)
                if interface >= len(interfaces) or 20 + length > len(body):
                    raise self._damaged(at, f"a packet of one of {len(interfaces)} interfaces, in a block of {size} bytes")
                link, ticks = interfaces[interface]
                stamp_ns = ((high << 32) + low) * 1_000_000_000 // ticks
                yield stamp_ns, link, body[20 : 20 + length]
            elif kind == _SIMPLE and interfaces and len(body) >= 4:
                length = struct.unpack_from(order + "I", body)[0]
                yield stamp_ns, interfaces[0][0], body[4 : 4 + length]  # such a block has no stamp

    def _whole(self, file: BinaryIO, size: int, at: int) -> bytes | None:
        """The next bytes; None, and `cut` set, if the file ends before; b"" at its end."""
        data = file.read(size)
        if len(data) < size and (data or file.tell() != at):
            self.cut = f"{self.path}: ends within the record at byte {at}; the datagrams before it are whole"
            return None
        return data

    def _check_size(self, size: int, at: int) -> None:
        if size > MAX_RECORD:
            raise self._damaged(at, f"a packet of at most {MAX_RECORD} bytes, got {size}")

    def _damaged(self, at: int, needs: str) -> InputError:
        return InputError(f"{self.path}: byte {at}: needs {needs}; damaged?")


class _Fragments:
    """Fragments of IPv4 datagrams by source, destination, number, protocol."""

    def __init__(self) -> None:
        self._parts: dict[bytes, tuple[dict[int, bytes], int]] = {}  # offset -> payload; length, -1 until the last one is there
        self.given_up = 0

    def __len__(self) -> int:
        return len(self._parts)

    def add(self, key: bytes, offset: int, payload: bytes, more: bool) -> bytes | None:
        """The whole payload if this was the last missing fragment."""
        parts, length = self._parts.pop(key, ({}, -1))
        parts[offset] = payload
        length = length if more else offset + len(payload)
        if length >= 0 and sum(map(len, parts.values())) >= length:
            whole = b"".join(parts[o] for o in sorted(parts))
            if len(whole) == length:
                return whole
            self.given_up += 1  # fragments that overlap
            return None
        self._parts[key] = (parts, length)
        if len(self._parts) > MAX_FRAGMENTED:
            del self._parts[next(iter(self._parts))]
            self.given_up += 1
        return None


def _ticks_per_s(options: bytes, order: str) -> int:
    """if_tsresol of an interface block; microseconds without it."""
    at = 0
    while at + 4 <= len(options):
        code, size = struct.unpack_from(order + "HH", options, at)
        if code == _END_OF_OPTIONS:
            break
        if code == _RESOLUTION and size == 1 and at + 4 < len(options):
            power = options[at + 4]
            return 1 << (power & 0x7F) if power & 0x80 else 10 ** min(power, 18)
        at += 4 + size + -size % 4
    return 1_000_000


def _datagram(stamp_ns: int, link: int, packet: bytes, fragments: _Fragments) -> Datagram | None:
    """The datagram that this packet is, or completes; None if it is another packet, or cut."""
    try:
        ip = _network(link, packet)
        if ip is None:
            return None
        version = packet[ip] >> 4
        if version == 4:
            return _ipv4(stamp_ns, packet, ip, fragments)
        return _ipv6(stamp_ns, packet, ip) if version == 6 else None
    except (IndexError, struct.error):
        return None  # shorter than its own headers: captured with a small snap length


def _network(link: int, packet: bytes) -> int | None:
    """Where the IP header begins."""
    if link in _NULL:
        return 4
    if link in _RAW:
        return 0
    if link not in _HEADS:
        return None
    at = _HEADS[link]
    kind = int.from_bytes(packet[at : at + 2], "big")
    at = 20 if link == 276 else at + 2
    while kind in _VLANS:
        kind = int.from_bytes(packet[at + 2 : at + 4], "big")
        at += 4
    return at if kind in (_IPV4, _IPV6) else None


def _ipv4(stamp_ns: int, packet: bytes, ip: int, fragments: _Fragments) -> Datagram | None:
    length, number, flags, _, protocol = struct.unpack_from(">HHHBB", packet, ip + 2)
    if protocol != _UDP:
        return None
    start = ip + 4 * (packet[ip] & 15)
    payload = packet[start : ip + length if length else None]  # 0: the network card was to cut it
    sender = socket.inet_ntoa(packet[ip + 12 : ip + 16])
    offset, more = 8 * (flags & 0x1FFF), bool(flags & 0x2000)
    if offset or more:
        if length and len(payload) < ip + length - start:
            return None
        key = packet[ip + 12 : ip + 20] + number.to_bytes(2, "big")
        whole = fragments.add(key, offset, payload, more)
        return None if whole is None else _udp(stamp_ns, whole, sender)
    return _udp(stamp_ns, payload, sender)


def _ipv6(stamp_ns: int, packet: bytes, ip: int) -> Datagram | None:
    kind, at = packet[ip + 6], ip + 40
    while kind in _EXTENSIONS:
        kind, at = packet[at], at + 8 + 8 * packet[at + 1]
    return _udp(stamp_ns, packet[at:], socket.inet_ntop(socket.AF_INET6, packet[ip + 8 : ip + 24])) if kind == _UDP else None


def _udp(stamp_ns: int, payload: bytes, sender: str) -> Datagram | None:
    _, port, length = struct.unpack_from(">3H", payload)
    if length < 8 or len(payload) < length:
        return None
    return Datagram(stamp_ns, payload[8:length], sender, port)
