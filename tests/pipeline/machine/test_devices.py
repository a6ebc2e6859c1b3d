"""The ratios of boards, and how far they are off on the report's own rows: a figure of the documentation, held here."""

import pytest

from pipeline.machine import devices
from pipeline.machine.devices import BOARDS, REFERENCE, errors, memory_errors


def test_ratios():
    assert {name: round(board.net, 3) for name, board in BOARDS.items()} == {"tx2": 0.94, "xavier": 0.167, "orin": 0.07}
    assert {name: round(board.core, 2) for name, board in BOARDS.items()} == {"tx2": 1.44, "xavier": 1.04, "orin": 0.9}


def test_every_published_row_has_a_time_here():
    assert {net for rows in devices.PUBLISHED_FPS.values() for net in rows} <= set(REFERENCE) == set(devices.PUBLISHED_MB)


@pytest.mark.parametrize(
    "board, want",
    [
        # TANet on TX2 is predicted with PointPillars, whose sparse net here is faster than the report's dense one
        ("tx2", {"TANet 20": 2.2, "TANet 28": 2.0, "PointPillars 16": 0.22}),
        ("xavier", {"TANet 16": 1.4, "TANet 28": 3.2, "PointPillars 16": 0.23}),
    ],
)
def test_the_error_on_the_rows_of_tables_22_and_23(board, want):
    """Each row from the other ones: predicted / published milliseconds."""
    found = errors(board)
    assert {net: pytest.approx(off, rel=0.05) for net, off in want.items()} == dict(found)
    assert all(1 / 4.6 < off < 4.6 for off in found.values())


def test_the_error_of_memory_on_table_21():
    assert all(0.8 < off < 1.45 for off in memory_errors().values()), memory_errors()


@pytest.mark.parametrize("board", BOARDS)
def test_what_is_said_of_the_error(board):
    first, second, third = devices.checked(board)
    assert "PointPillars 16 /4." in first if board != "orin" else "not checked" in first
    assert "not checked" in second and "within a factor of 1." in third
