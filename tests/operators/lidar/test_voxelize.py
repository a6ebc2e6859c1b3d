import logging
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from operators.kernels import voxelize as kernel
from operators.lidar.voxelize import Voxelize, VoxelizeConfig, part_of
from operators.streams import MAX_POINTS, PILLARS, POINTS
from pipeline.errors import FrameError
from pipeline.operator import attach, prepare
from pipeline.testing import header, run_operator

SMALL = {"cell_m": (1.0, 0.5), "range_m": (0.0, -1.0, -1.0, 3.0, 1.0, 2.0), "max_points": 2, "max_pillars": 4}


def points(*rows):
    return np.array(rows, np.float32).reshape(-1, 4)


def check(op, sweep):
    """Against the naive twin -> the pillars"""
    before = op.grouping.dropped.copy()
    got = op.process(points=sweep)
    c = op.config
    if c.mode == "dynamic":
        groups, outside, nan = naive.pillars_of(sweep, c.range_m, c.cell_m)
        every = np.array([point for members in groups.values() for point in members], np.float32).reshape(-1, 1, 4)
        counts = np.array([len(members) for members in groups.values()], np.int32)
        expected, dropped = [every, np.array(list(groups), np.int32).reshape(-1, 2), counts], (0, 0, outside, nan)
    else:
        *expected, dropped = naive.voxelize(sweep, c.range_m, c.cell_m, c.max_points, c.max_pillars)
    if c.packed:
        padded, _, counts = expected
        expected[0] = padded[np.arange(padded.shape[1]) < counts[:, None]].reshape(-1, 1, 4)
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    assert (op.grouping.dropped - before).tolist() == list(dropped)
    assert (op.grouping.lookup == kernel.FREE).all()
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
    assert op.grouping.dropped.tolist() == [2, 6, 2, 0]


def test_totals_are_logged_once_at_the_end(make, caplog):
    op = make(Voxelize, name="vox", **{**SMALL, "max_pillars": 1})
    op.process(points=points((0, 0, 0, 0), (1, 0, 0, 0), (0, 9, 0, 0), (0, 0, 0, np.nan), (0, 0, 0, 1), (0, 0, 0, 0.5)))
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


GRIDS = [
    ((1.0, 0.5), (0.0, -1.0, -1.0, 3.0, 1.0, 2.0)),
    ((0.16, 0.16), (0.0, -39.68, -3.0, 69.12, 39.68, 1.0)),
    ((0.28, 0.28), (0.0, -40.32, -3.0, 71.68, 40.32, 1.0)),
    ((0.1, 0.3), (-0.7, 0.3, -0.1, 0.7, 1.5, 0.2)),
]


def near_borders(low, edge, cells):
    """float32 at and beside the borders of one axis, and everything that is no ordinary number"""
    k = st.integers(-1, cells + 1) | st.sampled_from([0, 1, cells - 1, cells])
    exact = k.map(lambda k: np.float32(low + k * edge))
    steps = st.integers(-3, 3)
    beside = st.tuples(exact, steps).map(lambda pair: _ulps(*pair))
    odd = st.sampled_from([0.0, -0.0, 1e-45, -1e-45, np.inf, -np.inf, np.nan, 3.4e38, -3.4e38])
    return beside | odd | st.floats(low - edge, low + (cells + 1) * edge).map(np.float32)


def _ulps(value, steps):
    for _ in range(abs(steps)):
        value = np.nextafter(value, np.float32(np.inf * steps))
    return value


@pytest.mark.parametrize("grid", GRIDS)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_points_at_the_borders_equal_the_naive_twin(grid, data):
    cell_m, range_m = grid
    how = data.draw(st.sampled_from([{}, {"packed": True}, {"mode": "dynamic"}]))
    op = prepare(Voxelize(), "vox", VoxelizeConfig(cell_m=cell_m, range_m=range_m, max_points=2, max_pillars=5, **how))
    op.header = header(0)
    op.open()
    rows, columns = op.config.grid
    axes = [(range_m[0], cell_m[0], columns), (range_m[1], cell_m[1], rows), (range_m[2], range_m[5] - range_m[2], 1)]
    point = st.tuples(*(near_borders(*axis) for axis in axes), st.sampled_from([0.0, 0.5, np.nan]))
    for _ in range(2):
        check(op, points(*data.draw(st.lists(point, max_size=12))))


@pytest.mark.parametrize(
    ("x", "column"),
    [
        (1.28, 8),  # in float64 float32(1.28) / 0.16 = 7.9999998
        (np.nextafter(np.float32(1.28), np.float32(0)), 7),
        (-0.0, 0),
        (69.12, None),
        (np.nextafter(np.float32(69.12), np.float32(0)), 431),
        (-1e-45, None),
    ],
)
def test_the_division_is_that_of_float32(make, x, column):
    _, cells, _ = make(Voxelize).process(points=points((x, 0, 0, 0)))
    assert cells.tolist() == ([] if column is None else [[248, column]])


