"""Recorded lines of tegrastats, and the program as a meter (a script stands in for it)."""

import pytest
from boards import TEGRASTATS, wait_until

from pipeline.machine import power, tegrastats
from pipeline.machine.tegrastats import Line, parse

NO_HEAT = ("PMIC",)


def test_an_empty_line():
    assert parse("") == Line()


@pytest.mark.parametrize(
    "name, ram, gpu, watts, hottest",
    [
        ("orin-jp7", (20642, 62817), 0.12, 5.139 + 3.268 + 5.5, ("cpu", 52.968)),
        ("xavier", (14700, 15692), 0.0, 0.463 + 0.618 + 2.936 + 0 + 0.309 + 3.306, ("Tdiode", 32.0)),
        ("tx2", (4923, 7850), 0.22, 9.273, ("GPU", 59.0)),
        ("tx2-jp4", (2020, 7852), 0.0, 3.14, ("PLL", 42.5)),
    ],
)
def test_recorded_lines(name, ram, gpu, watts, hottest):
    line = parse(TEGRASTATS[name])
    rails = power.whole(line.watts)
    assert (line.ram_mb, line.gpu) == (ram, gpu)
    assert sum(line.watts[rail] for rail in rails) == pytest.approx(watts)
    assert max(((n, c) for n, c in line.celsius.items() if n not in NO_HEAT), key=lambda item: item[1]) == hottest
    assert not {"RAM", "SWAP", "CPU"} & set(line.watts) or name == "xavier"


def test_a_line_cut_off_anywhere():
    text = TEGRASTATS["orin-jp7"]
    whole = parse(text)
    for cut in range(len(text)):
        assert set(parse(text[:cut]).watts.items()) <= set(whole.watts.items()), cut


def test_the_program_as_a_meter(tmp_path, monkeypatch):
    program = tmp_path / "tegrastats"
    lines = "\n".join(f"echo '{TEGRASTATS[name]}'" for name in ("tx2-jp4", "tx2"))
    program.write_text(f'#!/bin/sh\n[ "$1 $2" = "--interval 1000" ] || exit 3\n{lines}\nexec sleep 60\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    meter = tegrastats.start()
    try:
        assert meter.energy(0.0) == (0.0, 0.0) or meter.watts()
        wait_until(lambda: meter.energy(1.0) and meter.watts().get("VDD_IN") == 9.273)
        meter.energy(1.0)
        assert meter.energy(3.0) == (pytest.approx(2 * 9.273), 2.0)
        assert meter.scope == "VDD_IN (tegrastats)"
    finally:
        meter.close()


def test_no_program(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert tegrastats.start() is None
