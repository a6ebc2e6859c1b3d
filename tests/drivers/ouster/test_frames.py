import random

import pytest

from drivers.ouster.frames import HOLD, Frames, Packet, Turn

COLUMNS = range(0, 160, 16)


def turn(number, columns=COLUMNS):
    return [Packet(number, column, 0, b"") for column in columns]


def played(frames, packets):
    """-> (frame_id, number of packets, lost, whole) of each closed turn"""
    return [summary(closed) for packet in packets for closed in frames.add(packet)]


def summary(closed: Turn):
    assert [p.frame_id for p in closed.packets] == [closed.frame_id] * len(closed.packets)
    return closed.frame_id, len(closed.packets), closed.lost, closed.whole


def frames(columns=COLUMNS, max_frame_id=65535):
    return Frames(columns, max_frame_id)


def test_nothing_came():
    assert frames().flush() == []


def test_a_turn_is_closed_by_its_last_packet():
    f = frames()
    packets = turn(7)
    assert played(f, packets[:-1]) == []
    (closed,) = f.add(packets[-1])
    assert closed == Turn(7, packets, 0, True)
    assert f.flush() == [] and (f.late, f.missed) == (0, 0)


@pytest.mark.parametrize("max_frame_id", [65535, 4294967295])
def test_the_number_after_the_largest_is_0(max_frame_id):
    numbers = [max_frame_id - 1, max_frame_id, 0, 1]
    packets = [packet for number in numbers for packet in turn(number)]
    assert played(frames(max_frame_id=max_frame_id), packets) == [(n, 10, 0, True) for n in numbers]


def test_one_lost_packet_is_waited_for_and_then_counted():
    f = frames()
    packets = turn(1)[:4] + turn(1)[5:] + turn(2)
    assert played(f, packets[: 9 + HOLD - 1]) == []
    assert played(f, packets[9 + HOLD - 1 :]) == [(1, 9, 1, True), (2, 10, 0, True)]


def test_packets_that_overtake_each_other_change_nothing():
    packets = [packet for number in range(20) for packet in turn(number)]
    draw = random.Random(3)
    for at in range(0, len(packets) - HOLD, HOLD):  # within blocks of 8, over the borders of turns
        block = packets[at : at + HOLD]
        draw.shuffle(block)
        packets[at : at + HOLD] = block
    f = frames()
    closed = [c for packet in packets for c in f.add(packet)] + f.flush()
    assert [c.packets for c in closed[1:]] == [turn(number) for number in range(1, 20)]
    assert closed[0].packets == turn(0) and (f.late, f.missed, sum(c.lost for c in closed)) == (0, 0, 0)


def test_latecomers_and_doubles_are_dropped_and_counted():
    f = frames()
    packets = turn(1)[:-1] + turn(2)[:9] + [turn(1)[-1], turn(2)[3]] + turn(2)[9:]
    assert played(f, packets) == [(1, 9, 1, True), (2, 10, 0, True)]
    assert f.late == 2


def test_the_first_and_the_last_turn_are_not_whole_and_miss_nothing_outside():
    f = frames()
    packets = turn(1, COLUMNS[3:5]) + turn(1, COLUMNS[6:]) + turn(2) + turn(3, [0, 16, 64])
    assert played(f, packets) == [(1, 6, 1, False), (2, 10, 0, True)]
    assert [summary(c) for c in f.flush()] == [(3, 3, 2, False)]
    assert played(f, turn(9, COLUMNS[5:]) + turn(10)) == [
        (9, 5, 0, False),
        (10, 10, 0, True),
    ]  # after the flush: a new connection


def test_turns_of_which_nothing_came_are_counted():
    f = frames()
    assert played(f, turn(1) + turn(4) + turn(5)) == [(1, 10, 0, True), (4, 10, 0, True), (5, 10, 0, True)]
    assert f.missed == 20


@pytest.mark.parametrize("again", [3, 1491, 60000, 20000])
def test_a_sensor_that_starts_anew(again):
    """Its numbers go back, or far ahead; the present turn is sent as it is."""
    f = frames()
    got = played(f, turn(1491)[:6] + turn(again) + turn(again + 1) + turn(again + 2))
    got = [(number, num) for number, num, *_ in got if num == 10]
    assert got[-2:] == [(again + 1, 10), (again + 2, 10)]
    assert f.missed == 0


def test_a_recording_of_one_turn_played_again_and_again():
    f = frames()
    assert played(f, turn(5) * 4) == [(5, 10, 0, True)] * 4
    assert f.late == 0


def test_a_window_of_columns_over_the_end_of_the_turn():
    columns = [*range(96, 160, 16), 0, 16]
    f = frames(columns)
    assert played(f, turn(0, columns) + turn(1, columns[:-1])) == [(0, 6, 0, True)]
    assert [summary(c) for c in f.flush()] == [(1, 5, 0, False)]
