"""Places in pools and words on the board: no overlap, and every process computes the same layout."""

import dataclasses
import itertools
import mmap

import pytest

from pipeline.graph.layout import (
    ARMED,
    BELL_WORDS,
    BOUND,
    DESCRIPTOR_WORDS,
    EDGE_HEAD,
    EDGE_TAIL,
    ITEM_WORDS,
    ITEMS,
    LEASE_WORDS,
    LEASES,
    NODE_WORDS,
    NUM_STATUSES,
    RING_EVENTS,
    RING_FIRST,
    SLOT_HEADER,
    STATUS_WORDS,
    STATUSES,
    BoardShape,
    align,
    layout,
    pool_bytes,
    ring_size,
)


@pytest.mark.parametrize(("n", "expected"), [(0, 0), (1, 64), (64, 64), (65, 128)])
def test_align(n, expected):
    assert align(n) == expected


@pytest.mark.parametrize(
    ("ports", "total"),
    [
        ([], 0),
        ([("out", 0, 0)], 0),
        ([("out", 1, 8)], mmap.PAGESIZE),
        ([("out", 2, 1000)], mmap.PAGESIZE),  # 2 x (512 + 1024)
        ([("a", 2, 4096), ("b", 1, 1)], 4 * mmap.PAGESIZE),  # a: 2 x 4608 -> three pages, b: one
    ],
)
def test_pool_size(ports, total):
    assert pool_bytes(layout(ports)) == total


def test_slots_do_not_overlap():
    places = layout([("a", 3, 100), ("empty", 0, 0), ("b", 2, 65), ("c", 4, 4096)])
    spans = [
        (p.offset + i * p.stride, p.offset + i * p.stride + SLOT_HEADER + p.slot_bytes) for p in places for i in range(p.slots)
    ]
    assert spans == sorted(spans)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
    assert spans[-1][1] <= pool_bytes(places)
    assert all(start % 64 == 0 for start, _ in spans)
    assert all(p.offset % mmap.PAGESIZE == 0 for p in places)


def test_board_words_do_not_overlap():
    shape = BoardShape((3, 0, 5), nodes=2, processes=2, bells=3)
    spans = []
    for edge, slots in enumerate(shape.edge_slots):
        first = shape.edge_base[edge]
        assert max(EDGE_HEAD, BOUND, ARMED) < EDGE_TAIL < LEASES
        spans += [(first, first + LEASES + LEASE_WORDS * slots + DESCRIPTOR_WORDS * ring_size(slots))]
    spans += [(shape.node_base + i * NODE_WORDS, shape.node_base + (i + 1) * NODE_WORDS) for i in range(2)]
    spans += [(shape.bell_base + i * BELL_WORDS, shape.bell_base + (i + 1) * BELL_WORDS) for i in range(3)]
    spans += [(shape.ring_base + i * shape.ring_stride, shape.ring_base + (i + 1) * shape.ring_stride) for i in range(2)]
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
    assert spans[-1][1] * 8 <= shape.size
    assert BoardShape(**dataclasses.asdict(shape)).size == shape.size


def test_words_of_a_node_and_of_a_ring():
    assert NUM_STATUSES < ITEMS and ITEMS + 2 * ITEM_WORDS == STATUSES and STATUSES + 2 * STATUS_WORDS == NODE_WORDS
    assert BoardShape((), 0, 1, 0).ring_stride >= RING_FIRST + RING_EVENTS * 8


@pytest.mark.parametrize(("slots", "size"), [(0, 0), (1, 4), (2, 4), (3, 8), (6, 8), (7, 16), (100, 128)])
def test_a_ring_holds_two_descriptors_more_than_there_are_slots(slots, size):
    assert ring_size(slots) == size
    assert size == 0 or (size >= slots + 2 and size & (size - 1) == 0)
