import logging
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from operators.kernels import voxelize as kernel
from operators.lidar.voxelize import Voxelize, VoxelizeConfig
from operators.streams import PILLARS, POINTS
from pipeline.operator import attach, prepare

SMALL = {"cell_m": (1.0, 0.5), "range_m": (0.0, -1.0, -1.0, 3.0, 1.0, 2.0), "max_points": 2, "max_pillars": 4}


def points(*rows):
    return np.array(rows, np.float32).reshape(-1, 4)


def check(op, sweep):
    """Against the naive twin -> the pillars"""
    before = op.overflow.copy()
    got = op.process(points=sweep)
    c = op.config
    *expected, dropped = naive.voxelize(sweep, c.range_m, c.cell_m, c.max_points, c.max_pillars)
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    assert (op.overflow - before).tolist() == list(dropped)
    assert (op.lookup == kernel.FREE).all()
    PILLARS.check(got._asdict(), "voxelize")
    return got


def test_an_empty_sweep_has_no_pillars(make):
    pillars, cells, counts = check(make(Voxelize), points())
    assert pillars.shape == (0, 32, 4) and cells.shape == (0, 2) and counts.shape == (0,)


def test_one_point(make):
    pillars, cells, counts = make(Voxelize, **SMALL).process(points=points((2.5, -0.3, 0.0, 0.7)))
    assert cells.tolist() == [[1, 2]] and counts.tolist() == [1], "row counts y, column counts x"
    assert pillars.tolist() == [[*points((2.5, -0.3, 0.0, 0.7)).tolist(), [0, 0, 0, 0]]]


@pytest.mark.parametrize(
    ("row", "kept", "why"),
    [
        ((0, -1, -1, 0), True, "the lower corner is inside"),
        ((3, 0, 0, 0), False, "the upper ends are outside"),
        ((0, 1, 0, 0), False, "y"),
        ((0, 0, 2, 0), False, "z"),
        ((-1e-6, 0, 0, 0), False, "just before"),
        ((np.inf, 0, 0, 0), False, "infinite"),
        ((1, 0, -np.inf, 0), False, "infinitely low"),
        ((0, 0, np.nan, 0), False, "NaN"),
        ((0, 0, 0, np.nan), False, "NaN intensity"),
    ],
)
def test_borders(make, row, kept, why):
    assert len(check(make(Voxelize, **SMALL), points(row)).counts) == kept, why


def test_order_overflow_and_reuse_by_hand(make):
    """K = 2 points in the first cell, the fifth cell refused, and a second sweep that finds everything as before"""
    op = make(Voxelize, **{**SMALL, "max_pillars": 2})
    sweep = points((2, 0, 0, 1), (0, 0, 0, 2), (2, 0, 1, 3), (1, 0, 0, 4), (2, 0, 0, 5), (1, 0, 0, 6), (0, 0, 0, 7), (0, 0, 9, 8))
    for _ in range(2):
        pillars, cells, counts = check(op, sweep)
        assert cells.tolist() == [[2, 2], [2, 0]] and counts.tolist() == [2, 2]
        assert pillars[:, :, 3].tolist() == [[1, 3], [2, 7]]
    assert op.overflow.tolist() == [2, 6, 2, 0]


def test_totals_are_logged_once_at_the_end(make, caplog):
    op = make(Voxelize, name="vox", **{**SMALL, "max_pillars": 1})
    op.process(points=points((0, 0, 0, 0), (1, 0, 0, 0), (0, 9, 0, 0), (0, 0, 0, np.nan), (0, 0, 0, 1), (0, 0, 0, 2)))
    with caplog.at_level(logging.INFO, "vox"):
        op.close()
    assert caplog.messages == [
        "dropped 1 pillars beyond max_pillars, 2 points beyond max_points or in dropped pillars, "
        "1 points out of range, 1 NaN points"
    ]


