"""Packets of a spinning sensor -> the packets of each turn. Pure: no I/O, no packet format.

A turn (the sensor says frame) is closed when all its packets are there, or when `HOLD` packets of later turns wait: packets may
overtake each other by so much. Packets of a closed turn are dropped and counted as late, as are doubles. `HOLD` late ones in a
row are no latecomers: the sensor has started anew, or a recording begins again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

HOLD = 8
MOST_MISSED = 100
"""Turns that may be missing between two; more is a sensor that counts anew."""


class Packet(NamedTuple):
    """frame_id  number of the turn, from the sensor
    column    its first column, one of those that `Frames` expects
    stamp_ns  arrival at the host
    data      the datagram
    """

    frame_id: int
    column: int
    stamp_ns: int
    data: bytes


class Turn(NamedTuple):
    """packets in the order of their columns; lost: packets that did not come; whole: false for the turn in which the connection
    began or ended: what lies before or after is not lost."""

    frame_id: int
    packets: list[Packet]
    lost: int
    whole: bool


class Frames:
    """columns: first column of each packet of a turn, in the order of sending; max_frame_id: the number before 0.

    late    packets dropped because their turn was closed, doubles included
    missed  packets of turns of which none came
    """

    _now: int | None  # the turn that is closed next
    _turns: dict[int, dict[int, Packet]]  # open turns by their numbers, packets by their columns
    _waiting: int  # packets of later turns
    _late_now: list[Packet]  # in a row
    _begins: bool  # no turn was closed since the connection

    def __init__(self, columns: Sequence[int], max_frame_id: int) -> None:
        self._place = {column: i for i, column in enumerate(columns)}
        self._numbers = max_frame_id + 1
        self.late = self.missed = 0
        self._reset()

    def add(self, packet: Packet) -> list[Turn]:
        """The turns that this packet closes, oldest first."""
        if self._now is None:
            self._now = packet.frame_id
        ahead = (packet.frame_id - self._now) % self._numbers
        if ahead > self._numbers // 2:
            return self._behind(packet)
        self._late_now.clear()
        turn = self._turns.setdefault(packet.frame_id, {})
        if packet.column in turn:
            self.late += 1
            return []
        turn[packet.column] = packet
        self._waiting += ahead > 0
        closed = []
        while self._waiting >= HOLD or len(self._turns.get(self._now, ())) == len(self._place):
            closed += self._close()
        return closed

    def flush(self) -> list[Turn]:
        """The open turns: the connection has ended."""
        order = sorted(self._turns, key=lambda number: (number - (self._now or 0)) % self._numbers)
        closed = []
        for number in order:
            packets = self._turns[number]
            last = max(self._place[column] for column in packets)
            end = last + 1 if number == order[-1] else len(self._place)
            closed.append(self._turn(number, packets, end))
        self._reset()
        return closed

    def _reset(self) -> None:
        self._now, self._turns, self._waiting = None, {}, 0
        self._late_now = []
        self._begins = True

    def _close(self) -> list[Turn]:
        """Of the present turn; the next one is the nearest that has packets."""
        assert self._now is not None
        number, packets = self._now, self._turns.pop(self._now, None)
        closed = []
        if packets:
            closed.append(self._turn(number, packets, len(self._place)))
            self._begins = False
        else:
            self.missed += len(self._place)
        self._now = (number + 1) % self._numbers
        if self._waiting >= HOLD and self._now not in self._turns:
            ahead = min((other - number) % self._numbers for other in self._turns)
            self._now = (number + ahead) % self._numbers
            if ahead > MOST_MISSED:
                self._begins = True
            else:
                self.missed += (ahead - 1) * len(self._place)
        self._waiting -= len(self._turns.get(self._now, ()))
        return closed

    def _turn(self, number: int, packets: dict[int, Packet], end: int) -> Turn:
        places = sorted(self._place[column] for column in packets)
        start = places[0] if self._begins else 0
        by_place = {self._place[column]: packet for column, packet in packets.items()}
        whole = start == 0 and end == len(self._place)
        return Turn(number, [by_place[place] for place in places], end - start - len(places), whole)

    def _behind(self, packet: Packet) -> list[Turn]:
        self.late += 1
        self._late_now.append(packet)
        if len(self._late_now) < HOLD:
            return []
        again, self.late = self._late_now, self.late - HOLD
        closed = self.flush()
        for late in again:
            closed += self.add(late)
        return closed
