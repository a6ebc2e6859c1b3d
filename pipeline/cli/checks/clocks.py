"""The machine's clocks: the one that latencies are measured by, and who sets the one that stamps are of.

A sensor with a clock of its own (PTP, GPS) and the host agree only if the host is set, too: by chrony, or by ptp4l and phc2sys.
The tools are asked if they are there; nothing is set.

Sources: chronyc(1) `tracking`; pmc(8) of linuxptp, TIME_STATUS_NP, PORT_DATA_SET; Documentation/ABI/testing/sysfs-ptp
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

from pipeline.cli.checks.line import OK, WARN, Line, read

GOOD_CLOCKS = ("tsc", "arch_sys_counter", "kvm-clock", "hyperv_clocksource_tsc_page")
MAX_OFFSET_S = 1e-3
"""A clock further off pairs frames of two sensors wrongly."""
_LOCKED = ("SLAVE", "MASTER", "GRAND_MASTER", "PASSIVE")
_PMC = ("pmc", "-u", "-b", "0", "GET TIME_STATUS_NP", "GET PORT_DATA_SET")
_CHRONYC = ("chronyc", "-n", "tracking")


def clock(root: Path) -> Line:
    source = read(root / "sys/devices/system/clocksource/clocksource0/current_clocksource") or "unknown"
    resolution_ns = time.clock_getres(time.CLOCK_MONOTONIC) * 1e9
    text = f"clocksource {source}, CLOCK_MONOTONIC in steps of {resolution_ns:g} ns"
    if source not in GOOD_CLOCKS:
        return Line(
            WARN, "clock", f"{text}; reading it may take microseconds: latencies are not to be trusted; boot with clocksource=tsc"
        )
    if resolution_ns > 1000:
        return Line(WARN, "clock", f"{text}; latencies are not to be trusted; needs a kernel with high-resolution timers")
    return Line(OK, "clock", text)


def ptp(root: Path) -> Line:
    """The network cards' clocks, and what ptp4l does with them."""
    devices = sorted(p.name for p in (root / "dev").glob("ptp[0-9]*"))
    if not devices:
        return Line(OK, "ptp", "no PTP clock; sensors are stamped when their data arrive")
    named = (f"{d} ({name})" if (name := read(root / "sys/class/ptp" / d / "clock_name")) else d for d in devices)
    text = ", ".join(named)
    if not any((root / folder / "ptp4l").exists() for folder in ("run", "var/run")):
        return Line(OK, "ptp", f"{text}; ptp4l: not running")
    said = ask(_PMC)
    if said is None:
        return Line(OK, "ptp", f"{text}; pmc: absent")
    level, state = ptp_state(said)
    return Line(level, "ptp", f"{text}; ptp4l: {state}")


def ptp_state(said: str) -> tuple[str, str]:
    """Level and state, of the text that pmc prints."""
    values = dict(re.findall(r"^\s*(master_offset|gmPresent|gmIdentity|portState)\s+(\S+)", said, re.MULTILINE))
    if not values:
        return WARN, "does not answer; pmc needs its rights: sudo pmc -u -b 0 'GET TIME_STATUS_NP'"
    port = values.get("portState", "")
    if values.get("gmPresent") != "true":
        known = f", port {port}" if port else ""
        grandmaster = port in ("MASTER", "GRAND_MASTER")
        return (
            (OK, "this machine is the grandmaster")
            if grandmaster
            else (WARN, f"no grandmaster{known}; is the sensor's network up?")
        )
    offset_s = float(values.get("master_offset", "nan")) * 1e-9
    text = f"{offset_s * 1e6:+.3f} us from grandmaster {values.get('gmIdentity', '?')}" + (f", port {port}" if port else "")
    if port and port not in _LOCKED:
        return WARN, f"{text}; not locked yet"
    return (OK, text) if abs(offset_s) <= MAX_OFFSET_S else (WARN, f"{text}; wait, or look at its log")


def chrony(root: Path) -> Line:
    """Who sets the machine's clock. `root` is not used: chronyc asks the daemon of this machine."""
    said = ask(_CHRONYC)
    if said is None:
        return Line(OK, "chrony", "absent")
    level, state = chrony_state(said)
    return Line(level, "chrony", state)


def chrony_state(said: str) -> tuple[str, str]:
    """Level and state, of the text that `chronyc tracking` prints."""
    values = dict(re.findall(r"^([A-Z][\w ()]*?)\s*: (.*)$", said, re.MULTILINE))
    if "Leap status" not in values:
        return WARN, f"{' '.join(said.split())[:80] or 'no answer'}; sudo systemctl start chrony"
    if values["Leap status"] == "Not synchronised":
        return WARN, "not synchronised; see chronyc sources"
    reference = values.get("Reference ID", "?").partition("(")[2].rstrip(")") or values.get("Reference ID", "?")
    found = re.match(r"([\d.]+) seconds (fast|slow)", values.get("System time", ""))
    offset_s = float(found[1]) if found else float("nan")
    text = f"{offset_s * 1e6:.1f} us {found[2] if found else '?'} of {reference}, stratum {values.get('Stratum', '?')}"
    return (OK, text) if offset_s <= MAX_OFFSET_S else (WARN, f"{text}; wait, or chronyc makestep")


def ask(command: tuple[str, ...]) -> str | None:
    """What a tool prints, on both streams; None if it is absent, "" if it does not answer in 2 s."""
    if shutil.which(command[0]) is None:
        return None
    try:
        ran = subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=2
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout + ran.stderr
