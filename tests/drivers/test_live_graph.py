"""A toy sensor in a graph of processes: its cable is pulled, it blocks, the run ends without it."""

import re
import signal

import pytest
from pipe_runs import check_balance, check_gone, wait_for

SENSORS = """\
  a: {driver: "live_nodes:Sensor", rate_hz: 20}
  b: {driver: "live_nodes:Sensor", rate_hz: 20, config: {%s}}
  join:
    op: "live_nodes:Sets"
    inputs: {a: a.out, b: b.out}
    sync: {policy: nearest, tolerance_ms: 30, timeout_ms: 80, optional: [b]}
"""


def test_a_sensor_that_goes_and_comes_back_stops_nobody(pipe):
    """b is silent from 0.5 s to 1.4 s, and from 2.2 s on: the end of the run finds it lost."""
    sensors = SENSORS % "stale_s: 0.15, lost_s: 0.4, retry_s: [0.1, 0.2], quiet: [0.5, 1.4, 2.2, 99.0]"
    graph = pipe.graph(sensors)
    ended = pipe.run(graph, "--frames", "64")
    assert (ended.code, ended.stderr) == (0, ""), ended.stderr
    report = ended.report
    assert report["nodes"]["b"]["restarts"] == report["nodes"]["b"]["errors"] == 0
    assert re.fullmatch(
        r"(lost|reconnecting): (no data for 0.4 s|refused); lost 2 times, [\d.]+ s in all; stamps by arrival",
        report["nodes"]["b"]["status"],
    )
    states = re.findall(r"(waiting|running|stale|lost|reconnecting)(?::|;|$)", ended.log("b"), re.MULTILINE)
    assert states[:5] == ["running", "stale", "lost", "reconnecting", "running"] and states[5:8] == [
        "stale",
        "lost",
        "reconnecting",
    ]
    assert len(states) == 8, "one line per change"
    sets = [tuple(map(int, line.split())) for line in (ended.out / "join" / "sets.txt").read_text().splitlines()]
    edge = report["edges"]["a.out->join.a"]
    assert len(sets) == edge["delivered"] and edge["produced"] == 64
    alone = [a for a, b in sets if b < 0]
    assert [a for a, b in sets] == sorted(a for a, b in sets) and len(alone) > 10
    assert any(b >= 0 and a > alone[0] for a, b in sets), "b was paired again after it had come back"
    check_balance(ended)


@pytest.mark.quick(1)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_receive_that_blocks_does_not_hold_the_stop(pipe, number):
    running = pipe.start(pipe.graph(SENSORS % "blocks: true"))
    sets = running.out / "join" / "sets.txt"
    wait_for(lambda: sets.exists() and sets.read_bytes().count(b"\n") > 3, 60, "sets without b")
    children = running.nodes()
    ended = check_gone(running, children, running.signal(number))
    assert ended.code == 128 + number and ended.report["nodes"]["b"]["status"] == "waiting; stamps by arrival"
    check_balance(ended)
