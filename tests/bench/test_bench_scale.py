"""Lines, bends, one small run, and the printed table of `pipe bench scale`."""

import pytest

from bench import scale
from bench.lines import bends, fit, why
from bench.watched import Cost, watched

COST = Cost(100.0, 50.0, 90.0, 400.0, 60.0, 0.2, 8e-6, 0.0)


def test_a_straight_line():
    line = fit([1, 2, 4, 8], [5, 7, 11, 19])
    assert (line.start, line.slope, line.miss) == pytest.approx((3, 2, 0), abs=1e-6)
    assert bends([1, 2, 4, 8], [5, 7, 11, 19]) is None


@pytest.mark.parametrize(
    "ys, at", [([5, 7, 11, 19, 80], 4), ([10, 10, 10, 30, 60], 3), ([10, 100, 10, 10, 10], 2), ([0, 0, 0, 0, 0], None)]
)
def test_a_line_bends_at_the_first_point_that_is_not_on_it(ys, at):
    assert bends([1, 2, 4, 8, 16], ys) == at


def test_the_reason_is_what_was_measured_there():
    assert why(COST._asdict()) == "load, drops and caches do not explain it"
    row = COST._replace(busy=0.95, dropped=12.0, frame_mb=1e6)._asdict()
    assert why(row).startswith(
        "the graph uses 95 % of the cores, 12 frames were dropped, a frame is larger than the last cache ("
    )


@pytest.mark.parametrize("axis", scale.AXES)
def test_every_axis_has_a_graph_at_its_ends(axis):
    from pipeline.graph.check import check
    from pipeline.graph.load import parse

    one = scale.AXES[axis]
    for x in (one.points[0], one.points[-1]):
        text = scale.SOURCE.format(10, one.bytes(x), one.rate_hz(x)) + one.graph(x)
        check(parse(text, "bench.yaml"))


def test_the_table_the_lines_and_the_file(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(scale, "measure", lambda axis, x, seconds: COST._replace(cpu_us=10 + 5 * x, p50_us=50 + (x > 8) * 500))
    out = scale.main(rounds=2, folder=tmp_path)
    lines = out["axes"]["nodes"]["lines"]
    assert lines["cpu_us"] == {"start": 10, "slope": 5, "miss": 0, "bends_at": None, "why": None}
    assert lines["p50_us"]["bends_at"] == 16
    assert out["figures"]["nodes.32.cpu_us"] == 170 and out["figures"]["fan-out.cpu_us.slope"] == 5
    assert "bends at 16: load, drops and caches do not explain it" in capsys.readouterr().out
    assert len(list(tmp_path.glob("scale-*.json"))) == 1


def test_one_point_of_a_run_in_processes():
    cost = watched(scale.SOURCE.format(60, 4096, 50.0) + scale.edges(2))
    assert cost.cpu_us > 0 and cost.startup_ms > 0 and cost.pss_mb > 1 and 0 < cost.busy < 1
    assert cost.frame_mb == pytest.approx(0.004096) and 0 < cost.p50_us <= cost.p99_us
