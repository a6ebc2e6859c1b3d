"""Temperatures, and whether the machine slows down to stay cool or within its supply.

Source: kernel.org (thermal/sysfs-api), NVIDIA's developer guides (throttle alerts are cooling devices; Orin counts over-current
events in hwmon soctherm_oc), Intel's core_throttle_count.
"""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.machine.read import listed, number, text

_OC = {"oc1": "under-voltage", "oc2": "average over-current", "oc3": "over-current"}
NO_SENSOR = ("PMIC-Die", "PMIC")
"""Zones that always say 100 C."""


def temperatures(root: Path) -> dict[str, float]:
    """Zone or sensor -> degrees Celsius. Zones that cannot be read (an engine that is off) are left out."""
    found = {}
    for zone in listed(root / "sys/class/thermal", "thermal_zone*"):
        name, value = text(zone / "type"), number(zone / "temp")
        if name and name not in NO_SENSOR and value is not None and value > -200_000:
            found[name] = value / 1000
    for chip in listed(root / "sys/class/hwmon", "hwmon*"):
        if (name := text(chip / "name")) in ("coretemp", "k10temp"):
            values = [value for path in listed(chip, "temp*_input") if (value := number(path)) is not None]
            if values:
                found[name] = max(values) / 1000
    return found


class Throttling:
    """Reasons why the machine has slowed down since this object was made."""

    def __init__(self, root: Path) -> None:
        self._alerts = {
            name: device / "cur_state"
            for device in listed(root / "sys/class/thermal", "cooling_device*")
            if (name := text(device / "type")).endswith("-alert")
        }
        self._counters: dict[str, list[Path]] = {}
        for chip in listed(root / "sys/class/hwmon", "hwmon*"):
            if text(chip / "name") == "soctherm_oc":
                for path in listed(chip, "oc*_event_cnt"):
                    self._counters.setdefault(_OC.get(path.name[:3], path.name), []).append(path)
        cpus = listed(root / "sys/devices/system/cpu", "cpu[0-9]*/thermal_throttle/core_throttle_count")
        if cpus:
            self._counters["cpu thermal throttling"] = cpus
        self._before = {name: self._count(name) for name in self._counters}

    def __bool__(self) -> bool:
        """Is there anything to look at?"""
        return bool(self._alerts or self._counters)

    def _count(self, name: str) -> int:
        return sum(number(path) or 0 for path in self._counters[name])

    def look(self) -> list[str]:
        """Reasons since the last look."""
        found = [re.sub(r"-?(throttle-)?alert$", "", name) + " too warm" for name, path in self._alerts.items() if number(path)]
        for name, before in self._before.items():
            now = self._count(name)
            if now > before:
                found.append(name)
            self._before[name] = now
        return found
