"""Recorded output of chronyc and pmc: from chrony's and Red Hat's documentation, other states made from it."""

import subprocess

import pytest

from pipeline.cli.checks import clocks

CHRONYC = """Reference ID    : CB00710F (ntp1.example.net)
Stratum         : 3
Ref time (UTC)  : Fri Jan 27 09:49:17 2017
System time     : 0.000006523 seconds slow of NTP time
Last offset     : -0.000006747 seconds
RMS offset      : 0.000035822 seconds
Frequency       : 3.225 ppm slow
Residual freq   : -0.000 ppm
Skew            : 0.129 ppm
Root delay      : 0.013639022 seconds
Root dispersion : 0.001100737 seconds
Update interval : 64.2 seconds
Leap status     : Normal
"""
PMC = """sending: GET TIME_STATUS_NP
\t90e2ba.fffe.20c7f8-0 seq 0 RESPONSE MANAGMENT TIME_STATUS_NP
\t\tmaster_offset              310
\t\tingress_time               1361545089345029441
\t\tcumulativeScaledRateOffset   +1.000000000
\t\tscaledLastGmPhaseChange    0
\t\tgmTimeBaseIndicator        0
\t\tlastGmPhaseChange          0x0000'0000000000000000.0000
\t\tgmPresent                  true
\t\tgmIdentity                 00a069.fffe.0b552d
sending: GET PORT_DATA_SET
\t90e2ba.fffe.20c7f8-1 seq 1 RESPONSE MANAGEMENT PORT_DATA_SET
\t\tportIdentity            90e2ba.fffe.20c7f8-1
\t\tportState               SLAVE
\t\tlogMinDelayReqInterval  0
"""


@pytest.mark.parametrize(
    ("said", "level", "state"),
    [
        (CHRONYC, "ok", "6.5 us slow of ntp1.example.net, stratum 3"),
        (CHRONYC.replace("(ntp1.example.net)", "()"), "ok", "6.5 us slow of CB00710F (), stratum 3"),
        (CHRONYC.replace("0.000006523 seconds slow", "0.012000000 seconds fast"), "warn",
         "12000.0 us fast of ntp1.example.net, stratum 3; wait, or chronyc makestep"),
        (CHRONYC.replace("Normal", "Not synchronised"), "warn", "not synchronised; see chronyc sources"),
        ("506 Cannot talk to daemon\n", "warn", "506 Cannot talk to daemon; sudo systemctl start chrony"),
        ("", "warn", "no answer; sudo systemctl start chrony"),
    ],
)  # fmt: skip
def test_chrony(said, level, state):
    assert clocks.chrony_state(said) == (level, state)


@pytest.mark.parametrize(
    ("said", "level", "state"),
    [
        (PMC, "ok", "+0.310 us from grandmaster 00a069.fffe.0b552d, port SLAVE"),
        (PMC.partition("sending: GET PORT")[0], "ok", "+0.310 us from grandmaster 00a069.fffe.0b552d"),
        (PMC.replace("310", "-2500000"), "warn",
         "-2500.000 us from grandmaster 00a069.fffe.0b552d, port SLAVE; wait, or look at its log"),
        (PMC.replace("SLAVE", "UNCALIBRATED"), "warn",
         "+0.310 us from grandmaster 00a069.fffe.0b552d, port UNCALIBRATED; not locked yet"),
        (PMC.replace("true", "false").replace("SLAVE", "LISTENING"), "warn",
         "no grandmaster, port LISTENING; is the sensor's network up?"),
        (PMC.replace("true", "false").replace("SLAVE", "MASTER"), "ok", "this machine is the grandmaster"),
        ("sending: GET TIME_STATUS_NP\n", "warn",
         "does not answer; pmc needs its rights: sudo pmc -u -b 0 'GET TIME_STATUS_NP'"),
    ],
)  # fmt: skip
def test_ptp4l(said, level, state):
    assert clocks.ptp_state(said) == (level, state)


@pytest.mark.parametrize(
    ("running", "said", "text"),
    [
        (False, PMC, "ptp0 (igb), ptp1; ptp4l: not running"),
        (True, None, "ptp0 (igb), ptp1; pmc: absent"),
        (True, PMC, "ptp0 (igb), ptp1; ptp4l: +0.310 us from grandmaster 00a069.fffe.0b552d, port SLAVE"),
    ],
)
def test_the_line_of_a_machine_with_ptp(tmp_path, monkeypatch, running, said, text):
    for path, content in {"dev/ptp0": "", "dev/ptp1": "", "dev/ptp_kvm": "", "sys/class/ptp/ptp0/clock_name": "igb\n"}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    if running:
        (tmp_path / "run").mkdir()
        (tmp_path / "run/ptp4l").touch()
    monkeypatch.setattr(clocks, "ask", lambda command: said)
    assert str(clocks.ptp(tmp_path)) == f"ok    ptp        {text}"


def test_tools_that_are_absent_or_do_not_answer(tmp_path, monkeypatch):
    assert clocks.ask(("no-such-tool-of-pipe",)) is None
    assert clocks.ask(("sh", "-c", "echo out; echo err >&2; exit 1")) == "out\nerr\n"

    def hangs(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", hangs)
    assert clocks.ask(("sh", "-c", "true")) == ""
    monkeypatch.setattr(clocks, "ask", lambda command: None)
    assert str(clocks.chrony(tmp_path)) == "ok    chrony     absent"
