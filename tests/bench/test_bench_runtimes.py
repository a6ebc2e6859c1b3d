import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("onnx")

from bench import runtimes as bench
from operators.nets.pointpillars_config import PointPillarsConfig

SMALL = PointPillarsConfig(
    cell_m=(0.64, 0.64), range_m=(0, -20.48, -3, 40.96, 20.48, 1), max_points=16, pillar_channels=8,
    block_layers=(1, 1), block_channels=(8, 8), up_channels=(8, 8),
)  # fmt: skip


@pytest.mark.slow
def test_a_small_run(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PIPE_DATA", str(tmp_path))  # nothing there: generated scans
    generated = bench._generated
    monkeypatch.setattr(bench, "_generated", lambda frames, first_drive=0: generated(min(frames, 2), first_drive))
    monkeypatch.setattr(bench, "PointPillarsConfig", lambda: SMALL)
    out = bench.main(rounds=1, agreeing=2, results=tmp_path / "results")
    names = [row["what"] for row in out["rows"]]
    assert names[:2] == ["points to boxes, this project", "dense part alone, torch fp32"]
    assert all(0 < row["median_ms"] <= row["p95_ms"] and row["cpu_ms"] > 0 for row in out["rows"])
    assert out["agreement"]["matched"] > 0 and out["figures"]["agreement"] > 0.98
    assert "2 generated scans" in out["about"]["data"]
    (path,) = (tmp_path / "results").iterdir()
    assert json.loads(path.read_text())["rows"] == out["rows"]
    assert "points to boxes, this project | median " in capsys.readouterr().out
