"""Meters: rails of Jetson boards, counters of PCs."""

import os

import pytest
from boards import ORIN_W, folder, orin

from pipeline.machine import power


def test_no_meter(tmp_path):
    assert power.find(tmp_path) is None


def test_the_rails_of_an_orin_are_added_without_the_one_that_is_part_of_another(tmp_path):
    meter = power.find(orin(tmp_path))
    assert meter.scope == "VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0"
    assert meter.energy(10.0) == (0.0, 0.0)
    joules, span_s = meter.energy(12.0)
    assert (joules, span_s) == (pytest.approx(2 * ORIN_W), 2.0)
    assert meter.watts() == pytest.approx(
        {"VDD_GPU_SOC": 4.7952, "VDD_CPU_CV": 1.5984, "VIN_SYS_5V0": 3.7444, "VDDQ_VDD2_1V8AO": 0.7084}
    )


def test_energy_is_the_integral_of_power(tmp_path):
    root = orin(tmp_path)
    meter = power.find(root)
    meter.energy(0.0)
    folder(root, {"sys/class/hwmon/hwmon1/curr1_input": 2240})  # 2 A more at 19.98 V
    assert meter.energy(1.0)[0] == pytest.approx(ORIN_W + 19.98)
    assert meter.energy(1.5)[0] == pytest.approx(0.5 * (ORIN_W + 39.96))


def test_a_monitor_that_does_not_answer_for_a_while(tmp_path):
    root = orin(tmp_path)
    meter = power.find(root)
    meter.energy(0.0)
    (root / "sys/class/hwmon/hwmon1/curr1_input").unlink()
    assert meter.energy(1.0) == (0.0, 0.0)
    folder(root, {"sys/class/hwmon/hwmon1/curr1_input": 240})
    assert meter.energy(2.0) == (pytest.approx(2 * ORIN_W), 2.0)


def test_jetpack_4(tmp_path):
    """Files of driver ina3221x: NVIDIA's developer guide r32, TX2; VDD_IN is the module."""
    chip = "sys/bus/i2c/drivers/ina3221x/0-0041/iio:device1/"
    rails = {
        f"{chip}rail_name_0": "VDD_IN",
        f"{chip}in_power0_input": 9273,
        f"{chip}rail_name_1": "NC",
        f"{chip}in_power1_input": 0,
    }
    meter = power.find(folder(tmp_path, {**rails, f"{chip}rail_name_2": "VDD_DDR", f"{chip}in_power2_input": 1148}))
    meter.energy(0.0)
    assert (meter.scope, meter.energy(1.0)[0]) == ("VDD_IN", pytest.approx(9.273))


def test_rails_of_an_unknown_board_are_not_added_up(tmp_path):
    files = {"name": "ina3221", "in1_label": "VDD_NEW", "in1_input": 5000, "curr1_input": 100}
    root = folder(tmp_path, {f"sys/class/hwmon/hwmon0/{name}": text for name, text in files.items()})
    assert power.hwmon(root) == {"VDD_NEW": 0.5} and power.find(root) is None


def rapl(root, **energy_uj):
    files = {}
    for index, (name, value) in enumerate(energy_uj.items()):
        zone = f"sys/class/powercap/intel-rapl:{index}/"
        files |= {f"{zone}name": name.replace("_", "-"), f"{zone}energy_uj": value, f"{zone}max_energy_range_uj": 262143328850}
    return folder(root, files)


def test_counters_of_all_packages_also_over_their_end(tmp_path):
    root = rapl(tmp_path, package_0=262143000000, package_1=0, psys=7)
    meter = power.find(root)
    assert meter.scope == "package-0 + package-1" and meter.energy(1.0) == (0.0, 0.0)
    rapl(root, package_0=671150, package_1=2_000_000, psys=9_000_000)
    assert meter.energy(3.0) == (pytest.approx(3.0), 2.0) and meter.watts() == {}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_counter_that_only_root_may_read(tmp_path):
    root = rapl(tmp_path, package_0=1)
    (root / "sys/class/powercap/intel-rapl:0/energy_uj").chmod(0)
    assert power.find(root) is None
