"""Receives the datagrams of a sensor: a thread of its own empties the socket, so that a busy decoder loses none.

Stamps are the kernel's (SO_TIMESTAMPNS, taken when the packet arrived, not when Python woke up). What the kernel had no room for
is counted by the kernel (SO_RXQ_OVFL) and is in `lost`. The socket asks for `buffer_bytes`; the kernel grants at most
net.core.rmem_max, and `shortage` names what is missing. Linux only.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import select
import socket
import struct
import threading
import time
from collections import deque

from drivers.datagram import Datagram
from drivers.live import Lost
from pipeline.errors import InputError

_SO_TIMESTAMPNS, _SO_RXQ_OVFL, _SO_RCVBUFFORCE = 35, 40, 33
"""asm-generic/socket.h: x86 and ARM. Python has no names for them."""
_TIMESPEC, _UINT32 = struct.Struct("@ll"), struct.Struct("@I")
_ANCILLARY = socket.CMSG_SPACE(_TIMESPEC.size) + socket.CMSG_SPACE(_UINT32.size)
MAX_DATAGRAM = 65_535
MAX_WAITING_BYTES = 64 << 20
"""Of datagrams that the decoder has not taken: one second of the fastest LiDAR, and more. Then the oldest are dropped."""
BATCH = 64
"""Datagrams that the thread takes from the socket before it hands them over."""
WAKE_S = 0.2


class Receiver:
    """host     address to bind, "" = all; a multicast group is joined
    port     0: any free one, see `port` afterwards
    sender   only datagrams from this address, "" = any
    lost     datagrams that the kernel or `MAX_WAITING_BYTES` had no room for
    shortage one line if the kernel granted less than asked, else ""
    """

    def __init__(self, port: int, host: str = "", sender: str = "", buffer_bytes: int = 8 << 20) -> None:
        """Raises OSError: EADDRINUSE, EACCES for a port below 1024."""
        self._socket = bind(port, host)
        try:
            self.shortage = _enlarge(self._socket, buffer_bytes)
            for option in (_SO_TIMESTAMPNS, _SO_RXQ_OVFL):
                self._socket.setsockopt(socket.SOL_SOCKET, option, 1)
            self.port: int = self._socket.getsockname()[1]
        except BaseException:
            self._socket.close()
            raise
        self._sender = sender
        self.lost = self._overflown = 0
        self._waiting: deque[Datagram] = deque()
        self._waiting_bytes = 0
        self._lock = threading.Condition()
        self._closed = False
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name=f"udp:{self.port}", daemon=True)
        self._thread.start()

    def receive(self, timeout_s: float) -> list[Datagram]:
        """All datagrams that have come since the last call, in order of arrival; [] if none comes in time. Raises Lost."""
        until = time.monotonic() + timeout_s
        with self._lock:
            while not self._waiting:
                if self._error is not None:
                    raise Lost(f"UDP port {self.port}: {self._error.strerror or self._error}")
                left_s = until - time.monotonic()
                if left_s <= 0 or self._closed:
                    return []
                self._lock.wait(left_s)
            batch, self._waiting = list(self._waiting), deque()
            self._waiting_bytes = 0
            return batch

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            self._closed = True
            self._lock.notify_all()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)  # wakes the thread; an unconnected socket says ENOTCONN and wakes all the same
        self._thread.join(2 * WAKE_S)
        self._socket.close()

    # -- the thread -------------------------------------------------------------------------------------------------
    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while not self._closed:
            try:
                if poll.poll(WAKE_S * 1000):
                    self._hand_over(self._take())
            except OSError as error:
                with self._lock:
                    if error.errno not in (errno.EINTR, errno.ECONNREFUSED) and not self._closed:
                        self._error = error
                        self._lock.notify_all()
                        return

    def _take(self) -> list[Datagram]:
        """What lies in the socket, at most a batch."""
        batch: list[Datagram] = []
        receive, port, sender = self._socket.recvmsg, self.port, self._sender
        while len(batch) < BATCH:
            try:
                data, ancillary, _, address = receive(MAX_DATAGRAM, _ANCILLARY, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            stamp_ns = 0
            for _, kind, value in ancillary:
                if kind == _SO_TIMESTAMPNS:
                    seconds, nanoseconds = _TIMESPEC.unpack_from(value)
                    stamp_ns = seconds * 1_000_000_000 + nanoseconds
                elif kind == _SO_RXQ_OVFL:
                    self._overflow(_UINT32.unpack_from(value)[0])
            if self._closed or address is None:  # it was shut down
                break
            if not sender or address[0] == sender:
                batch.append(Datagram(stamp_ns or time.time_ns(), data, address[0], port))
        return batch

    def _overflow(self, count: int) -> None:
        """The kernel's counter of 32 bits, since the socket was opened."""
        self.lost += (count - self._overflown) & 0xFFFFFFFF
        self._overflown = count

    def _hand_over(self, batch: list[Datagram]) -> None:
        if not batch:
            return
        with self._lock:
            self._waiting.extend(batch)
            self._waiting_bytes += sum(len(d.data) for d in batch)
            while self._waiting_bytes > MAX_WAITING_BYTES:
                self._waiting_bytes -= len(self._waiting.popleft().data)
                self.lost += 1
            self._lock.notify_all()


def bind(port: int, host: str = "") -> socket.socket:
    """A UDP socket on this port; of a multicast group if `host` is one. Raises OSError."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        if host and ipaddress.IPv4Address(host).is_multicast:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # several receivers of a group all get its datagrams
            made.bind((host, port))
            group = socket.inet_aton(host) + socket.inet_aton("0.0.0.0")
            made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        else:
            made.bind((host, port))
    except BaseException:
        made.close()
        raise
    return made


def check_port(who: str, port: int, host: str = "") -> None:
    """Before a run: can this port be bound? `who`: node and key, such as `velo.config.port`. Raises InputError."""
    try:
        bind(port, host).close()
    except OSError as error:
        hint = {
            errno.EADDRINUSE: f"another program receives there: ss -ulnp 'sport = :{port}'",
            errno.EACCES: "ports below 1024 are root's",
            errno.EADDRNOTAVAIL: f"this machine has no address {host}: ip address",
        }.get(error.errno or 0, "")
        raise InputError(f"{who}: needs UDP port {port}, got: {error.strerror}{'; ' if hint else ''}{hint}") from None


def _enlarge(made: socket.socket, wanted: int) -> str:
    """Asks for a receive buffer. Root may take more than rmem_max."""
    with contextlib.suppress(OSError):
        made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, wanted)
    if made.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) < 2 * wanted:  # the kernel doubles what is asked
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted)
    got = made.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    if got >= wanted:
        return ""
    return f"receive buffer {got / 1e6:.3g} MB of {wanted / 1e6:.3g} MB: sudo sysctl -w net.core.rmem_max={wanted}"
