"""Capture files byte by byte, for tests: Ethernet frames with UDP, pcap and pcapng around them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

LE, BE = "<", ">"


def udp(payload: bytes, port: int = 2368, to_cut: int = 0) -> bytes:
    """A UDP datagram; to_cut: bytes that its header claims and that are not there."""
    return struct.pack(">4H", 5000, port, 8 + len(payload) + to_cut, 0) + payload


def ipv4(
    body: bytes,
    *,
    number: int = 1,
    offset: int = 0,
    more: bool = False,
    protocol: int = 17,
    options: bytes = b"",
    sender: int = 201,
) -> bytes:
    words = 5 + len(options) // 4
    flags = offset // 8 | (0x2000 if more else 0)
    length = 4 * words + len(body)
    head = struct.pack(">BBHHHBBH", 0x40 | words, 0, length, number, flags, 64, protocol, 0)
    return head + bytes([192, 168, 1, sender]) + bytes([192, 168, 1, 100]) + options + body


def ipv6(body: bytes, extension: bytes = b"", kind: int = 17) -> bytes:
    address = bytes(15) + b"\x01"
    return struct.pack(">IHBB", 6 << 28, len(extension + body), kind, 64) + address + address + extension + body


def ethernet(ip: bytes, vlans: Sequence[int] = (), trailer: bytes = b"") -> bytes:
    tags = b"".join(struct.pack(">HH", kind, 7) for kind in vlans)
    return bytes(12) + tags + (b"\x86\xdd" if ip[0] >> 4 == 6 else b"\x08\x00") + ip + trailer


def frames(payloads: Iterable[bytes], port: int = 2368) -> list[bytes]:
    return [ethernet(ipv4(udp(payload, port))) for payload in payloads]


def pcap(packets: Sequence[bytes], *, order: str = LE, nanoseconds: bool = False, link: int = 1, gap_us: int = 1000) -> bytes:
    """Packet i has the stamp 1000 s + i * gap_us."""
    magic, unit = (0xA1B23C4D, 1000) if nanoseconds else (0xA1B2C3D4, 1)
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link)
    for i, packet in enumerate(packets):
        seconds, us = divmod(1_000_000_000 + i * gap_us, 1_000_000)
        out += struct.pack(order + "4I", seconds, us * unit, len(packet), len(packet)) + packet
    return out


def block(kind: int, body: bytes, order: str = LE) -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + size + body + size


def pcapng(packets: Sequence[bytes], *, order: str = LE, resolution: int | None = None, simple: bool = False) -> bytes:
    """Packet i has the stamp 1000 s + i ms. resolution: the byte of if_tsresol."""
    out = block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)
    options = b"" if resolution is None else struct.pack(order + "HHBxxxHH", 9, 1, resolution, 0, 0)
    out += block(1, struct.pack(order + "HHI", 1, 0, 0) + options, order)
    per_s = 10**6 if resolution is None else 1 << (resolution & 0x7F) if resolution & 0x80 else 10**resolution
    for i, packet in enumerate(packets):
        ticks = 1000 * per_s + i * per_s // 1000
        stamp = struct.pack(order + "4I", 0, ticks >> 32, ticks & 0xFFFFFFFF, len(packet))
        out += (
            block(3, struct.pack(order + "I", len(packet)) + packet, order)
            if simple
            else block(6, stamp + struct.pack(order + "I", len(packet)) + packet, order)
        )
    return out + block(5, bytes(12), order)  # statistics of the interface
