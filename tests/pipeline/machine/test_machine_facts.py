"""Facts of boards and PCs, from folders that look like theirs."""

import pytest
from boards import NVPMODEL, RELEASES, folder, orin

from pipeline.machine import facts as module
from pipeline.machine.facts import facts, line, power_mode, release


def test_an_empty_folder_has_no_facts_but_the_architecture(tmp_path):
    assert set(facts(tmp_path)) == {"cpu"}


def test_an_orin(tmp_path):
    found = facts(orin(tmp_path), ask=lambda: NVPMODEL)
    assert found == {
        "model": "NVIDIA Jetson AGX Orin Developer Kit",
        "l4t": "36.4.3",
        "jetpack": 6,
        "cpu": "ARMv8 Processor rev 1 (v8l)",
        "cores": 8,
        "ram_mb": 65869,
        "governor": "schedutil",
        "clocks_mhz": {"cpu": 1510, "cpu_max": 2202, "gpu": 306, "gpu_max": 1300},
        "power_mode": "MAXN",
    }
    assert line(found) == "NVIDIA Jetson AGX Orin Developer Kit, L4T 36.4.3, MAXN"


def test_a_pc_with_a_graphics_card(tmp_path):
    root = folder(
        tmp_path,
        {
            "proc/cpuinfo": "processor : 0\nmodel name\t: AMD Ryzen 9",
            "sys/class/dmi/id/sys_vendor": "LENOVO",
            "sys/class/dmi/id/product_name": "21A0",
            "proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t NVIDIA GeForce RTX 2080\nIRQ: 55",
        },
    )
    assert facts(root) == {"model": "LENOVO 21A0", "cpu": "AMD Ryzen 9", "gpu": "NVIDIA GeForce RTX 2080"}
    assert line(facts(root)) == "LENOVO 21A0"


@pytest.mark.parametrize(
    "text, want",
    [
        ("", {}),
        (RELEASES["orin"], {"l4t": "36.4.3", "jetpack": 6}),
        (RELEASES["tx2"], {"l4t": "32.5.1", "jetpack": 4}),
        ("# R99 (release), REVISION: 1.0, GCID: 1", {"l4t": "99.1.0"}),
        ("# R36 (rel", {}),
    ],
)
def test_releases(text, want):
    assert release(text) == want


@pytest.mark.parametrize(
    "said, want",
    [
        ("", ""),
        (NVPMODEL, "MAXN"),
        ("NV Fan Mode:quiet\nNV Power Mode: MODE_30W_ALL\n3\n", "MODE_30W_ALL"),
        ("NVPM ERROR: Error opening /var/lib/nvpmodel/status: 2\n", ""),
    ],
)
def test_power_modes(said, want):
    assert power_mode(said) == want


@pytest.mark.parametrize(
    "script, want",
    [("echo NV Power Mode: 15W; echo 2", "15W"), ("echo broken >&2; exit 1", None), ("sleep 30", None)],
)
def test_the_program_is_asked_on_a_jetson(tmp_path, monkeypatch, script, want):
    program = tmp_path / "bin" / "nvpmodel"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n[ $1 = -q ] || exit 3\n{script}\n".replace("sleep", "exec sleep"))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setattr(module, "NVPMODEL_S", 0.2)
    assert facts(orin(tmp_path / "root")).get("power_mode") == want


def test_a_file_that_holds_no_number(tmp_path):
    root = orin(tmp_path)
    folder(root, {"sys/class/devfreq/17000000.gpu/cur_freq": "off", "sys/devices/system/cpu/online": ""})
    found = facts(root, ask=lambda: "")
    assert "gpu" not in found["clocks_mhz"] and "cores" not in found and "power_mode" not in found
