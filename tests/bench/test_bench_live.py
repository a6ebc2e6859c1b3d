import pytest

from bench import live as bench
from pipeline.graph.load import load
from pipeline.options import RunOptions
from pipeline.runtime.observer import Observer
from pipeline.runtime.session import Session
from pipeline.runtime.supervisor import run


@pytest.mark.slow
def test_each_sensor_is_cut_and_comes_back(tmp_path, capsys):
    short = {"cam.config.frames": 60, "ir.config.frames": 18, "velo.config.frames": 20}
    run(Session(load("rehearsal", short), RunOptions(tmp_path / "made", quiet=True)), Observer())
    got = bench.main(seconds=5, recordings=tmp_path / "made", cut_s=8)
    figures, said = got["figures"], capsys.readouterr().out
    assert figures["steady.results.hz"] > 0 and figures["steady.results2d.hz"] > 0
    assert figures["lidar cut.results.hz"] < 1 and figures["lidar cut.results2d.hz"] > 0
    assert figures["camera cut.results2d.hz"] < 1 and figures["camera cut.results.hz"] > 0
    assert figures["thermal back.results2d.hz"] > 0
    assert any("lost" in line for line in got["states"]["lidar"]) and "running; lost 1 time" in said
    assert got["dropped"]["thermal.thermal_raw->agc.thermal_raw: injected"] > 0
