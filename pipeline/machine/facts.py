"""What this machine is: board, software, power mode, clocks. On a Jetson and on any Linux PC; what a machine lacks is left out.

Source: NVIDIA's developer guides (Platform Power and Performance, r32 to r36), kernel.org (cpufreq, devfreq). No board was here:
the tests read recorded files.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.machine.read import listed, number, text

JETPACK = {32: 4, 34: 5, 35: 5, 36: 6, 38: 7, 39: 7}
"""Release of Jetson Linux (L4T) -> JetPack."""
NVPMODEL_S = 1.0
ROOT = Path("/")


def facts(root: Path = ROOT, ask: Callable[[], str] | None = None) -> dict[str, Any]:
    """The machine below `root`, ready for JSON.

    model, l4t, jetpack, power_mode, cpu, cores (online), ram_mb, gpu, governor, clocks_mhz {cpu, cpu_max, gpu, gpu_max}
    ask: the output of `nvpmodel -q`; None: the program is asked on a Jetson. A key is absent where the machine has no such thing.
    """
    found: dict[str, Any] = {
        "model": model(root),
        **release(text(root / "etc/nv_tegra_release")),
        "cpu": processor(root),
        "cores": cores(root),
        "ram_mb": ram_mb(root),
        "gpu": _gpu(root),
        "governor": text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "clocks_mhz": clocks(root),
    }
    if "l4t" in found:
        found["power_mode"] = power_mode(_nvpmodel() if ask is None else ask())
    return {key: value for key, value in found.items() if value not in ("", {}, None)}


def model(root: Path) -> str:
    """Of the device tree, or of the firmware of a PC: "NVIDIA Jetson AGX Orin Developer Kit"."""
    if tree := text(root / "proc/device-tree/model"):
        return tree
    maker, product = (text(root / "sys/class/dmi/id" / name) for name in ("sys_vendor", "product_name"))
    return f"{maker} {product}".strip()


def release(line: str) -> dict[str, Any]:
    """First line of /etc/nv_tegra_release -> {"l4t": "36.4.3", "jetpack": 6}; {} elsewhere."""
    match = re.match(r"# R(\d+) \(release\), REVISION: ([\d.]+)", line)
    if match is None:
        return {}
    major = int(match[1])
    return {"l4t": f"{major}.{match[2]}"} | ({"jetpack": JETPACK[major]} if major in JETPACK else {})


def power_mode(said: str) -> str:
    """Output of `nvpmodel -q` -> name of the mode, MAXN or 30W; "" if it has none."""
    match = re.search(r"^NV Power Mode: *(\S.*)$", said, re.MULTILINE)
    return match[1].strip() if match else ""


def _nvpmodel() -> str:
    program = shutil.which("nvpmodel", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        return ""
    try:
        done = subprocess.run(
            [program, "-q"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=NVPMODEL_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def processor(root: Path) -> str:
    """Of /proc/cpuinfo; ARM's has no "model name" on some kernels: then the architecture."""
    match = re.search(r"^model name\s*: *(.+)$", text(root / "proc/cpuinfo"), re.MULTILINE)
    return match[1].strip() if match else platform.machine()


def cores(root: Path) -> int | None:
    """Number of online cores ("0-3,8-11"): a power mode switches some off."""
    spans = re.findall(r"(\d+)(?:-(\d+))?", text(root / "sys/devices/system/cpu/online"))
    return sum(int(last or first) - int(first) + 1 for first, last in spans) or None


def ram_mb(root: Path = ROOT) -> int | None:
    """All memory that Linux has; a Jetson's GPU uses the same."""
    match = re.search(r"^MemTotal:\s+(\d+) kB", text(root / "proc/meminfo"), re.MULTILINE)
    return int(match[1]) * 1024 // 1_000_000 if match else None


def _gpu(root: Path) -> str:
    """Names that NVIDIA's driver for PCs lists."""
    cards = listed(root / "proc/driver/nvidia/gpus", "*/information")
    names = [match[1].strip() for card in cards if (match := re.search(r"^Model:(.+)$", text(card), re.MULTILINE))]
    return ", ".join(names)


def clocks(root: Path) -> dict[str, int]:
    """MHz now and at most, of the fastest core and of a Jetson's GPU (devfreq 17000000.gpu, .ga10b, .gv11b, .gp10b)."""
    policies = listed(root / "sys/devices/system/cpu/cpufreq", "policy*")
    gpus = [path for path in listed(root / "sys/class/devfreq", "*") if re.search(r"\.(gpu|ga10b|gv11b|gp10b)$", path.name)]
    files = {
        "cpu": ([path / "scaling_cur_freq" for path in policies], 1e3),
        "cpu_max": ([path / "scaling_max_freq" for path in policies], 1e3),
        "gpu": ([path / "cur_freq" for path in gpus], 1e6),
        "gpu_max": ([path / "max_freq" for path in gpus], 1e6),
    }
    found = {}
    for name, (paths, unit) in files.items():
        values = [value for path in paths if (value := number(path)) is not None]
        if values:
            found[name] = round(max(values) / unit)
    return found


def line(found: dict[str, Any]) -> str:
    """One line of `facts` for people: "NVIDIA Jetson AGX Orin Developer Kit, L4T 36.4.3, MAXN"."""
    parts = [found.get("model") or found.get("cpu", "")]
    parts += [f"L4T {found['l4t']}"] if "l4t" in found else []
    parts += [found["power_mode"]] if "power_mode" in found else []
    return ", ".join(part for part in parts if part)
