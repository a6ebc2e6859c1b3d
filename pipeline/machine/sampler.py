"""Looks at the machine once a second while a graph runs: energy, heat, throttling. Makes the report's `board`."""

from __future__ import annotations

import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

from pipeline.machine import heat, power, tegrastats
from pipeline.machine.facts import ROOT, facts
from pipeline.machine.read import listed, number

INTERVAL_S = 1.0
JOIN_S = 0.5
_LOADS = ("sys/devices/gpu.0/load", "sys/devices/platform/gpu.0/load", "sys/devices/platform/17000000.gpu/load")
"""Load of a Jetson's GPU in thousandths."""


class Sampler:
    """One thread of the supervisor, started only where there is something to read. A look takes 1-20 ms: monitors are behind I2C.

    news  texts to show the user, each once: the machine slows down
    """

    def __init__(self, root: Path = ROOT, interval_s: float = INTERVAL_S) -> None:
        self.news: deque[str] = deque()
        self._root, self._interval_s = root, interval_s
        self._facts: dict[str, Any] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._hottest: dict[str, float] = {}
        self._warm: dict[str, float] = {}
        self._rails: dict[str, list[float]] = {}
        self._reasons: dict[str, int] = {}
        self._loads: list[float] = []
        self._joules, self._looks, self._power_s, self._most_w, self._scope = 0.0, 0, 0.0, 0.0, ""

    def start(self) -> None:
        """The clock of the graph has started."""
        if self._thread is None and self._anything():
            self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
            self._thread.start()

    def _anything(self) -> bool:
        sensors = ("sys/class/thermal", "thermal_zone*"), ("sys/class/hwmon", "hwmon*"), ("sys/class/powercap", "intel-rapl*")
        return any(listed(self._root / folder, pattern) for folder, pattern in sensors)

    def _run(self) -> None:
        meter: Any = power.find(self._root)
        throttling = heat.Throttling(self._root)
        self._facts = found = facts(self._root)
        if meter is None and "l4t" in found:
            meter = tegrastats.start()
        load = next((path for name in _LOADS if number(path := self._root / name) is not None), None)
        try:
            while True:
                stopping = self._stop.is_set()
                self._look(meter, throttling, load)
                if stopping:
                    return
                self._stop.wait(self._interval_s)
        finally:
            if isinstance(meter, tegrastats.Tegrastats):
                meter.close()

    def _look(self, meter: Any, throttling: heat.Throttling, load: Path | None) -> None:
        joules, span_s = (0.0, 0.0) if meter is None else meter.energy(time.monotonic())
        warm = heat.temperatures(self._root)
        reasons = throttling.look()
        busy = None if load is None else number(load)
        with self._lock:
            self._looks, self._warm = self._looks + 1, warm
            if span_s > 0:
                self._scope, self._joules, self._power_s = meter.scope, self._joules + joules, self._power_s + span_s
                self._most_w = max(self._most_w, joules / span_s)
            if meter is not None:
                for rail, watts in meter.watts().items():
                    self._rails.setdefault(rail, []).append(watts)
            for name, celsius in warm.items():
                self._hottest[name] = max(celsius, self._hottest.get(name, celsius))
            if busy is not None:
                self._loads.append(busy / 1000)
            for reason in reasons:
                if reason not in self._reasons:
                    hottest = f"; hottest: {max(warm.values()):.0f} °C" if warm else ""
                    self.news.append(f"this machine slows down: {reason}{hottest}; rates of this run are not its best")
                self._reasons[reason] = self._reasons.get(reason, 0) + 1

    def stop(self) -> None:
        """The last look. May be called again."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(JOIN_S)

    def last(self) -> dict[str, Any] | None:
        """The last look: temperatures, watts of each rail, GPU load, throttled so far; None before the first one."""
        with self._lock:
            if not self._looks:
                return None
            return {
                "temperature_c": {name: round(celsius, 1) for name, celsius in self._warm.items()},
                "rails_w": {rail: round(values[-1], 3) for rail, values in self._rails.items()},
                "gpu_load": self._loads[-1] if self._loads else None,
                "throttled": dict(self._reasons),
            }

    def report(self, frames: int) -> dict[str, Any]:
        """After `stop`: facts, largest temperatures, mean power, energy per frame, and in how many looks it was throttled."""
        with self._lock:
            found: dict[str, Any] = dict(self._facts or facts(self._root))
            found["temperature_c"] = {name: round(celsius, 1) for name, celsius in self._hottest.items()}
            found["throttled"] = [{"reason": reason, "looks": looks} for reason, looks in self._reasons.items()]
            found["looks"] = self._looks
            if self._loads:
                found["gpu_load"] = round(sum(self._loads) / len(self._loads), 3)
            found["power"] = None
            if self._power_s > 0:
                found["power"] = {
                    "scope": self._scope,
                    "seconds": round(self._power_s, 3),
                    "mean_w": round(self._joules / self._power_s, 3),
                    "max_w": round(self._most_w, 3),
                    "rails_w": {rail: round(sum(values) / len(values), 3) for rail, values in self._rails.items()},
                    "energy_j": round(self._joules, 3),
                    "energy_per_frame_j": round(self._joules / frames, 4) if frames else None,
                }
        return found
