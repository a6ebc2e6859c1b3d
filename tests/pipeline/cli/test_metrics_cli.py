"""`pipe run --metrics`: addresses, a port in use, and a scrape of a running graph whose operator is killed."""

import argparse
import os
import signal
import socket
import urllib.request

import pytest
from pipe_runs import wait_for

from pipeline.__main__ import main
from pipeline.cli.run import address

GRAPH = """
  a: {driver: test.counter, config: {frames: 100000, rate_hz: 100}, live: true}
  b: {op: test.pass, inputs: {in: a.out}, restart: {backoff_s: 0.01}}
  c: {op: test.null, inputs: {in: b.out}, config: {write: true}}
"""


@pytest.mark.parametrize(
    "text, found",
    [
        (":9100", ("127.0.0.1", 9100)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("robot.local:65535", ("robot.local", 65535)),
        ("[::1]:9100", ("::1", 9100)),
    ],
)
def test_addresses(text, found):
    assert address(text) == found


@pytest.mark.parametrize(
    "text", ["", "9100", ":", ":x", ":-1", ":65536", "::1:9100", "127.0.0.1", "a:b:1", ":٣", ":1.0", "[]:9100", ":" + "9" * 5000]
)
def test_no_addresses(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"needs HOST:PORT, PORT 0 \.\. 65535, e\.g\. :9100, got "):
        address(text)


def test_a_port_in_use_is_found_before_the_start(pipe):
    pytest.importorskip("prometheus_client", reason="needs prometheus-client: pip install 'perception-pipe[metrics]'")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = pipe.refused("run", str(pipe.graph(GRAPH)), "--out", str(pipe.folder / "o"), "--metrics", f":{port}")
    assert ended.code == 2
    assert ended.stderr.startswith(
        f"error: --metrics 127.0.0.1:{port}: needs an address to listen on, got: Address already in use"
    )
    assert not (pipe.folder / "o").exists()


def test_counters_of_a_running_graph_over_a_kill_and_pipe_top_beside_it(pipe, capsys):
    parser = pytest.importorskip(
        "prometheus_client.parser", reason="needs prometheus-client: pip install 'perception-pipe[metrics]'"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    running = pipe.start(pipe.graph(GRAPH), "--metrics", f":{port}", "--quiet")

    def scraped():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        samples = [s for family in parser.text_string_to_metric_families(text) for s in family.samples]
        return {(s.name, *sorted(s.labels.items())): s.value for s in samples}

    running.wait_lines("c", 20)
    before = scraped()
    os.kill(running.pid_of("b"), signal.SIGKILL)
    restarts = ("pipe_node_restarts_total", ("node", "b"))
    after = wait_for(lambda: (found := scraped()).get(restarts) == 1 and found, 10, "a restart")
    assert main(["top", "--once"]) == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in table[1:] if row] == ["node", "a", "b", "c", "edge", "a.out->b.in", "b.out->c.in"]
    running.signal(signal.SIGTERM)
    assert running.end().code == 143
    counters = [key for key in before if key[0].endswith(("_total", "_count", "_sum", "_bucket")) and key[0].startswith("pipe_")]
    assert len(counters) > 100 and [key for key in counters if after[key] < before[key]] == []
    steps, cpu = ("pipe_node_steps_total", ("node", "a")), ("pipe_process_cpu_seconds_total", ("process", "b"))
    assert after[steps] > before[steps] >= 20 and after[cpu] >= before[cpu] > 0
    assert before["pipe_process_up", ("process", "b")] == 1
    assert after["pipe_process_resident_memory_bytes", ("process", "a")] > 1e6
    assert after["process_resident_memory_bytes",] > 1e6
