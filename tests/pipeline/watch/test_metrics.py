"""The metrics of a run: what a snapshot becomes, parsed as Prometheus parses it; the dashboard uses no other names."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from snapshots import EDGE, LAST, edge, empty, process, snapshot, sparse

from pipeline.flow.log import REASONS
from pipeline.watch.metrics import BOUNDS_S, STATES, Collector

pytest.importorskip("prometheus_client", reason="needs prometheus-client: pip install 'perception-pipe[metrics]'")
DASHBOARD = Path(__file__).parents[3] / "deploy" / "grafana.json"


def scraped(*snapshots):
    """Per snapshot: (name, labels) -> value."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.parser import text_string_to_metric_families

    newest = [None]
    registry = CollectorRegistry()
    registry.register(Collector(lambda: newest[0]))
    made = []
    for newest[0] in snapshots:
        families = list(text_string_to_metric_families(generate_latest(registry).decode()))
        samples = [sample for family in families for sample in family.samples]
        values = {(s.name, *sorted(s.labels.items())): s.value for s in samples}
        assert len(values) == len(samples), "a sample comes twice"
        made.append(values)
    return made


def test_before_the_first_snapshot():
    assert scraped(None) == [{}]


def test_before_the_first_frame():
    (values,) = scraped(empty())
    assert values["pipe_run_frames_total",] == 0
    assert values["pipe_node_compute_seconds_count", ("node", "cam")] == 0
    assert values["pipe_node_compute_seconds_bucket", ("le", "+Inf"), ("node", "cam")] == 0
    assert values["pipe_node_compute_seconds_sum", ("node", "cam")] == 0


def test_every_number_of_a_snapshot():
    now = snapshot(10.0, 100)
    now["edges"][EDGE] = edge(EDGE, 120, 100, [0.1] * 100, dropped={"queue_full": 15, "error": 2}, in_flight=3, oldest_ms=40.0)
    now["nodes"]["detect"] |= {"errors": 2, "restarts": 1}
    now["processes"]["work"] = process(13, 5.0, rss_mb=120.0, restarts=1, state="restarting")
    now["quality"] = [{"node": "detect", "level": "low"}, {"node": "detect", "level": "full"}]
    now["injected"] = [{"node": "cam", "fault": "noise", "frames": 4, "text": "cam:noise=0.2"}]
    (values,) = scraped(now)

    def of(name, **labels):
        return values[(name, *sorted(labels.items()))]

    assert of("pipe_run_info", run="g-7-00000001", graph="g", mode="live") == 1
    assert of("pipe_run_seconds") == 10.0 and of("pipe_run_frames_total") == 100
    assert of("pipe_node_steps_total", node="detect") == 100 and of("pipe_node_outputs_total", node="show") == 0
    assert of("pipe_node_errors_total", node="detect") == 2 and of("pipe_node_restarts_total", node="detect") == 1
    assert [of("pipe_node_state", node="detect", state=state) for state in STATES] == [0, 0, 1, 0, 0, 0]
    assert of("pipe_node_level", node="detect", level="full") == 1
    assert of("pipe_edge_produced_total", edge=EDGE) == 120
    assert of("pipe_edge_frames_total", edge=EDGE, outcome="delivered") == 100
    assert of("pipe_edge_frames_total", edge=EDGE, outcome="dropped") == 17
    assert {r: of("pipe_edge_dropped_total", edge=EDGE, reason=r) for r in REASONS} == dict.fromkeys(REASONS, 0) | {
        "queue_full": 15,
        "error": 2,
    }
    assert of("pipe_edge_in_flight_frames", edge=EDGE) == 3 and of("pipe_edge_oldest_seconds", edge=EDGE) == pytest.approx(0.04)
    assert of("pipe_edge_oldest_seconds", edge=LAST) == 0 and of("pipe_edge_bytes_total", edge=LAST) == 10_000
    assert of("pipe_process_up", process="cam") == 1 and of("pipe_process_up", process="work") == 0
    assert of("pipe_process_cpu_seconds_total", process="work") == 5.0
    assert of("pipe_process_resident_memory_bytes", process="work") == 120e6
    assert of("pipe_process_restarts_total", process="work") == 1
    assert of("pipe_quality_switches_total", node="detect") == 2
    assert of("pipe_injected_frames_total", node="cam", fault="cam:noise=0.2") == 4
    assert of("pipe_sink_latency_seconds_count", sink="show") == 100
    assert ("pipe_sink_latency_seconds_count", ("sink", "detect")) not in values


def test_buckets_and_sums_agree_with_the_durations():
    ms = np.random.default_rng(5).lognormal(np.log(20), 1.0, 5000)
    now = snapshot()
    now["nodes"]["detect"]["compute"] = sparse(ms)
    (values,) = scraped(now)
    for bound in BOUNDS_S:
        got = values["pipe_node_compute_seconds_bucket", ("le", f"{bound:g}"), ("node", "detect")]
        low, high = (int((ms * 1e-3 <= bound * edge).sum()) for edge in (0.98, 1.02))
        assert low <= got <= high, bound
    assert values["pipe_node_compute_seconds_bucket", ("le", "+Inf"), ("node", "detect")] == 5000
    assert values["pipe_node_compute_seconds_sum", ("node", "detect")] == pytest.approx(ms.sum() * 1e-3, rel=0.01)


def test_durations_beyond_both_ends():
    now = snapshot()
    now["nodes"]["cam"]["compute"] = sparse([0.0, 1e9])
    (values,) = scraped(now)
    assert values["pipe_node_compute_seconds_bucket", ("le", "1e-05"), ("node", "cam")] == 1
    assert values["pipe_node_compute_seconds_bucket", ("le", "10"), ("node", "cam")] == 1
    assert values["pipe_node_compute_seconds_count", ("node", "cam")] == 2


def test_no_counter_falls_when_a_process_dies():
    before, after = snapshot(10.0, 100), snapshot(11.0, 104)
    after["processes"]["work"] = process(0, 4.97, restarts=1, state="restarting", rss_mb=0.0)  # before: 5.0
    first, second = scraped(before, after)
    fell = [
        key for key, value in second.items() if key[0].endswith(("_total", "_count", "_sum", "_bucket")) and value < first[key]
    ]
    assert fell == []
    assert second["pipe_process_cpu_seconds_total", ("process", "work")] == 5.0


def test_names_with_any_characters():
    now = snapshot()
    now["nodes"] = {'a"\\\n': now["nodes"]["cam"]}
    (values,) = scraped(now)
    assert values["pipe_node_steps_total", ("node", 'a"\\\n')] == 100


def test_the_dashboard_names_only_metrics_that_exist():
    (values,) = scraped(snapshot())
    names = {key[0] for key in values} | {"process_cpu_seconds_total", "process_resident_memory_bytes"}  # of the client itself
    names |= {"pipe_injected_frames_total", "pipe_quality_switches_total"}  # without a sample until there is one
    labels = {label for key in values for label, _ in key[1:]} | {"instance", "fault"}
    dashboard = json.loads(DASHBOARD.read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(expressions) > 20
    for text in expressions:
        used = set(re.findall(r"\b((?:pipe|process)_[a-z_]+)", text))
        assert used and used <= names, text
        assert (
            set(re.findall(r"([a-z]+)=~?\"", text)) | set(re.findall(r"\w+", "".join(re.findall(r"by \((.*?)\)", text))))
            <= labels
        )
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels, panel["title"]


def test_the_dashboard_is_laid_out_without_overlap():
    cells = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        at = panel["gridPos"]
        mine = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not mine & cells and max(x for x, _ in mine) < 24, panel["title"]
        cells |= mine