def test_nothing_dropped_logs_nothing(make, caplog):
    op = make(Voxelize, name="vox", **SMALL)
    op.process(points=points((0, 0, 0, 0)))
    with caplog.at_level(logging.INFO, "vox"):
        op.close()
    assert caplog.messages == []


@given(st.data())
def test_many_sweeps_equal_the_naive_twin(data):
    op = prepare(Voxelize(), "vox", VoxelizeConfig(**SMALL))
    op.open()
    coordinate = st.floats(-2, 4, width=32) | st.sampled_from([0.0, 1.0, 2.0, 3.0, -1.0, 0.5, np.nan])
    for _ in range(2):
        check(op, points(*data.draw(st.lists(st.tuples(*[coordinate] * 4), max_size=25))))


def test_a_large_sweep_equals_the_naive_twin(make):
    rng = np.random.default_rng(0)
    sweep = rng.uniform([-2, -42, -3.2, 0], [72, 42, 1.2, 1], (20_000, 4)).astype(np.float32)
    sweep[:3000, :2] = sweep[0, :2]
    got = check(make(Voxelize, max_pillars=9_000), sweep)
    assert len(got.counts) == 9_000 and got.counts.max() == 32


def test_plain_python_computes_the_same():
    """What numba compiles, run by the interpreter; under NUMBA_DISABLE_JIT=1 both are the interpreter."""
    sweep = np.random.default_rng(2).uniform([-1, -2, -2, 0], [4, 2, 3, 1], (300, 4)).astype(np.float32)
    results = []
    for function in (kernel.voxelize, getattr(kernel.voxelize, "py_func", kernel.voxelize)):
        pillars, cells, counts = np.zeros((9, 3, 4), np.float32), np.zeros((9, 2), np.int32), np.zeros(9, np.int32)
        overflow, lookup = np.zeros(4, np.int64), np.full((4, 3), kernel.FREE, np.int32)
        bounds, cell = np.array(SMALL["range_m"]), np.array(SMALL["cell_m"])
        num = function(sweep, bounds, cell, lookup, pillars, cells, counts, overflow)
        results.append([num, *(a.tolist() for a in (pillars, cells, counts, overflow, lookup))])
    assert results[0] == results[1]


def test_read_only_and_strided_points(make):
    """A received frame is read-only; a column slice of a wider table is not contiguous."""
    wide = np.random.default_rng(3).uniform(0, 1, (50, 8)).astype(np.float32)
    sweep = wide[:, :4]
    sweep.flags.writeable = False
    check(make(Voxelize, **SMALL), sweep)


def test_output_lies_in_the_loan(make):
    op, loans = make(Voxelize, **SMALL), {}

    def alloc(port, name, shape, dtype):
        loans[name] = np.full(shape, 7, dtype)
        assert port == "pillars"
        return loans[name]

    attach(op, alloc=alloc)
    got = op.process(points=points((0, 0, 0, 0), (1, 0, 0, 0)))
    for name, array in got._asdict().items():
        assert array.ctypes.data == loans[name].ctypes.data and array.flags.c_contiguous
    assert sum(-(-a.nbytes // 64) * 64 for a in loans.values()) == Voxelize.slot_bytes(op.config)["pillars"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"max_points": 0}, "max_points: needs 1 or more, got 0"),
        ({"max_pillars": -1}, "max_pillars: needs 1 or more, got -1"),
        ({"range_m": (0, 0, 1, 1, 1, 1)}, "range_m: needs z1 > z0, got z0 = 1, z1 = 1"),
        (
            {"cell_m": (0.3, 0.16)},
            "range_m: needs a whole number of cells, got x from 0.0 to 69.12 in cells of 0.3 m",
        ),
        (
            {"cell_m": (0.16, 0.0)},
            "range_m: needs a whole number of cells, got y from -39.68 to 39.68 in cells of 0.0 m",
        ),
    ],
)
def test_wrong_settings(config, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        VoxelizeConfig(**config)


def test_the_default_grid_is_that_of_pointpillars():
    assert VoxelizeConfig().grid == (496, 432)
    assert Voxelize.inputs["points"] is POINTS
