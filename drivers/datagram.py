"""What a UDP socket receives and what a capture file holds."""

from __future__ import annotations

from typing import NamedTuple


class Datagram(NamedTuple):
    """stamp_ns  arrival at the host [ns, CLOCK_REALTIME]
    data      the payload
    sender    address of the sender, such as "192.168.1.201"
    port      the port that it was sent to
    """

    stamp_ns: int
    data: bytes
    sender: str
    port: int
