"""The board: words of edges, nodes and bells are at their places in the layout and do not overlap."""

import os

import pytest

from pipeline.errors import FrameError
from pipeline.flow import shm
from pipeline.flow.board import Board
from pipeline.frame import NEVER
from pipeline.graph.layout import BOUND, DESCRIPTOR_WORDS, EDGE_HEAD, EDGE_TAIL, ITEM_BYTES, RELEASED, SENT, BoardShape


@pytest.fixture
def board():
    shape = BoardShape((2,), nodes=1, processes=1, bells=2)
    fd = shm.create("test:board", shape.size)
    made = Board(fd, shape)
    os.close(fd)
    return made


def test_leases(board):
    board.words[board.lease(0, 1) + SENT] = 7
    board.words[board.lease(0, 1) + RELEASED] = 5
    assert board.leases(0).tolist() == [[0, 0, 0], [7, 5, 0]]


def test_what_was_sent_and_received_last(board):
    """From the descriptors before the head and before the tail, one lap later in the ring."""
    assert (board.last_sent(0), board.last_received(0)) == (0, 0)
    ring, mask = board.ring_of(0)
    for number in range(9):
        at = ring + DESCRIPTOR_WORDS * (number & mask)
        board.words[at], board.words[at + 1] = number % 2, 100 + number
        board.words[board.edge(0) + EDGE_HEAD] = number + 1
    board.words[board.edge(0) + EDGE_TAIL] = 8
    assert (board.last_sent(0), board.last_received(0)) == (108, 107)
    assert mask + 1 >= 2 + 2, "two slots, and the descriptors before head and tail"


def test_words_are_signed(board):
    board.words[board.edge(0) + BOUND] = NEVER
    assert board.words[board.edge(0) + BOUND] == NEVER < 0


def test_item_of_the_last_committed_step_is_whole(board):
    """Two places alternate: writing the name of step 3 keeps the name of step 2."""
    board.set_item(0, 2, "0000/000017")
    board.set_item(0, 3, "0000/0")
    assert (board.item(0, 2), board.item(0, 3)) == ("0000/000017", "0000/0")
    board.set_item(0, 4, "")
    assert board.item(0, 4) == ""


@pytest.mark.parametrize("item", ["x" * ITEM_BYTES, "é", "ä" * (ITEM_BYTES // 2), "x" * 200 + "/" + "y" * 54])
def test_items_are_whole(board, item):
    board.set_item(0, 0, item)
    board.set_item(0, 1, "x" * ITEM_BYTES)
    assert board.item(0, 0) == item
    assert board.words[board.node(0)] == 0, "the words beside it are untouched"
    assert board.words[board.ring(0)] == 0


@pytest.mark.parametrize("item", ["x" * (ITEM_BYTES + 1), "ä" * ITEM_BYTES])
def test_an_item_that_does_not_fit_is_refused(board, item):
    """A name that is cut is another name."""
    board.set_item(0, 0, "before")
    with pytest.raises(FrameError, match=f"needs at most {ITEM_BYTES} bytes, got {len(item.encode())}$"):
        board.set_item(0, 0, item)
    assert board.item(0, 0) == "before"


def test_the_latest_status(board):
    assert board.status(0) == ""
    for text in ("one", "a longer one", "2", ""):
        board.set_status(0, text)
        assert board.status(0) == text
    board.set_status(0, "x" * 500)
    board.set_item(0, 1, "0000/000017")
    assert board.status(0) == "x" * 255
    board.set_status(0, "y" * 500)
    assert (board.status(0), board.item(0, 1)) == ("y" * 255, "0000/000017")
    assert board.words[board.ring(0)] == 0, "the words beside it are untouched"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("red \x1b[31m", "red \\x1b[31m"), ("half \udc80", "half \\udc80"), ("two\nlines", "two\\nlines"), (7, "7")],
)
def test_a_status_is_printable(board, text, shown):
    board.set_status(0, text)
    assert board.status(0) == shown


def test_an_item_of_any_text_is_kept(board):
    board.set_item(0, 0, "half \udc80")
    assert board.item(0, 0) == "half \\udc80"
