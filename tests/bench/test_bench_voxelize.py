import numpy as np
import pytest

from bench import voxelize as bench
from bench.rivals import spconv
from operators.lidar.voxelize import VoxelizeConfig
from operators.streams import Pillars
from pipeline.errors import RunError


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    monkeypatch.setenv("PIPE_DATA", str(tmp_path))  # nothing there: generated scans


def test_without_spconv_ours_is_timed_alone(monkeypatch, capsys):
    monkeypatch.setattr(spconv, "voxelizer", lambda config: None)
    got = bench.main(rounds=1)
    assert [(row["scans"], row["K"]) for row in got["rows"]] == [("generated", 32), ("generated", 100)]
    assert {key for key in got["figures"] if "K32" in key} == {f"generated.K32.{name}_ms" for name in bench.OURS}
    printed = capsys.readouterr().out
    assert "equal bits in 1, 2, 4 threads; spconv is not installed: nothing beside it" in printed


def test_beside_a_rival(monkeypatch, capsys):
    """Our own padded form in the place of spconv's."""

    def same(config: VoxelizeConfig):
        return bench.voxelizer(max_points=config.max_points)

    monkeypatch.setattr(spconv, "voxelizer", same)
    got = bench.main(rounds=1)
    assert got["figures"]["generated.K100.ratio"] == got["rows"][1]["spconv_ms"] / got["rows"][1]["packed_ms"]
    assert "threads; pillars, cells, counts equal spconv's" in capsys.readouterr().out


def test_a_difference_ends_it():
    one = Pillars(np.zeros((1, 1, 4), np.float32), np.zeros((1, 2), np.int32), np.ones(1, np.int32))
    bench.check_same(one, tuple(one))
    other = one._replace(cells=one.cells + 1)
    with pytest.raises(RunError, match=r"^bench voxelize: cells: needs spconv's, got others: \(1, 2\) and \(1, 2\)$"):
        bench.check_same(one, tuple(other))


def test_spconv_itself_where_it_is_installed():
    run = spconv.voxelizer(VoxelizeConfig(max_points=2))
    if run is None:
        pytest.skip("spconv is not installed")
    x = np.float32(1.28)
    scan = np.array([(x, 0, 0, 0.5), (np.nextafter(x, np.float32(0)), 0, 0, 0.25), (x, 0, 9, 0)], np.float32)
    bench.check_same(bench.voxelizer(max_points=2)(scan), run(scan))
