"""What the machine draws, in joules since the last look.

Jetson      INA3221 monitors through hwmon (JetPack 5 and later: in1_label, in1_input [mV], curr1_input [mA]) or iio (JetPack 4:
            rail_name_0, in_power0_input [mW]); tegrastats where neither can be read
Intel, AMD  RAPL counters of the processor packages (powercap energy_uj), which most kernels show to root alone

Source: kernel.org (hwmon/ina3221, power/powercap), NVIDIA's developer guides. Which rails are the whole module: NVIDIA's tables
of rails (AGX Orin: VDDQ_VDD2_1V8AO is part of VIN_SYS_5V0).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.machine.read import listed, number, text

WHOLE = (
    ("VDD_IN",),  # TX2, Xavier NX, Orin NX and Nano
    ("VIN",),  # Thor
    ("POM_5V_IN",),  # Nano
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),  # AGX Orin
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),  # AGX Xavier
)
"""Rails that together are what the module draws; the first set whose rails are all there."""


class Meter(Protocol):
    scope: str
    """What is measured: names of rails, or of the counters."""

    def energy(self, now_s: float) -> tuple[float, float]:
        """Joules since the last reading, and the seconds they span; (0, 0) at the first one, or where nothing can be read."""
        ...

    def watts(self) -> Mapping[str, float]:
        """Rails at the last call; empty where only energy is counted."""
        ...


class Rails:
    """Energy as the integral of power: trapezoids between two looks. read: rail -> watts."""

    def __init__(self, read: Callable[[], dict[str, float]], rails: tuple[str, ...]) -> None:
        self.scope = " + ".join(rails)
        self._read, self._whole = read, rails
        self._last: tuple[float, float] | None = None
        self._watts: dict[str, float] = {}

    def energy(self, now_s: float) -> tuple[float, float]:
        self._watts = self._read()
        if not all(name in self._watts for name in self._whole):  # a monitor that does not answer: the next span includes the gap
            return 0.0, 0.0
        total = sum(self._watts[name] for name in self._whole)
        last, self._last = self._last, (now_s, total)
        span_s = 0.0 if last is None else now_s - last[0]
        return (0.0, 0.0) if last is None else (span_s * (total + last[1]) / 2, span_s)

    def watts(self) -> Mapping[str, float]:
        return self._watts


@dataclass
class _Counter:
    path: Path
    most: int  # where it starts anew [uJ]
    last: int


class Rapl:
    """Counters of energy. All packages together."""

    def __init__(self, zones: list[Path]) -> None:
        self.scope = " + ".join(text(zone / "name") for zone in zones)
        self._counters = [
            _Counter(zone / "energy_uj", number(zone / "max_energy_range_uj") or 0, number(zone / "energy_uj") or 0)
            for zone in zones
        ]
        self._last_s: float | None = None

    def energy(self, now_s: float) -> tuple[float, float]:
        total = 0
        for counter in self._counters:
            value = number(counter.path)
            if value is None:
                continue
            total += value - counter.last if value >= counter.last else value - counter.last + counter.most
            counter.last = value
        last_s, self._last_s = self._last_s, now_s
        return (0.0, 0.0) if last_s is None else (total * 1e-6, now_s - last_s)

    def watts(self) -> Mapping[str, float]:
        return {}


def find(root: Path) -> Meter | None:
    """The meter of this machine; None: it has none that this user may read."""
    for read in (lambda: hwmon(root), lambda: iio(root)):
        if (rails := whole(read())) is not None:
            return Rails(read, rails)
    zones = [zone for zone in listed(root / "sys/class/powercap", "intel-rapl:*") if text(zone / "name").startswith("package")]
    zones = [zone for zone in zones if os.access(zone / "energy_uj", os.R_OK)]
    return Rapl(zones) if zones else None


def whole(watts: Mapping[str, float]) -> tuple[str, ...] | None:
    """The rails to add up; None: this board's rails are not known, and a sum of some of them would say too little."""
    return next((rails for rails in WHOLE if all(name in watts for name in rails)), None)


def hwmon(root: Path) -> dict[str, float]:
    """Rail -> watts, of the monitors that the kernel's driver ina3221 shows."""
    found = {}
    for chip in listed(root / "sys/class/hwmon", "hwmon*"):
        if text(chip / "name") != "ina3221":
            continue
        for channel in (1, 2, 3):  # 4 to 7 are shunts and their sum
            label = text(chip / f"in{channel}_label")
            volts, amperes = number(chip / f"in{channel}_input"), number(chip / f"curr{channel}_input")
            if label not in ("", "NC") and volts is not None and amperes is not None:
                found[label] = volts * amperes * 1e-6
    return found


def iio(root: Path) -> dict[str, float]:
    """Rail -> watts, of the monitors that the driver ina3221x of JetPack 4 shows."""
    found = {}
    for chip in listed(root / "sys/bus/i2c/drivers/ina3221x", "*/iio*device*"):
        for channel in (0, 1, 2):
            label, milliwatts = text(chip / f"rail_name_{channel}"), number(chip / f"in_power{channel}_input")
            if label not in ("", "NC") and milliwatts is not None:
                found[label] = milliwatts * 1e-3
    return found
