"""The two ends of an edge with faults, without processes: views, slots given back, bounds, frames held back."""

import os
import time

import numpy as np
import pytest
from local_edges import CountedBell, Local, edge_spec

from pipeline.flow import shm
from pipeline.flow.injected import Corruption, FaultyInEdge, FaultyOutEdge, chance
from pipeline.frame import FOREVER
from pipeline.graph.fault import EdgeFault, Window
from pipeline.graph.layout import BOUND, DONE, RELEASED, pool_bytes
from pipeline.operator import Operator, prepare
from pipeline.schema import Array, Schema

DATA = Schema("DATA", {"data": Array("uint8", ("N",))})


class Invert(Operator):
    inputs, outputs = {"data": DATA}, {"data": DATA}

    def process(self, data):
        return 255 - data


def fault(name, window=None, level=0.0, **more):
    return EdgeFault(name, level, 1, window or Window(), edge=0, origin=0, **more)


@pytest.fixture
def local():
    made = Local(edge_spec(window=3), schema=DATA)
    made.io = CountedBell()
    yield made
    made.close()


def faulty_reader(local, *faults):
    fd = shm.readonly(local.pool)
    memory = shm.Mapping(fd, pool_bytes([local.place]), write=False)
    os.close(fd)
    changes = [Corruption(f, local.board, prepare(Invert(), "invert"), "src.out->r0.in") for f in faults]
    reader = FaultyInEdge(changes, [], False, local.specs[0], "in", local.place, memory, local.board, ["src"], False)
    reader.give_credit = local.port.edges[0].rung
    return reader


def faulty_writer(local, *faults, live=False):
    local.clock.live = live
    edge = FaultyOutEdge(
        faults, local.board, local.io.ring, local.specs[0], local.port, local.board, local.log, local.clock, local.bells[0]
    )
    local.port.edges[0] = edge
    return edge


def test_a_frame_outside_of_the_window_is_the_view_of_its_slot_inside_it_is_a_new_array(local):
    reader = faulty_reader(local, fault("invert", Window(True, 1, 2), port="data", bit=3))
    for _ in range(3):
        local.write({"data": np.arange(5, dtype=np.uint8)})
    frames = [reader.take() for _ in range(3)]
    arrays = [reader.views(frame)["data"] for frame in frames]
    assert [frame.injected for frame in frames] == [0, 8, 0]
    assert arrays[1].tolist() == [255, 254, 253, 252, 251] and not arrays[1].flags.writeable
    base, size = reader._memory.address, pool_bytes([local.place])
    assert [base <= a.ctypes.data < base + size for a in arrays] == [True, False, True]
    assert reader.views(frames[1])["data"] is arrays[1], "changed once"


def test_the_slot_of_a_changed_frame_is_given_back_when_it_is_done_not_before(local):
    reader = faulty_reader(local, fault("invert", port="data"))
    local.write({"data": np.zeros(5, np.uint8)})
    frame = reader.take()
    kept = reader.views(frame)["data"]
    assert not reader.released and local.board.words[local.board.lease(0, frame.slot) + RELEASED] != frame.gen
    reader.done(frame)
    words, at = local.board.words, local.board.lease(0, frame.slot)
    assert (words[at + DONE], words[at + RELEASED], reader.kept) == (frame.gen, frame.gen, 0)
    assert kept.tolist() == [255] * 5


def test_a_dropped_frame_is_logged_its_slot_free_and_the_bound_moves(local):
    edge = faulty_writer(local, fault("disconnect", Window(True, 1, 3), bit=2))
    for _ in range(4):
        local.write({"data": np.zeros(5, np.uint8)})
        if local.frame_id == 2:
            assert local.word(BOUND) == 201, "no frame before 201 follows"
    assert [f.header.frame_id for f in local.taken()] == [0, 3]
    assert local.drops() == [(1, "injected"), (2, "injected")]
    assert len(edge.leased) == 2 and len(local.port.free) == 4


def test_frames_that_are_held_back_come_in_order_and_the_bound_after_them(local):
    edge = faulty_writer(local, fault("delay", Window(True, 0, 1), level=30.0), live=True)
    for _ in range(2):
        local.write({"data": np.zeros(5, np.uint8)})
    with local.log.lock:
        local.port.advance(FOREVER)
        edge.deliver()
    assert (local.taken(), local.word(BOUND) < 0, local.io.wakes, edge.due_ns < FOREVER) == ([], True, 1, True)
    time.sleep(0.04)
    with local.log.lock:
        edge.deliver()
    assert [f.header.frame_id for f in local.taken()] == [0, 1]
    assert (local.word(BOUND), edge.due_ns) == (FOREVER, FOREVER)


def test_frames_held_for_a_reader_that_is_given_up_are_dropped(local):
    edge = faulty_writer(local, fault("delay", level=1e4), live=True)
    local.write({"data": np.zeros(5, np.uint8)})
    edge.give_up()
    assert local.drops() == [(0, "restart")] and len(local.port.free) == 6


def test_chance_is_even_and_follows_from_its_numbers():
    drawn = [chance(7, n) for n in range(4000)]
    counts, _ = np.histogram(drawn, 10, (0, 1))
    assert counts.min() > 320 and counts.max() < 480
    assert drawn[:3] == [chance(7, n) for n in range(3)] and drawn[0] != chance(8, 0)
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.05
