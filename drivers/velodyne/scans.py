"""Packets in order of arrival -> scans. Pure: no I/O, no clock; times are those of the packets.

Packets are put in the order of the sensor's time. One that is missing is waited for until `reorder` later ones have come; then
it is lost, and counted for the scan in which it would be. A scan ends at the first column beyond the cut angle: the packet with
this column belongs to both scans. If no packet is missing, a scan is ready as soon as its last packet has come.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from drivers.velodyne.models import PACKET_BYTES, TURN, Head, Model, check_model, head_of, model_of

HOUR_NS: Final = 3_600_000_000_000
MAX_SCAN_NS: Final = 500_000_000
"""Of two turns per second; the slowest setting of the sensors is five."""
RESTART_NS: Final = 1_000_000_000
"""A time so far back is another clock, not a packet that is late."""


class _Packet(NamedTuple):
    start_ns: int
    arrival_ns: int
    data: bytes
    head: Head


@dataclass(frozen=True, slots=True)
class Scan:
    """One turn, or a part of one.

    packets      (P, 1206) uint8, in the order of time
    starts_ns    (P,) int64: first firing of each by the sensor's clock, hours counted on
    duals        (P,) bool
    first, stop  columns of the first packet before `first`, and of the last from `stop` on, belong to other scans
    lost         packets of this scan that never came
    whole        it begins and ends at the cut angle
    arrival_ns   of its last packet
    """

    model: Model
    packets: np.ndarray
    starts_ns: np.ndarray
    duals: np.ndarray
    first: int
    stop: int
    lost: int
    whole: bool
    arrival_ns: int

    @property
    def end_ns(self) -> int:
        """Last firing of its last column, by the sensor's clock."""
        model = self.model
        within = (self.stop - 1) * model.column_ns + max(model.ticks[: 32 // model.halves]) * model.tick_ns
        return int(self.starts_ns[-1]) + round(within)

    @property
    def dual(self) -> bool:
        return bool(self.duals.any())


@dataclass(slots=True)
class _Open:
    """The scan that is under way."""

    whole: bool
    first: int
    packets: list[_Packet] = field(default_factory=list)
    lost: int = 0


class Scans:
    """model      None: that of the first packet
    ready      scans that are complete, oldest first
    wrong      packets that are none; why_wrong: of the last one
    late       packets that came after they were given up; repeated: packets that came twice
    lost       packets that never came
    learn      called with (sensor time of its last firing, arrival) [ns] of each packet, in order of arrival
    """

    def __init__(
        self, model: Model | None, cut_deg: float = 0.0, reorder: int = 8, learn: Callable[[int, int], object] | None = None
    ) -> None:
        self.model, self._cut, self._reorder, self._learn = model, round(cut_deg * 100) % TURN, reorder, learn
        self.ready: deque[Scan] = deque()
        self.wrong = self.late = self.repeated = self.lost = 0
        self.why_wrong = ""
        self._checked, self._factory = False, 0
        self._back = 0  # packets in a row whose time is past
        self._recent: deque[int] = deque(maxlen=2 * reorder + 1)  # times of the last packets in their place
        self._newest_ns: int | None = None
        self._waiting: list[_Packet] = []
        self._last: _Packet | None = None
        self._scan: _Open | None = None
        self._angle = self._width = 0  # of the last column, from the cut on; of a packet

    def push(self, data: bytes, arrival_ns: int) -> None:
        """Raises WrongModel."""
        if len(data) != PACKET_BYTES:
            self._refuse(f"needs {PACKET_BYTES} bytes, got {len(data)}")
            return
        if not self._checked:
            if self.model is None:
                self.model = model_of(data)
            check_model(self.model, data)
            self._checked, self._factory = True, data[-1]
        assert self.model is not None
        if data[-1] != self._factory and self.model.factory is not None:
            self._refuse(f"needs packets of one {self.model.name}, got factory byte {data[-1]:#04x}; set config.sender")
            return
        head = head_of(self.model, data)
        if isinstance(head, str):
            self._refuse(head)
            return
        packet = _Packet(self._unwrapped(head.us), arrival_ns, data, head)
        if self._learn is not None:
            self._learn(packet.start_ns + round(self.model.packet_ns(head.dual)), arrival_ns)
        last = self._last
        if last is not None and packet.start_ns <= last.start_ns:
            if packet.start_ns in self._recent:
                self.repeated += 1
                return
            self._back += 1
            if packet.start_ns > last.start_ns - RESTART_NS and self._back <= 2 * self._reorder:
                self.late += 1
                return
            self.flush()  # the sensor's clock was set back
        self._back = 0
        insort(self._waiting, packet)
        self._release(self._reorder)

    def flush(self) -> None:
        """No packet follows, or not for long: what is there becomes a scan."""
        self._release(0)
        self._close(None, whole=TURN - self._angle <= self._width)
        self._last = None

    # -- the order of time ------------------------------------------------------------------------------------------
    def _refuse(self, text: str) -> None:
        self.wrong, self.why_wrong = self.wrong + 1, text

    def _unwrapped(self, us: int) -> int:
        """Nanoseconds, hours counted on: the time nearest to that of the packet before. May run back."""
        now_ns = us * 1000
        if self._newest_ns is not None:
            now_ns = self._newest_ns + (now_ns - self._newest_ns + HOUR_NS // 2) % HOUR_NS - HOUR_NS // 2
        self._newest_ns = now_ns
        return now_ns

    def _release(self, most: int) -> None:
        """Gives on what is in its place, and what has waited for `most` later ones."""
        while self._waiting:
            packet, last, missing = self._waiting[0], self._last, 0
            if last is not None:
                passed_ns = packet.start_ns - last.start_ns
                missing = round(passed_ns / self._period_ns(last)) - 1
                if missing > 0 and len(self._waiting) <= most:
                    return
                if passed_ns - max(packet.arrival_ns - last.arrival_ns, 0) > RESTART_NS:  # the clock was set forward
                    self._close(None)
                    missing = 0
            del self._waiting[0]
            if last is None or packet.start_ns > last.start_ns:
                self._place(packet, max(missing, 0))
                self._last = packet
                self._recent.append(packet.start_ns)
            else:
                self.repeated += 1

    def _period_ns(self, packet: _Packet) -> float:
        assert self.model is not None
        return self.model.packet_ns(packet.head.dual)

    # -- turns ------------------------------------------------------------------------------------------------------
    def _place(self, packet: _Packet, missing: int) -> None:
        """Adds the next packet in time; `missing` did not come before it."""
        azimuths = packet.head.azimuths
        first, last = (azimuths[0] - self._cut) % TURN, (azimuths[-1] - self._cut) % TURN
        width = self._width = (last - first) % TURN * len(azimuths) // (len(azimuths) - 1)
        self.lost += missing
        scan = self._scan
        too_long = scan is not None and packet.start_ns - scan.packets[0].start_ns > MAX_SCAN_NS
        if scan is not None and not (missing or too_long) and self._angle <= first <= last < TURN - width:  # nearly always
            scan.packets.append(packet)
            self._angle = last
            return
        angles = self._angles(packet.head)
        if scan is not None and (missing * width >= TURN // 2 or too_long):
            scan.lost += missing
            self._close(None)
            scan, missing = None, 0
        if scan is None:
            scan = self._scan = _Open(angles[0] <= width, 0)
            self._angle = angles[0]
        before = self._angle
        for column, angle in enumerate(angles):
            if angle < before and before - angle > TURN // 2:
                inside = missing if column else min(missing, round((TURN - before) / max(width, 1)))
                scan.lost += inside
                missing -= inside
                if column:
                    scan.packets.append(packet)
                self._close(column or None, whole=True)
                scan = self._scan = _Open(True, column)
            before = angle
        scan.packets.append(packet)
        scan.lost += missing
        self._angle = before

    def _angles(self, head: Head) -> list[int]:
        """Azimuth of each column, from the cut on."""
        assert self.model is not None
        if self.model.halves == 1:
            return [(azimuth - self._cut) % TURN for azimuth in head.azimuths]
        angles, half = [], 0
        for n, azimuth in enumerate(head.azimuths):
            if n + 1 < len(head.azimuths):
                half = (head.azimuths[n + 1] - azimuth) % TURN // 2
            angles += [(azimuth - self._cut) % TURN, (azimuth + half - self._cut) % TURN]
        return angles

    def _close(self, stop: int | None, whole: bool = False) -> None:
        """Makes a scan of what is under way. stop: column of its last packet at which it ends; None: all of them."""
        scan, self._scan = self._scan, None
        if scan is None or not scan.packets:
            return
        model = self.model
        assert model is not None
        packets = scan.packets
        table = np.frombuffer(b"".join(p.data for p in packets), np.uint8).reshape(-1, PACKET_BYTES)
        starts = np.array([p.start_ns for p in packets], np.int64)
        duals = np.array([p.head.dual for p in packets])
        stop = model.columns(packets[-1].head.dual) if stop is None else stop
        arrival_ns = max(p.arrival_ns for p in packets)
        self.ready.append(Scan(model, table, starts, duals, scan.first, stop, scan.lost, scan.whole and whole, arrival_ns))
