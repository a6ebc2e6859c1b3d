"""The ratios of boards, and how far they are off on the report's own rows: a figure of the documentation, held here."""

import pytest

from pipeline.machine import devices
from pipeline.machine.devices import BOARDS, REFERENCE, errors, errors_by_time, memory_errors


def test_ratios():
    assert {name: round(board.gmac_s) for name, board in BOARDS.items()} == {"tx2": 43, "xavier": 243, "orin": 578}
    assert {name: round(board.net, 3) for name, board in BOARDS.items()} == {"tx2": 0.94, "xavier": 0.167, "orin": 0.07}
    assert {name: round(board.core, 2) for name, board in BOARDS.items()} == {"tx2": 1.44, "xavier": 1.04, "orin": 0.9}


def test_every_published_row_has_a_time_here():
    rows = {net for rows in devices.PUBLISHED_FPS.values() for net in rows}
    assert rows == set(devices.MULTIPLY_ADDS) and rows <= set(REFERENCE) == set(devices.PUBLISHED_MB)


@pytest.mark.parametrize(
    "board, want",
    [
        ("tx2", {"TANet 20": 1.36, "TANet 28": 1.07, "PointPillars 16": 0.69}),
        ("xavier", {"TANet 16": 0.87, "TANet 28": 1.65, "PointPillars 16": 0.70}),
    ],
)
def test_the_error_on_the_rows_of_tables_22_and_23(board, want):
    """Each row from the other ones by multiply-adds: predicted / published milliseconds."""
    found = errors(board)
    assert {net: pytest.approx(off, rel=0.03) for net, off in want.items()} == dict(found)
    assert all(1 / 1.7 < off < 1.7 for off in found.values())


@pytest.mark.parametrize("board", ["tx2", "xavier"])
def test_the_error_by_times_on_this_machine(board):
    """Larger: the sparse PointPillars of a CPU is faster than the report's dense one."""
    found = errors_by_time(board)
    assert max(max(off, 1 / off) for off in found.values()) == pytest.approx(4.5, abs=0.1)


def test_the_error_of_memory_on_table_21():
    assert all(0.8 < off < 1.45 for off in memory_errors().values()), memory_errors()


@pytest.mark.parametrize("board", BOARDS)
def test_what_is_said_of_the_error(board):
    first, second, third = devices.checked(board)
    published = ("PointPillars 16 /1.", "by time here (*): up to x4.")
    assert all(text in first for text in (published if board != "orin" else ("not checked",)))
    assert "not checked" in second and "Table 21, each from the other ones: up to x1.4" in third
