"""Rows of `pipe top` from two hand-made snapshots: empty, one, many, a restart, a graph that has ended."""

import copy

import pytest
from snapshots import EDGE, LAST, empty, snapshot, sparse

from pipeline.watch.top_rows import EDGES, NODES, changes, edge_rows, line, lines, node_rows, ordered, title


def named(rows):
    return {row.name: row for row in rows}


def test_before_the_first_frame():
    rows = named(node_rows(None, empty()))
    assert (rows["detect"].rate, rows["detect"].p50, rows["detect"].latency, rows["detect"].cpu) == (0.0, None, None, 0.0)
    assert edge_rows(None, empty())[0].p99 is None
    assert line(None, empty()) == "0 frames  cam 0.0/s, detect 0.0/s, show 0.0/s  queued 0  dropped: none"


def test_a_run_without_nodes():
    nothing = empty() | {"nodes": {}, "edges": {}, "processes": {}}
    assert (node_rows(None, nothing), edge_rows(None, nothing), changes(nothing, nothing)) == ([], [], [])
    assert lines([], NODES) == ["node"]
    assert title(None, nothing) == "g: run g-7-00000001, 0 frames in 0.0 s; since the start"


def test_the_window_has_its_own_rates_and_percentiles():
    then = snapshot(10.0, 100)
    now = snapshot(12.0, 130)
    now["nodes"]["detect"]["compute"] = sparse([20.0] * 100 + [80.0] * 30)  # the last 30 were slow
    now["nodes"]["show"]["latency"] = sparse([40.0] * 100 + [90.0] * 30)
    rows, whole = named(node_rows(then, now)), named(node_rows(None, now))
    assert rows["detect"].rate == pytest.approx(15.0)
    assert rows["detect"].p50 == pytest.approx(80.0, rel=0.01) and whole["detect"].p50 == pytest.approx(20.0, rel=0.01)
    assert rows["show"].latency == pytest.approx((90.0, 90.0), rel=0.01) and rows["detect"].latency is None
    assert rows["detect"].cpu == pytest.approx(50.0) and rows["cam"].cpu == pytest.approx(10.0)
    assert whole["detect"].rate == pytest.approx(130 / 12)
    assert title(then, now) == "g: run g-7-00000001, 130 frames in 12.0 s, 15.0/s; window 2.0 s"


def test_queue_age_and_drops_of_an_edge():
    then, now = snapshot(10.0, 100), snapshot(12.0, 140)
    then["edges"][EDGE]["dropped"] = {"queue_full": 2}
    now["edges"][EDGE] |= {
        "delivered": 120,
        "in_flight": 3,
        "oldest_ms": 35.0,
        "dropped": {"queue_full": 10, "too_old": 7, "error": 0},
    }
    row = edge_rows(then, now)[0]
    assert (row.rate, row.queue, row.oldest, row.drops) == (10.0, 3, 35.0, 7.5)
    assert row.dropped == {"queue_full": 10, "too_old": 7}
    assert lines([row], EDGES) == [
        "edge                     per s  queue  oldest ms  dropped                           hop p50 ms  hop p99 ms",
        "cam.image->detect.image   10.0      3         35  10 queue_full, 7 too_old (7.5/s)        0.10        0.10",
    ]
    assert line(then, now).endswith("queued 3  dropped: 10 queue_full, 7 too_old")


def test_a_restart_in_the_window():
    then, now = snapshot(10.0, 100), snapshot(11.0, 101)
    now["processes"]["work"] |= {"state": "restarting", "restarts": 1, "cpu_s": 4.9}  # less: the last reading of /proc was ahead
    now["nodes"]["detect"] |= {"state": "open", "restarts": 1}
    now["nodes"]["show"] |= {"state": "done", "restarts": 1, "status": "wrote\x1b[2J 3 files"}
    rows = named(node_rows(then, now))
    assert (rows["detect"].state, rows["detect"].cpu, rows["detect"].restarts) == ("restarting", 0.0, 1)
    assert rows["show"].state == "done"
    assert changes(then, now) == ["work: restarting, 1 restarts", "show: wrote\\x1b[2J 3 files"]
    assert changes(None, now) == [] and changes(now, now) == []


def test_a_node_that_waits_names_the_edge():
    now = snapshot()
    now["nodes"]["cam"] |= {"state": "wait", "waits_for": EDGE}
    assert node_rows(None, now)[0].state == f"wait {EDGE}"


def test_sorting():
    rows = node_rows(None, snapshot())
    title_of = [column.title for column in NODES]

    def by(name):
        return [row.name for row in ordered(rows, NODES, title_of.index(name))]

    assert [row.name for row in ordered(rows, NODES, None)] == ["cam", "detect", "show"]
    assert by("CPU %") == ["detect", "show", "cam"]
    assert by("p99 ms") == ["detect", "cam", "show"]
    assert by("latency p50, p99 ms")[0] == "show"
    assert by("level") == ["detect", "cam", "show"]
    dropped = copy.deepcopy(snapshot())
    dropped["edges"][LAST]["dropped"] = {"stale": 1}
    assert [row.name for row in ordered(edge_rows(None, dropped), EDGES, len(EDGES) - 1)] == [LAST, EDGE]


def test_the_table_as_plain_text():
    assert lines(node_rows(None, snapshot()), NODES) == [
        "node    state  per s  p50 ms  p99 ms  CPU %   MB  latency p50, p99 ms  level  process",
        "cam     busy    10.0    3.02    3.02     10   80",
        "detect  busy    10.0   19.99   19.99     50  120                       full   work",
        "show    busy    10.0    1.01    1.01     50  120           40.3, 40.3         work",
    ]


def test_a_narrow_screen_keeps_the_first_columns_and_the_sorted_one():
    now = snapshot()
    now["nodes"]["show"] |= {"status": "Car 77.3, Pedestrian 85.8, Cyclist 98.4", "state": "wait", "waits_for": EDGE}
    rows, level = node_rows(None, now), [column.title for column in NODES].index("level")
    for width in range(10, 200):
        assert max(map(len, lines(rows, NODES, width, level))) <= width
    assert lines(rows, NODES, 41, level) == [
        "node    state       per s  p50 ms  level↓",
        "cam     busy         10.0    3.02",
        "detect  busy         10.0   19.99  full",
        "show    wait cam.…   10.0    1.01",
    ]
    assert lines(rows, NODES, 150)[3].endswith("Car 77.3, Pedestrian 85.8, Cyclist 98.4")
    assert lines(rows, NODES, 115)[3].endswith("Car 77.3, Pedes…")