def test_a_large_sweep_equals_the_naive_twin(make):
    rng = np.random.default_rng(0)
    sweep = rng.uniform([-2, -42, -3.2, 0], [72, 42, 1.2, 1], (20_000, 4)).astype(np.float32)
    sweep[:3000, :2] = sweep[0, :2]
    got = check(make(Voxelize, max_pillars=9_000), sweep)
    assert len(got.counts) == 9_000 and got.counts.max() == 32


@pytest.mark.parametrize("how", [{"packed": True}, {"mode": "dynamic"}])
def test_a_large_packed_sweep_equals_the_naive_twin(make, how):
    rng = np.random.default_rng(1)
    sweep = rng.uniform([-2, -42, -3.2, 0], [72, 42, 1.2, 1], (20_000, 4)).astype(np.float32)
    sweep[:3000, :2] = sweep[0, :2]
    pillars, _, counts = check(make(Voxelize, max_pillars=9_000, **how), sweep)
    assert pillars.shape == (counts.sum(), 1, 4)
    assert (counts.max() > 1000) == (how == {"mode": "dynamic"})


def test_packed_and_padded_hold_the_same_points(make):
    sweep = np.random.default_rng(5).uniform([-1, -2, -2, 0], [4, 2, 3, 1], (300, 4)).astype(np.float32)
    padded, packed = (make(Voxelize, **{**SMALL, "max_points": 7, "packed": p}).process(points=sweep) for p in (False, True))
    np.testing.assert_array_equal(packed.counts, padded.counts)
    np.testing.assert_array_equal(packed.cells, padded.cells)
    np.testing.assert_array_equal(packed.pillars[:, 0], np.concatenate([p[:n] for p, n in zip(*padded[::2], strict=True)]))


def test_one_point_per_pillar_is_the_same_padded_and_packed(make):
    sweep = np.random.default_rng(6).uniform([-1, -2, -2, 0], [4, 2, 3, 1], (50, 4)).astype(np.float32)
    one, other = (make(Voxelize, **{**SMALL, "max_points": 1, "packed": p}).process(points=sweep) for p in (False, True))
    assert [a.tolist() for a in one] == [a.tolist() for a in other]


ONE_CELL = {"cell_m": (1.0, 1.0), "range_m": (0.0, 0.0, 0.0, 1.0, 1.0, 1.0), "max_points": 4, "subset": "random"}


def numbered(count):
    """Points of one cell, numbered by their intensity"""
    sweep = np.full((count, 4), 0.5, np.float32)
    sweep[:, 3] = np.arange(count) / 1000
    return sweep


def kept(op, count, frame_id=0):
    op.header = header(frame_id)
    return (op.process(points=numbered(count)).pillars[0, :, 3] * 1000).round().astype(int).tolist()


def test_a_random_subset_is_in_input_order_and_the_same_for_the_same_seed_and_frame(make):
    op, same, other = make(Voxelize, **ONE_CELL), make(Voxelize, **ONE_CELL), make(Voxelize, **ONE_CELL, seed=1)
    for frame_id in (3, 0, 7):
        found = kept(op, 50, frame_id)
        assert len(found) == 4 and found == sorted(set(found))
        assert found == kept(same, 50, frame_id) != kept(other, 50, frame_id)
    assert kept(op, 50, 1) != kept(op, 50, 2)
    assert kept(op, 4) == [0, 1, 2, 3], "a pillar that is not too full keeps all"
    assert op.grouping.dropped.tolist() == [0, 5 * 46, 0, 0]


