"""Recorded outputs of Jetson boards, each with its source (no board was here); folders that look like their /proc, /sys, /etc."""

from __future__ import annotations

import time
from pathlib import Path

TEGRASTATS = {
    # JetPack 7, AGX Orin Developer Kit: a test of a public fork of jetson_stats, recorded 2026-07-25
    "orin-jp7": "07-25-2026 09:08:28 RAM 20642/62817MB (lfb 1x2MB) CPU "
    "[23%@2201,10%@2201,4%@2201,14%@2201,30%@2201,18%@2201,10%@2201,10%@2201,33%@2201,7%@2201,5%@2201,27%@2201] "
    "EMC_FREQ 3%@3199 GR3D_FREQ 12%@[1300,1300] NVENC0 off NVDEC0 off NVJPG0 off NVJPG1 off VIC off OFA off "
    "NVDLA0 off NVDLA1 off PVA0_FREQ off APE 174 cpu@52.968C/52.968C soc2@48.406C/48.406C soc0@49.531C/49.531C "
    "gpu@47.625C/47.625C VDD_GPU_SOC 5139mW/5139mW/5139mW VDD_CPU_CV 3268mW/3268mW/3268mW VIN_SYS_5V0 "
    "5500mW/5500mW/5500mW",
    # AGX Xavier, JetPack 4.2: github.com/martinkersner/gtop, pull request 7, 2019-06-17
    "xavier": "RAM 14700/15692MB (lfb 3x2MB) SWAP 898/8192MB (cached 23MB) CPU "
    "[0%@1190,0%@1190,0%@1190,0%@1190,0%@1190,0%@1190,0%@1190,0%@1190] EMC_FREQ 0% GR3D_FREQ 0% AO@30C GPU@30.5C "
    "Tboard@31C Tdiode@32C AUX@30.5C CPU@31.5C thermal@30.8C PMIC@100C GPU 463/463 CPU 618/618 SOC 2936/2936 CV "
    "0/0 VDDRQ 309/309 SYS5V 3306/3306",
    # TX2, JetPack 3, busy: a public log processor's sample of 2018-08-23
    "tx2": "[2018-08-23 16:30:36] : RAM 4923/7850MB (lfb 360x4MB) CPU "
    "[33%@2034,42%@2033,100%@2036,22%@2035,61%@2034,43%@2035] EMC_FREQ 14%@1600 GR3D_FREQ 22%@1300 APE 150 MTS fg"
    " 0% bg 0% BCPU@53C MCPU@53C GPU@59C PLL@53C AO@50.5C Tboard@48C Tdiode@49.5C PMIC@100C thermal@52.1C VDD_IN "
    "9273/9056 VDD_CPU 3716/3302 VDD_GPU 1430/1586 VDD_SOC 714/705 VDD_WIFI 0/0 VDD_DDR 1148/1198",
    # TX2, JetPack 4: github.com/FindHao/tx-utils, issue 3, 2019-09-05
    "tx2-jp4": "RAM 2020/7852MB (lfb 1164x4MB) CPU [9%@345,21%@345,25%@345,3%@345,1%@345,1%@345] EMC_FREQ 0% GR3D_FREQ 0% "
    "PLL@42.5C MCPU@42.5C PMIC@100C Tboard@40C GPU@41C BCPU@42.5C thermal@41.9C Tdiode@41.25C VDD_SYS_GPU 153/158"
    " VDD_SYS_SOC 536/547 VDD_4V0_WIFI 633/527 VDD_IN 3140/3208 VDD_SYS_CPU 536/590 VDD_SYS_DDR 557/601",
}
RELEASES = {
    # Orin NX: a public note, "Wed Jan 8 2025" (JetPack 6.2)
    "orin": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025",
    # TX2, L4T 32.5.1: a public note of docs on L4T
    "tx2": "# R32 (release), REVISION: 5.1, GCID: 26202423, BOARD: t186ref, EABI: aarch64, DATE: Fri Feb 19 16:50:29 UTC 2021",
}
NVPMODEL = "NV Power Mode: MAXN\n0\n"
"""`nvpmodel -q`, as in NVIDIA's developer guides; JetPack 4 first says "NV Fan Mode:quiet"."""


def folder(root: Path, files: dict[str, object]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def orin(root: Path) -> Path:
    """An AGX Orin. Names and values of its monitors: sbc-bench's public result 4ax9 (VDD_GPU_SOC 19.98 V 0.24 A, ...); throttle
    alerts and soctherm_oc: NVIDIA's developer guide r36."""
    files: dict[str, object] = {
        "proc/device-tree/model": "NVIDIA Jetson AGX Orin Developer Kit\0",
        "proc/meminfo": "MemTotal:       64325204 kB\nMemAvailable:   60000000 kB",
        "proc/cpuinfo": "processor\t: 0\nmodel name\t: ARMv8 Processor rev 1 (v8l)",
        "etc/nv_tegra_release": RELEASES["orin"],
        "sys/devices/system/cpu/online": "0-3,8-11",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil",
        "sys/class/devfreq/17000000.gpu/cur_freq": "306000000",
        "sys/class/devfreq/17000000.gpu/max_freq": "1300500000",
        "sys/class/devfreq/15340000.vic/cur_freq": "729600000",
        "sys/devices/platform/gpu.0/load": "123",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
        "sys/class/thermal/thermal_zone0/temp": "52968",
        "sys/class/thermal/thermal_zone1/type": "gpu-thermal",
        "sys/class/thermal/thermal_zone1/temp": "47625",
        "sys/class/thermal/thermal_zone2/type": "cv0-thermal",  # an engine that is off: its temp cannot be read
        "sys/class/thermal/cooling_device0/type": "cpu-throttle-alert",
        "sys/class/thermal/cooling_device0/cur_state": "0",
        "sys/class/thermal/cooling_device1/type": "pwm-fan",
        "sys/class/thermal/cooling_device1/cur_state": "3",
        "sys/class/hwmon/hwmon3/name": "soctherm_oc",
    }
    for policy, (now, most) in enumerate(((729600, 2201600), (1510400, 2201600))):
        files[f"sys/devices/system/cpu/cpufreq/policy{4 * policy}/scaling_cur_freq"] = now
        files[f"sys/devices/system/cpu/cpufreq/policy{4 * policy}/scaling_max_freq"] = most
    for number in (1, 2, 3):
        files[f"sys/class/hwmon/hwmon3/oc{number}_event_cnt"] = 0
    for chip, rails in {
        "hwmon1": (("VDD_GPU_SOC", 19980, 240), ("VDD_CPU_CV", 19980, 80), ("VIN_SYS_5V0", 5060, 740)),
        "hwmon2": (("NC", 0, 0), ("VDDQ_VDD2_1V8AO", 5060, 140), ("NC", 0, 0)),
    }.items():
        files[f"sys/class/hwmon/{chip}/name"] = "ina3221"
        for channel, (label, millivolts, milliamperes) in enumerate(rails, 1):
            files[f"sys/class/hwmon/{chip}/in{channel}_label"] = label
            files[f"sys/class/hwmon/{chip}/in{channel}_input"] = millivolts
            files[f"sys/class/hwmon/{chip}/curr{channel}_input"] = milliamperes
        files[f"sys/class/hwmon/{chip}/in7_label"] = "sum of shunt voltages"
        files[f"sys/class/hwmon/{chip}/in7_input"] = 760
    return folder(root, files)


ORIN_W = 19.98 * 0.24 + 19.98 * 0.08 + 5.06 * 0.74


def wait_until(condition, seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.005)
