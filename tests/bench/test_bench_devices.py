import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")

from bench import devices


def test_the_tables_as_published():
    assert len(devices.PUBLISHED) == 12
    assert {voxel for _, voxel in devices.NETS} == set(devices.GRIDS)


@pytest.mark.slow
def test_one_net(tmp_path, capsys):
    out = devices.main(scenes=2, nets=[("PointPillars", 28)], results=tmp_path)
    (row, *_) = out["rows"]
    assert (row["runtime"], row["device"], row["voxel_cm"]) == ("torch", "cpu", 28)
    assert row["ms"] > 0
    assert row["memory_mb"] < row["estimate_mb"] < 2.5 * row["memory_mb"], "an upper bound, and not a wild one"
    assert "this machine" in capsys.readouterr().out