def test_a_random_subset_does_not_depend_on_other_cells_or_the_form(make):
    sweep = np.random.default_rng(7).uniform([0, -1, -1, 0], [3, 1, 2, 1], (400, 4)).astype(np.float32)
    config = {**SMALL, "max_pillars": 100, "max_points": 5, "subset": "random"}
    padded, packed = (make(Voxelize, **config, packed=p).process(points=sweep) for p in (False, True))
    np.testing.assert_array_equal(packed.pillars[:, 0], padded.pillars.reshape(-1, 4))
    row, column = padded.cells[3].tolist()
    inside = (sweep[:, 0] // 1 == column) & ((sweep[:, 1] + 1) // 0.5 == row)
    alone = make(Voxelize, **config).process(points=sweep[inside])
    np.testing.assert_array_equal(alone.pillars[0], padded.pillars[3])
    assert all(member.tolist() in sweep[inside].tolist() for member in padded.pillars[3])


def test_every_point_of_a_full_pillar_is_equally_likely(make):
    op = make(Voxelize, **ONE_CELL)
    hits = np.bincount(np.concatenate([kept(op, 10, frame_id) for frame_id in range(2000)]), minlength=10)
    assert hits.sum() == 8000
    assert abs(hits - 800).max() < 5 * np.sqrt(2000 * 0.4 * 0.6), "five deviations"


def test_plain_python_computes_the_same():
    """What numba compiles, run by the interpreter; under NUMBA_DISABLE_JIT=1 both are the interpreter."""
    sweep = np.random.default_rng(2).uniform([-1, -2, -2, -0.1], [4, 2, 3, 1], (300, 4)).astype(np.float32)
    sweep[7] = np.nan
    low, edges = np.array([0, -1, -1], np.float32), np.array([1, 0.5, 3], np.float32)
    results = []
    for plain in (False, True):
        f = {n: getattr(kernel, n) for n in ("group", "choose", "keep", "pack", "pad")}
        if plain:
            f = {n: getattr(function, "py_func", function) for n, function in f.items()}
        cells, counts, dropped = np.zeros((9, 2), np.int32), np.zeros(9, np.int32), np.zeros(4, np.int64)
        lookup, pillar, rank = np.full((4, 3), kernel.FREE, np.int32), np.zeros(300, np.int32), np.zeros(300, np.int32)
        scratch = np.zeros(9, np.int32)
        num, odd = f["group"](sweep, low, edges, lookup, pillar, rank, cells, counts, dropped)
        assert num == 9 and odd > 0
        f["choose"](pillar, rank, cells, counts, scratch, 3, 11)
        packed = np.zeros((f["keep"](counts, 3, dropped), 4), np.float32)
        padded = np.ones((9, 4, 4), np.float32)
        f["pack"](sweep, pillar, rank, counts, scratch, packed)
        f["pad"](sweep, pillar, rank, counts, padded)
        results.append([num, odd, *(a.tolist() for a in (cells, counts, dropped, lookup, packed, padded))])
    assert results[0] == results[1]


def test_read_only_and_strided_points(make):
    """A received frame is read-only; a column slice of a wider table is not contiguous."""
    wide = np.random.default_rng(3).uniform(0, 1, (50, 8)).astype(np.float32)
    sweep = wide[:, :4]
    sweep.flags.writeable = False
    check(make(Voxelize, **SMALL), sweep)


@pytest.mark.parametrize("how", [{}, {"packed": True}, {"mode": "dynamic"}])
def test_output_lies_in_the_loan(make, how):
    op, loans = make(Voxelize, **SMALL, **how), {}

    def alloc(port, name, shape, dtype):
        loans[name] = np.full(shape, 7, dtype)
        assert port == "pillars"
        return loans[name]

    attach(op, alloc=alloc)
    sweep = points(*[(x, y, 0, 0) for x, y in ((0, 0), (1, 0), (2, 0), (0, 0.5)) for _ in range(2)])  # four pillars, all full
    got = op.process(points=sweep)
    assert got.counts.tolist() == [2, 2, 2, 2]
    for name, array in got._asdict().items():
        assert array.ctypes.data == loans[name].ctypes.data and array.flags.c_contiguous
    used, slot = sum(-(-a.nbytes // 64) * 64 for a in loans.values()), Voxelize.slot_bytes(op.config)["pillars"]
    assert used < slot if how == {"mode": "dynamic"} else used == slot


@pytest.mark.parametrize(
    ("config", "points_of_slot", "pillars_of_slot"),
    [
        ({}, 16_000 * 32, 16_000),
        ({"packed": True}, MAX_POINTS, 16_000),
        ({"packed": True, "max_points": 2}, 32_000, 16_000),
        ({"mode": "dynamic"}, MAX_POINTS, MAX_POINTS),
        ({"mode": "dynamic", **{k: SMALL[k] for k in ("cell_m", "range_m")}}, MAX_POINTS, 12),
    ],
)
def test_slots_hold_the_largest_frame(config, points_of_slot, pillars_of_slot):
    sizes = (16 * points_of_slot, 8 * pillars_of_slot, 4 * pillars_of_slot)
    assert Voxelize.slot_bytes(VoxelizeConfig(**config)) == {"pillars": sum(-(-size // 64) * 64 for size in sizes)}


def test_two_million_points(make):
    sweep = np.random.default_rng(8).uniform([0, -39, -3, 0], [69, 39, 1, 1], (2_000_000, 4)).astype(np.float32)
    got = make(Voxelize, max_points=4).process(points=sweep)
    assert got.pillars.shape == (16_000, 4, 4) and (got.counts > 0).all()
    every = make(Voxelize, mode="dynamic").process(points=sweep)
    assert every.counts.sum() == 2_000_000


def test_intensity_up_to_255_is_named_once(make, caplog):
    op = make(Voxelize, name="vox", **SMALL)
    with caplog.at_level(logging.INFO, "vox"):
        op.process(points=points((0, 0, 0, 1), (1, 0, 0, 0)))
        op.process(points=points((0, 0, 0, np.nan), (1, 0, 0, 3), (9, 9, 9, 255)))
        op.process(points=points((0, 0, 0, 200)))
        op.process(points=points((0, 0, 0, -1)))
    assert caplog.messages == [
        "points at dets:0: needs intensity 0..1, got 3..255; a sensor that counts to 255? its driver divides by 255. "
        "Later frames are not named"
    ]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"max_points": 0}, "max_points: needs 1 or more, got 0"),
        ({"max_pillars": -1}, "max_pillars: needs 1 or more, got -1"),
        ({"range_m": (0, 0, 1, 1, 1, 1)}, "range_m: needs z1 > z0, got z0 = 1, z1 = 1"),
        ({"seed": -1}, "seed: needs 0 .. 2147483647, got -1"),
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


def test_a_wrong_number_of_columns_is_refused():
    message = "voxelize.points.points: needs (N, 4) float32, got (5, 5) float32; a column dropped or added on the way?"
    with pytest.raises(FrameError, match=f"^{re.escape(message)}$"):
        run_operator(Voxelize, [np.zeros((5, 5), np.float32)])


@pytest.mark.slow
def test_two_million_points_in_a_graph(pipe, tmp_path):
    scan = np.random.default_rng(9).uniform([0, -39, -3, 0], [69, 39, 1, 1], (2_000_000, 4)).astype(np.float32)
    scan.tofile(tmp_path / "000000.bin")
    ended = pipe.run(
        pipe.graph(f"""
  scans: {{driver: clouds, config: {{files: "{tmp_path / "000000.bin"}"}}}}
  voxelize: {{op: lidar.voxelize, inputs: {{points: scans.points}}}}
  end: {{op: test.null, inputs: {{in: voxelize.pillars}}}}
""")
    )
    assert ended.code == 0, ended.stderr
    assert ended.report["sinks"]["end"]["frames"] == 1


@pytest.mark.parametrize(("level", "share"), [(1, 2 / 3), (2, 0.5)])
@pytest.mark.parametrize("config", [{}, {"packed": True}, {"range_m": (8.0, -40.0, -3.0, 72.0, 40.0, 1.0), "mode": "dynamic"}])
def test_a_lower_level_is_the_near_part_of_the_same_grid(make, level, share, config):
    full, near = make(Voxelize, name="full", **config), make(Voxelize, name="near", **config)
    near.set_level(level)
    x0, y0, _, x1, y1, _ = full.config.range_m
    rng = np.random.default_rng(5)
    cells = rng.integers(0, full.config.grid[::-1], (3000, 2))  # points in the middles of cells: no rounding at edges
    low, high = np.maximum([x0, y0], np.array([x0, y0]) * share), np.array([x1, y1]) * share
    at = np.array([x0, y0]) + (cells + 0.5) * full.config.cell_m
    sweep = np.column_stack([at, rng.uniform(-2, 0, 3000), rng.uniform(0, 1, 3000)]).astype(np.float32)
    inside = ((at > low - full.config.cell_m) & (at < high + full.config.cell_m)).all(1)
    surely = ((at > low) & (at < high)).all(1)
    assert 0 < surely.sum() < 2000
    got = near.process(points=sweep)
    kept = {tuple(cell) for cell in got.cells.tolist()}
    assert {tuple(c) for c in cells[surely][:, ::-1].tolist()} <= kept <= {tuple(c) for c in cells[inside][:, ::-1].tolist()}
    again = full.process(points=np.ascontiguousarray(sweep[[tuple(c) in kept for c in cells[:, ::-1].tolist()]]))
    for ours, theirs in zip(got, again, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    near.set_level(0)
    for ours, theirs in zip(near.process(points=sweep), full.process(points=sweep), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_range_far_away_keeps_a_cell():
    for range_m in ((40.0, 40.0, -3.0, 60.0, 60.0, 1.0), (-60.0, -60.0, -3.0, -40.0, -40.0, 1.0)):
        part, first = part_of(VoxelizeConfig(cell_m=(1.0, 1.0), range_m=range_m), 0.5)
        assert part[3] - part[0] == part[4] - part[1] == 1 and (first >= 0).all() and (first < 20).all()
