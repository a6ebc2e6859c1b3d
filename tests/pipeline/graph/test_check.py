"""`pipe check`: every error with its message, and the expected share of matches of a sync."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import pytest

from pipeline.errors import GraphError, InputError
from pipeline.graph import check as check_module
from pipeline.graph import load as graph
from pipeline.graph.check import Checked, check
from pipeline.operator import Found, Operator, Source
from pipeline.schema import Array, Schema, optional, static

NUMBER = Schema("NUMBER", {"data": Array("int64", (1,))})
POINTS = Schema("POINTS", {"points": Array("float32", ("N", 4), "m")}, frame="velodyne", limits={"N": 100})
POINTS3 = Schema("POINTS", {"points": Array("float32", ("N", 3), "m")}, frame="velodyne", limits={"N": 100})
IN_CAMERA = Schema("POINTS", {"points": Array("float32", ("N", 4), "m")}, frame="camera", limits={"N": 100})
IN_MM = Schema("POINTS", {"points": Array("float32", ("N", 4), "mm")}, frame="velodyne", limits={"N": 100})
LOGIT = Schema("POINTS", POINTS.arrays, frame="velodyne", kind="logit", limits={"N": 100})
PROBABILITY = Schema("POINTS", POINTS.arrays, frame="velodyne", kind="probability", limits={"N": 100})


@dataclass(frozen=True)
class Sensor:
    """A source whose `find` returns any rate and stamps."""

    rate_hz: float | None = None
    stamps_ms: tuple[float, ...] | None = None
    missing: str = ""


class Anything(Source):
    Config = Sensor
    outputs = {
        "number": NUMBER, "points": POINTS, "points3": POINTS3, "camera": IN_CAMERA, "mm": IN_MM, "logit": LOGIT,
        "calib": static(NUMBER), "number2": NUMBER,
    }  # fmt: skip

    @classmethod
    def find(cls, config: Sensor) -> Found:
        if config.missing:
            raise InputError(f"{config.missing}: no such folder; needs a KITTI sequence")
        stamps = None if config.stamps_ms is None else np.array([round(s * 1e6) for s in config.stamps_ms], np.int64)
        return Found(None if stamps is None else len(stamps), config.rate_hz, stamps)


class Served(Anything):
    @classmethod
    def check_ports(cls, name, config, wanted, needed):
        raise InputError(f"{name}: wants {' '.join(sorted(wanted))}, needs {' '.join(sorted(needed))}")


class LiveSensor(Anything):
    live = True


class Take(Operator):
    inputs = {
        "points": optional(POINTS), "number": optional(NUMBER), "probability": optional(PROBABILITY),
        "calib": static(NUMBER, optional=True),
    }  # fmt: skip


class Join(Operator):
    inputs = {"a": NUMBER, "b": NUMBER}
    outputs = {"out": NUMBER}


HERE = __name__


def parse(body: str, *sets: str) -> graph.GraphSpec:
    """Body: the nodes, one per line, the first on line 3; @X is class X of this file."""
    text = "version: 1\nnodes:\n" + "".join(f"  {line}\n" for line in body.splitlines())
    return graph.parse(text.replace("@", f"{HERE}:"), "g.yaml", sets)


def problems(body: str, *sets: str) -> str:
    with pytest.raises(GraphError) as error:
        check(parse(body, *sets))
    return str(error.value)


def test_fine():
    spec = parse("a: {driver: test.counter, config: {frames: 3}}\ns: {op: test.null, inputs: {in: a.out}}")
    checked = check(spec)
    assert (checked.warnings, checked.pool_bytes) == ([], 6 * 64)
    assert checked.found["a"].frames == 3


# ---- types


@pytest.mark.parametrize(
    ("wires", "expected"),
    [
        ("points: a.points3", "g.yaml:4: t.points: needs (N, 4) float32, got (N, 3) float32 from a.points3"),
        ("points: a.number", "g.yaml:4: t.points: needs POINTS (points), got NUMBER (data) from a.number"),
        ("points: a.camera", "g.yaml:4: t.points: needs POINTS in the velodyne frame, got the camera frame from a.camera"),
        ("points: a.mm", "g.yaml:4: t.points: needs unit m, got mm from a.mm"),
        ("probability: a.logit", "g.yaml:4: t.probability: needs scores of kind probability, got logit from a.logit"),
        ("number: a.calib", "g.yaml:4: t.number: needs a stream, got a static (latched) value from a.calib"),
        ("number: a.number, calib: a.number2", "g.yaml:4: t.calib: needs a static (latched) value, got a stream from a.number2"),
        (
            "number: a.points, points: a.mm",
            "g.yaml:4: t.number: needs NUMBER (data), got POINTS (points) from a.points\ng.yaml:4: t.points: needs "
            "unit m, got mm from a.mm",
        ),
    ],
)
def test_types(wires, expected):
    assert problems(f"a: {{driver: '@Anything'}}\nt: {{op: '@Take', inputs: {{{wires}}}}}") == expected


def test_types_fit():
    spec = parse("a: {driver: '@Anything'}\nt: {op: '@Take', inputs: {points: a.points, number: a.number, calib: a.calib}}")
    assert isinstance(check(spec), Checked)


# ---- files, machine


def test_missing_files_of_every_source():
    body = "a: {driver: '@Anything', config: {missing: /data/a}}\nb: {driver: '@Anything', config: {missing: /data/b}}"
    assert problems(body) == (
        "g.yaml:3: a: /data/a: no such folder; needs a KITTI sequence\ng.yaml:4: b: /data/b: no such folder; needs a "
        "KITTI sequence"
    )


def test_cpus(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    body = "a: {driver: test.counter, cpus: [7]}"
    assert problems(body) == "g.yaml:3: a.cpus: needs CPUs of this machine ([0, 1]), got [7]"
    check(parse("a: {driver: test.counter, cpus: [1, 7]}"))


class Heavy(Anything):
    @classmethod
    def memory_bytes(cls, config):
        return 1_500_000_000


def test_memory_budget():
    body = "a: {driver: '@Heavy', memory_budget_mb: 1499}"
    assert problems(body) == (
        "g.yaml:3: a.memory_budget_mb: needs 1500 MB by the estimate of @Heavy, got 1499 MB; raise it, or a smaller net?"
    ).replace("@Heavy", f"{__name__}:Heavy")
    assert check(parse(body, "a.memory_budget_mb=1500")).warnings == []
    (warning,) = check(parse("a: {driver: test.counter, memory_budget_mb: 1}")).warnings
    assert warning == "g.yaml:3: a.memory_budget_mb: has no effect: test.counter gives no estimate of its memory"
    with pytest.raises(GraphError, match="memory_budget_mb: needs more than 0, got 0"):
        parse("a: {driver: test.counter, memory_budget_mb: 0}")


def test_the_budgets_of_all_nodes_are_held_against_the_memory_of_the_machine(monkeypatch):
    body = "a: {driver: '@Heavy', memory_budget_mb: 1600}\nb: {driver: '@Heavy', memory_budget_mb: 2000}"
    monkeypatch.setattr(check_module, "ram_mb", lambda: 3600)
    assert check(parse(body)).warnings == []
    monkeypatch.setattr(check_module, "ram_mb", lambda: 3599)
    (warning,) = check(parse(body)).warnings
    assert warning == (
        "g.yaml: memory_budget_mb: the budgets (b 2000, a 1600) and 0 MB of frames are 3600 MB, this machine has 3599 MB; "
        "lower them, or leave nodes out"
    )
    monkeypatch.setattr(check_module, "ram_mb", lambda: None)
    assert check(parse(body)).warnings == []


def test_pool_too_small():
    body = "a: {driver: test.counter, pool: {out: {slots: 7}}}\ns: {op: test.null, inputs: {in: a.out}, queue: {in: {size: 6}}}"
    assert problems(body) == (
        "g.yaml:3: a.pool.out.slots: pool too small: needs 8 slots (1 being written + 7 s.in), got 7; raise slots or "
        "lower the queues"
    )
    check(parse(body, "a.pool.out.slots=8"))


def test_pool_too_small_live():
    body = "a: {driver: test.counter, live: true, pool: {out: {slots: 3}}}\ns: {op: test.null, inputs: {in: a.out}}"
    assert problems(body) == (
        "g.yaml:3: a.pool.out.slots: pool too small: needs 4 slots (1 being written + 1 live + 2 s.in), got 3; "
        "raise slots or lower the queues"
    )


def test_frame_memory(monkeypatch):
    monkeypatch.setattr(check_module, "available_bytes", lambda: 100_000_000)
    body = "a: {driver: test.blob, config: {mb: 10}}\ns: {op: test.null, inputs: {in: a.out}}"
    assert problems(body) == (
        "g.yaml: frame memory: needs 60 MB (a.out 60 MB), got 50 MB, half of what is available; lower queue sizes or pool: max_mb"
    )
    assert check(parse(body, "s.queue.in.size=3")).pool_bytes == 50_000_000


def test_available_bytes_is_the_machines():
    assert 1e6 < check_module.available_bytes() < 1e15


# ---- sync


def sync(a: str, b: str, options: str, *sets: str) -> tuple[list[str], list[str]]:
    """Errors and warnings about the join of two sources with these configs."""
    body = f"a: {{driver: '@Anything', config: {{{a}}}}}\nb: {{driver: '@Anything', config: {{{b}}}}}\n"
    body += f"j: {{op: '@Join', inputs: {{a: a.number, b: b.number}}, sync: {{{options}}}}}"
    try:
        return [], check(parse(body, *sets)).warnings
    except GraphError as error:
        return str(error).splitlines(), []


EVERY_100 = "stamps_ms: [0, 100, 200, 300]"


@pytest.mark.parametrize(
    ("a", "b", "options"),
    [
        (EVERY_100, EVERY_100, ""),
        (EVERY_100, "stamps_ms: [0, 50, 100, 150, 200, 250, 300]", "policy: exact"),
        (EVERY_100, "stamps_ms: [10, 110, 210, 310]", "policy: exact, offset_ms: {b: -10}"),
        (EVERY_100, "stamps_ms: [10, 110, 210, 310]", "policy: exact, offset_ms: {a: 10}"),
        (EVERY_100, "stamps_ms: [10, 110, 210, 310]", "policy: nearest, tolerance_ms: 10"),
        (EVERY_100, "stamps_ms: [0, 300]", "policy: latest"),
        ("stamps_ms: []", "stamps_ms: [0]", ""),
        # by rates: nothing is known of the phase
        ("rate_hz: 10", "rate_hz: 10", ""),
        ("rate_hz: 10", "rate_hz: 30", ""),
        ("rate_hz: 10", "rate_hz: 30", "policy: nearest, tolerance_ms: 17"),
        ("rate_hz: 10", "rate_hz: 3", "policy: latest"),
        ("", "", "policy: nearest, tolerance_ms: 5"),
        # an optional input may be missing
        (EVERY_100, "stamps_ms: [0, 300]", "optional: [b]"),
    ],
)
def test_sync_nothing_to_say(a, b, options):
    assert sync(a, b, options) == ([], [])


@pytest.mark.parametrize(
    ("a", "b", "options", "error"),
    [
        (
            EVERY_100,
            "stamps_ms: [10, 110, 210, 310]",
            "",
            "b.number can never match a.number: it needs a frame at the same stamp and the closest ones are 10 ms away; "
            "use policy: nearest, tolerance_ms or offset_ms",
        ),
        (
            EVERY_100,
            "stamps_ms: [30, 140, 230]",
            "policy: nearest, tolerance_ms: 20",
            "b.number can never match a.number: it needs a frame within 20 ms and the closest ones are 30 .. 70 ms away; "
            "raise tolerance_ms or set offset_ms",
        ),
        (
            "stamps_ms: [0, 200]",
            "stamps_ms: [30, 130, 230]",
            "policy: nearest, tolerance_ms: 50, timeout_ms: 20",
            "b.number can never match a.number: it needs a frame from 50 ms before to 20 ms after and the closest ones are "
            "30 ms away; raise tolerance_ms or set offset_ms",
        ),
        (
            EVERY_100,
            "stamps_ms: []",
            "",
            "b.number can never match a.number: it needs a frame at the same stamp and the closest ones are infinitely far away; "
            "use policy: nearest, tolerance_ms or offset_ms",
        ),
        (
            EVERY_100,
            "stamps_ms: [1000]",
            "policy: latest",
            "b.number can never match a.number: its first frame comes 1 s after the first of a.number; "
            "choose another trigger or make it optional",
        ),
    ],
)
def test_sync_never(a, b, options, error):
    assert sync(a, b, options) == ([f"g.yaml:5: j.sync: {error}"], [])


@pytest.mark.parametrize(
    ("a", "b", "options", "warning"),
    [
        (
            EVERY_100,
            "stamps_ms: [0, 200]",
            "",
            "b.number matches 2 of 4 frames of a.number: it needs a frame at the same stamp and the closest ones are 0 "
            ".. 100 ms away; "
            "use policy: nearest, tolerance_ms or offset_ms",
        ),
        (
            EVERY_100,
            "stamps_ms: [0, 130, 230, 330]",
            "policy: nearest, tolerance_ms: 25",
            "b.number matches 1 of 4 frames of a.number: it needs a frame within 25 ms and the closest ones are 0 .. 30 ms away; "
            "raise tolerance_ms or set offset_ms",
        ),
        (
            EVERY_100,
            "stamps_ms: [150, 250]",
            "policy: latest",
            "b.number matches 2 of 4 frames of a.number: its first frame comes 0.15 s after the first of a.number; "
            "choose another trigger or make it optional",
        ),
        (
            "rate_hz: 10",
            "rate_hz: 15",
            "",
            "b.number at 15 Hz has a frame at the same stamp for at most 1 of 2 frames of a.number at 10 Hz; "
            "use policy: nearest with tolerance_ms",
        ),
        (
            "rate_hz: 30",
            "rate_hz: 10",
            "policy: nearest, tolerance_ms: 25",
            "b.number at 10 Hz matches about 50% of the frames of a.number: it needs a frame within 25 ms; "
            "tolerance_ms 50 is sure (half of its 100 ms period)",
        ),
        (
            "rate_hz: 10",
            "rate_hz: 10",
            "policy: nearest, tolerance_ms: 20",
            "b.number matches all or none of a.number: both run at 10 Hz at an unknown phase, and it needs a frame within 20 ms; "
            "tolerance_ms 50 is sure (half of its 100 ms period)",
        ),
        # never, but the input is optional: the graph runs
        (
            EVERY_100,
            "stamps_ms: [10]",
            "optional: [b]",
            "b.number can never match a.number: it needs a frame at the same stamp and the closest ones are 10 .. 290 ms away; "
            "use policy: nearest, tolerance_ms or offset_ms",
        ),
    ],
)
def test_sync_sometimes(a, b, options, warning):
    assert sync(a, b, options) == ([], [f"g.yaml:5: j.sync: {warning}"])


def test_sync_counts_what_the_joiner_matches():
    """The share predicted by check equals the share that the joiner matches."""
    from pipeline.flow.sync import Joiner, Match
    from pipeline.frame import FOREVER

    rng = np.random.default_rng(3)
    for policy, options in (("exact", ""), ("nearest", ", tolerance_ms: 7"), ("latest", "")):
        a, b = (sorted(rng.choice(400, 40, replace=False).tolist()) for _ in range(2))
        errors, warnings = sync(f"stamps_ms: {a}", f"stamps_ms: {b}", f"policy: {policy}, offset_ms: {{b: 3}}{options}")
        joiner = Joiner(["a", "b"], "a", policy, 7, {"b": 3})
        for port, stamps in (("a", a), ("b", b)):
            for stamp in stamps:
                joiner.push(port, stamp, stamp)
            joiner.bound(port, FOREVER)
        matches = sum(isinstance(e, Match) for e in joiner.pop())
        assert errors == []
        assert 0 < matches < 40
        assert f"b.number matches {matches} of 40 frames of a.number" in warnings[0]


def join_of_one(port: str, driver: str, config: str, options: str) -> tuple[list[str], list[str]]:
    body = f"a: {{driver: '@{driver}', config: {{{config}}}}}\nn: {{op: test.noop, inputs: {{in: a.number}}}}\n"
    body += f"j: {{op: '@Join', inputs: {{a: a.number, b: {port}}}, sync: {{{options}}}}}"
    try:
        return [], check(parse(body)).warnings
    except GraphError as error:
        return str(error).splitlines(), []


@pytest.mark.parametrize(
    ("config", "options", "errors"),
    [
        ("", "", []),
        ("rate_hz: 10", "policy: exact", []),
        ("rate_hz: 10", "policy: exact, offset_ms: {b: 100}", []),
        ("", "policy: exact, offset_ms: {b: 3}", []),  # rate unknown: nothing can be said
        (
            "rate_hz: 10",
            "policy: exact, offset_ms: {b: 30}",
            [
                "g.yaml:5: j.sync: n.out can never match a.number: both carry the stamps of one source, offset_ms moves them "
                "30 ms apart, and exact needs a frame at the same stamp; drop offset_ms or raise tolerance_ms"
            ],
        ),
        ("rate_hz: 10", "policy: nearest, offset_ms: {b: 30}, tolerance_ms: 30", []),
        ("rate_hz: 10", "policy: nearest, offset_ms: {b: 80}, tolerance_ms: 25", []),  # the frame before is 20 ms away
        (
            "rate_hz: 10",
            "policy: nearest, offset_ms: {b: -70}, tolerance_ms: 25",
            [
                "g.yaml:5: j.sync: n.out can never match a.number: both carry the stamps of one source, offset_ms moves them "
                "70 ms apart, and nearest needs a frame within 25 ms; drop offset_ms or raise tolerance_ms"
            ],
        ),
    ],
)
def test_streams_of_one_source(config, options, errors):
    assert join_of_one("n.out", "Anything", config, options) == (errors, [])


def test_live_sources():
    body = "a: {driver: '@LiveSensor', config: {rate_hz: 10}}\nb: {driver: '@LiveSensor', config: {rate_hz: 10}}\n"
    body += "j: {op: '@Join', inputs: {a: a.number, b: b.number}, sync: {%s}}"
    assert check(parse(body % "policy: exact")).warnings == [
        "g.yaml:5: j.sync: b.number matches only by chance: stamps of live sources are never exactly equal; "
        "use policy: nearest with tolerance_ms"
    ]
    # b counts 100 ms before it arrives: within 60 ms nothing near the trigger can be here
    assert problems(body % "policy: nearest, tolerance_ms: 25, offset_ms: {b: -100}, timeout_ms: 60") == (
        "g.yaml:5: j.sync: b.number can never match: its frames count 100 ms before they arrive (offset_ms), "
        "and a frame of a.number waits 60 ms; raise timeout_ms"
    )
    assert check(parse(body % "policy: nearest, tolerance_ms: 50, offset_ms: {b: -8}, timeout_ms: 60")).warnings == []


def test_sync_on_one_input_is_only_told():
    spec = parse("a: {driver: test.counter}\ns: {op: test.null, inputs: {in: a.out}, sync: {policy: exact}}")
    assert check(spec).warnings == ["g.yaml:4: s.sync: has no effect: s has one stream input"]


def test_a_declared_rate_on_the_way_hides_the_stamps():
    body = f"a: {{driver: '@Anything', config: {{{EVERY_100}}}}}\nn: {{op: test.noop, inputs: {{in: a.number}}, rate_hz: 5}}\n"
    body += f"b: {{driver: '@Anything', config: {{{EVERY_100}}}}}\nj: {{op: '@Join', inputs: {{a: b.number, b: n.out}}}}"
    assert check(parse(body)).warnings == [
        "g.yaml:6: j.sync: n.out at 5 Hz has a frame at the same stamp for at most 1 of 2 frames of b.number at 10 Hz; "
        "use policy: nearest with tolerance_ms"
    ]


def test_a_source_checks_its_ports_when_the_graph_is_known():
    """Wanted: connected. Needed: not only by an optional static input."""
    spec = parse("s: {driver: '@Served'}\nt: {op: '@Take', inputs: {points: s.points, number: s.number, calib: s.calib}}")
    with pytest.raises(GraphError) as e:
        check(spec)
    assert str(e.value) == "g.yaml:3: s: wants calib number points, needs number points"
