import pytest
from boards import folder, orin

from pipeline.machine import heat


def test_a_machine_without_sensors(tmp_path):
    throttling = heat.Throttling(tmp_path)
    assert heat.temperatures(tmp_path) == {} and not throttling and throttling.look() == []


def test_an_orin(tmp_path):
    root = orin(tmp_path)
    assert heat.temperatures(root) == {"cpu-thermal": pytest.approx(52.968), "gpu-thermal": pytest.approx(47.625)}
    throttling = heat.Throttling(root)
    assert throttling and throttling.look() == [], "a fan that turns is no throttling"
    folder(root, {"sys/class/thermal/cooling_device0/cur_state": 1, "sys/class/hwmon/hwmon3/oc3_event_cnt": 4})
    assert throttling.look() == ["cpu too warm", "over-current"]
    assert throttling.look() == ["cpu too warm"], "a count counts once"
    folder(root, {"sys/class/thermal/cooling_device0/cur_state": 0})
    assert throttling.look() == []


def test_counts_from_before_the_run_do_not_count(tmp_path):
    root = folder(orin(tmp_path), {"sys/class/hwmon/hwmon3/oc1_event_cnt": 37})
    assert heat.Throttling(root).look() == []


def test_a_pc(tmp_path):
    files = {f"sys/devices/system/cpu/cpu{n}/thermal_throttle/core_throttle_count": 5 for n in range(2)}
    chip = {"name": "coretemp", "temp1_input": 61000, "temp2_input": 64000}
    root = folder(tmp_path, files | {f"sys/class/hwmon/hwmon0/{name}": text for name, text in chip.items()})
    assert heat.temperatures(root) == {"coretemp": 64.0}
    throttling = heat.Throttling(root)
    folder(root, {"sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count": 6})
    assert throttling.look() == ["cpu thermal throttling"]
