import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")

from bench import device_nets, devices
from bench.rivals import published


def test_the_tables_as_published():
    assert {voxel for _, voxel in devices.NETS} == set(device_nets.GRIDS)
    assert [len(table) for table in (published.TABLE_21, published.TABLE_22, published.TABLE_23)] == [6, 4, 7]
    for device, modes in published.TABLE_24.items():
        assert set(published.TABLE_28[device]) == set(modes), "the tracker's power modes are those of FairMOT"
        assert list(modes) == sorted(modes, key=lambda mode: -modes[mode])


def test_this_machine_has_a_row_in_every_table():
    power = {"energy_per_frame_j": 3.14159}
    where = {"runtime": "torch", "device": "cuda", "board": "NVIDIA Jetson AGX Orin, MAXN", "power_mode": "MAXN"}
    rows = [
        {"net": "TANet", "voxel_cm": 16, "ms": 100.0, "memory_mb": 6000.0, "estimate_mb": None, "power": power, **where},
        {"net": "FairMOT", "voxel_cm": 0, "ms": 250.0, "memory_mb": 900.0, "estimate_mb": None, "power": None, **where},
    ]
    lines = devices._lines({"rows": rows, "tracker": {"fps": 5000.0, "power_mode": "MAXN"}})
    assert "        here: torch cuda        TANet    16 |    10.00      6000        -     3.14" in lines
    assert any("this machine        MAXN torch cuda |           10.00               -" in line for line in lines)
    assert "        this machine          MAXN one core | 5000.00" in lines
    assert "        this machine        MAXN torch cuda | 4.00" in lines


@pytest.mark.slow
def test_one_net(tmp_path, capsys):
    out = devices.main(scenes=2, nets=[("PointPillars", 28)], results=tmp_path, fairmot=False, tracked=20)
    (row, *_) = out["rows"]
    assert (row["runtime"], row["device"], row["voxel_cm"]) == ("torch", "cpu", 28)
    assert row["ms"] > 0
    assert row["memory_mb"] < row["estimate_mb"] < 2.5 * row["memory_mb"], "an upper bound, and not a wild one"
    assert (row["power_mode"], out["tracker"]["frames"]) == ("", 20) and out["figures"]["tracker.fps"] > 0
    assert "this machine" in capsys.readouterr().out
