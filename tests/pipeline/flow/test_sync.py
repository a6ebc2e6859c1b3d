"""The joiner against a slow matcher that sees all streams at once, and an example for each rule."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_sync import NaiveJoiner, Rules, admitted, match

from pipeline.flow.sync import Joiner, Match, Miss, Release
from pipeline.frame import FOREVER
from pipeline.nodes.jitter import JitterConfig, schedule

# ---- examples: ops are ("port", stamp) = a frame and the bound behind it, ("port", "end")


def play(joiner: Joiner, ops, now_ns: int = 0):
    """Frames are named port+stamp; every frame raises its port's bound to stamp + 1, as in a driver without disorder."""
    for port, stamp in ops:
        if stamp == "end":
            joiner.bound(port, FOREVER)
        else:
            joiner.push(port, stamp, f"{port}{stamp}", now_ns)
            joiner.bound(port, stamp + 1)
    return joiner.pop(now_ns)


def brief(events):
    """Events as short text: `a10+b12` a set, `a10?b` a set without b, `b3-` released, `a3!stale` missed."""
    out = []
    for event in events:
        if isinstance(event, Match):
            out.append("+".join(event.frames.values()) + "".join(f"?{p}" for p in event.missing))
        elif isinstance(event, Miss):
            out.append(f"{event.frame}!{event.reason}")
        else:
            out.append(f"{event.frame}-")
    return " ".join(out)


@pytest.mark.parametrize(
    ("policy", "options", "ops", "expected"),
    [
        # nothing at all
        ("exact", {}, [("a", "end"), ("b", "end")], ""),
        ("exact", {}, [("a", 5)], ""),
        ("exact", {}, [("b", 5)], ""),
        # exact: the equal frame decides at once, a later one says that none comes
        ("exact", {}, [("a", 5), ("b", 5)], "a5+b5 b5-"),
        ("exact", {}, [("a", 5), ("b", 6)], "a5!sync_no_match"),
        ("exact", {}, [("b", 4), ("a", 5)], "b4!sync_no_match"),
        ("exact", {"offset_ns": {"b": 2}}, [("a", 5), ("b", 3)], "a5+b3 b3-"),
        ("exact", {"offset_ns": {"a": -2}}, [("a", 5), ("b", 3)], "a5+b3 b3-"),
        ("exact", {"optional": frozenset("b")}, [("a", 5), ("b", 6)], "a5?b"),
        ("exact", {"optional": frozenset("b")}, [("a", 5), ("b", "end")], "a5?b"),
        ("exact", {}, [("a", 5), ("b", "end")], "a5!sync_no_match"),
        ("exact", {}, [("a", "end"), ("b", 5)], "b5!sync_no_match"),
        ("exact", {}, [("a", 5), ("b", 5), ("a", 5), ("b", 4)], "a5!stale b4!stale a5+b5 b5-"),
        # nearest: a closer frame may follow the earlier one, the later one decides; a tie goes to the earlier
        ("nearest", {"tolerance_ns": 3}, [("a", 10), ("b", 8)], ""),
        ("nearest", {"tolerance_ns": 3}, [("a", 10), ("b", 8), ("b", 11)], "a10+b11 b8!sync_no_match"),
        ("nearest", {"tolerance_ns": 3}, [("a", 10), ("b", 8), ("b", 12)], "a10+b8"),
        ("nearest", {"tolerance_ns": 3}, [("a", 10), ("b", 6), ("b", 14)], "a10!sync_no_match b6!sync_no_match"),
        ("nearest", {"tolerance_ns": 3}, [("a", 10), ("b", 7)], ""),
        ("nearest", {"tolerance_ns": 3}, [("a", 10), ("b", 7), ("b", "end")], "a10+b7 b7-"),
        ("nearest", {"tolerance_ns": 0}, [("a", 10), ("b", 10)], "a10+b10 b10-"),
        # one frame serves two triggers and is released once
        ("nearest", {"tolerance_ns": 5}, [("a", 8), ("a", 12), ("b", 10), ("b", "end"), ("a", "end")], "a8+b10 a12+b10 b10-"),
        # offline a frame later than the timeout is not taken
        ("nearest", {"tolerance_ns": 9, "timeout_ns": 4}, [("a", 10), ("b", 14), ("b", 30)], "a10+b14"),
        ("nearest", {"tolerance_ns": 9, "timeout_ns": 4}, [("a", 10), ("b", 15), ("b", 30)], "a10!sync_timeout"),
        ("nearest", {"tolerance_ns": 9, "timeout_ns": 4}, [("a", 10), ("b", 20)], "a10!sync_no_match"),
        # latest: newest not after the trigger
        ("latest", {}, [("a", 10), ("b", 4), ("b", 9)], "b4!sync_no_match"),
        ("latest", {}, [("a", 10), ("b", 4), ("b", 9), ("b", 12)], "a10+b9 b4!sync_no_match"),
        ("latest", {}, [("a", 10), ("b", 11)], "a10!sync_no_match"),
        ("latest", {}, [("b", 1), ("b", 99), ("a", 10), ("a", 20), ("a", "end")], "a10+b1 a20+b1 b1- b99!sync_no_match"),
        ("latest", {"optional": frozenset("b")}, [("a", 10), ("b", 11)], "a10?b"),
    ],
)
def test_offline_rules(policy, options, ops, expected):
    assert brief(play(Joiner(["a", "b"], "a", policy, **options), ops)) == expected


@pytest.mark.parametrize(
    ("policy", "options", "ops", "now", "expected"),
    [
        ("exact", {"timeout_ns": 50}, [("a", 5)], 149, ""),
        ("exact", {"timeout_ns": 50}, [("a", 5)], 150, "a5!sync_timeout"),
        ("exact", {"timeout_ns": None}, [("a", 5)], 10**18, ""),
        ("exact", {"timeout_ns": 50, "optional": frozenset("b")}, [("a", 5)], 150, "a5?b"),
        # at the timeout, the best of what is there
        ("nearest", {"timeout_ns": 50, "tolerance_ns": 3}, [("a", 10), ("b", 8)], 150, "a10+b8"),
        # what has arrived decides at once
        ("latest", {"timeout_ns": 50}, [("b", 4), ("a", 10)], 100, "a10+b4"),
        ("latest", {"timeout_ns": 50}, [("a", 10)], 100, ""),
        ("latest", {"timeout_ns": 50}, [("a", 10)], 150, "a10!sync_timeout"),
        ("latest", {"timeout_ns": 50, "optional": frozenset("b")}, [("a", 10)], 100, "a10?b"),
    ],
)
def test_live_rules(policy, options, ops, now, expected):
    joiner = Joiner(["a", "b"], "a", policy, live=True, **options)
    events = play(joiner, ops, now_ns=100)
    assert brief(events + joiner.pop(now)) == expected


def test_live_late_trigger_is_stale_after_its_successor_timed_out():
    joiner = Joiner(["a", "b"], "a", "exact", timeout_ns=50, live=True, optional=frozenset("b"))
    joiner.push("a", 10, "a10", now_ns=0)  # bound not raised: a9 may still come
    assert brief(joiner.pop(49)) == ""
    assert brief(joiner.pop(50)) == "a10?b"
    assert joiner.output_bound() == 11
    joiner.push("a", 9, "a9", now_ns=60)
    assert brief(joiner.pop(60)) == "a9!stale"


@pytest.mark.parametrize(("bound", "expected"), [(10, ""), (11, ""), (12, "a10+b8")])
def test_nearest_settles_when_nothing_to_come_can_be_nearer(bound, expected):
    joiner = Joiner(["a", "b"], "a", "nearest", tolerance_ns=3)
    play(joiner, [("a", 10), ("b", 8)])
    joiner.bound("b", bound)
    assert brief(joiner.pop()) == expected


def test_deadline_waiting_and_output_bound():
    joiner = Joiner(["a", "b", "c"], "a", "nearest", tolerance_ns=5, offset_ns={"a": 1}, timeout_ns=50, live=True)
    assert joiner.next_deadline() is None
    assert joiner.waiting_for() == ["a"]
    joiner.bound("a", 7)
    assert joiner.output_bound() == 7
    joiner.push("a", 10, "a10", now_ns=1000)
    assert joiner.pop(1000) == []
    assert joiner.next_deadline(1000) == 1050
    assert joiner.waiting_for() == ["a", "b", "c"]
    joiner.bound("a", 11)
    joiner.push("b", 11, "b11", now_ns=1001)
    assert joiner.pop(1001) == []
    assert joiner.waiting_for() == ["c"]
    assert joiner.output_bound() == 10  # a10 is still to come out
    assert (joiner.buffered("a"), joiner.buffered("b"), joiner.buffered("c")) == (1, 1, 0)
    joiner.push("c", 11, "c11", now_ns=1002)
    assert brief(joiner.pop(1002)) == "a10+b11+c11"
    assert joiner.output_bound() == 11
    joiner.bound("a", FOREVER)
    assert joiner.output_bound() == FOREVER
    assert joiner.waiting_for() == []


def test_a_fast_stream_does_not_pile_up_behind_a_wide_tolerance():
    joiner = Joiner(["a", "b"], "a", "nearest", tolerance_ns=1000)
    for stamp in range(500):
        joiner.push("b", stamp, stamp)
        joiner.bound("b", stamp + 1)
        joiner.bound("a", stamp)
        joiner.pop()
        assert joiner.buffered("b") <= 2


# ---- against the slow matcher

PORTS = ("a", "b", "c")


@st.composite
def cases(draw):
    ports = PORTS[: draw(st.integers(2, 3))]
    policy = draw(st.sampled_from(["exact", "nearest", "latest"]))
    options = {
        "tolerance_ns": draw(st.integers(0, 12)),
        "offset_ns": {p: draw(st.integers(-10, 10)) for p in ports if draw(st.booleans())},
        "timeout_ns": draw(st.none() | st.integers(1, 12)),
        "optional": frozenset(p for p in ports[1:] if draw(st.booleans())),
    }
    streams = {p: draw(stream_ops()) for p in ports}
    return ports, policy, options, streams


@st.composite
def stream_ops(draw):
    """One port's life: ("push", stamp) and ("bound", stamp), rates, jitter, disorder, duplicates, a sensor that dies."""
    period = draw(st.integers(1, 15))
    count = draw(st.integers(0, 12))
    disorder = draw(st.integers(0, 8))
    start = draw(st.integers(-20, 20))
    ops, newest = [], -(10**6)
    for i in range(count):
        stamp = start + i * period + draw(st.integers(-disorder, disorder))
        ops.append(("push", stamp))
        if draw(st.integers(0, 9)) == 0:
            ops.append(("push", stamp))  # a duplicate
        newest = max(newest, stamp)
        if draw(st.booleans()):
            ops.append(("bound", newest + 1 - draw(st.integers(0, 2 * disorder))))
    if draw(st.integers(0, 3)) == 0:
        ops.append(("bound", newest + draw(st.integers(1, 40))))  # silent, yet time passes
    return [*ops, ("bound", FOREVER)]


def run(ports, policy, options, streams, seed, live=False):
    """Play the streams in a random interleaving, deciding at random moments; returns all events and their times."""
    rng = random.Random(seed)
    joiner = Joiner(ports, ports[0], policy, live=live, **options)
    left = {p: list(ops) for p, ops in streams.items()}
    events, now = [], 0
    while any(left.values()):
        port = rng.choice([p for p, ops in left.items() if ops])
        kind, stamp = left[port].pop(0)
        now += rng.randrange(3)
        if kind == "push":
            joiner.push(port, stamp, (port, stamp), now)
        else:
            joiner.bound(port, stamp)
        if rng.random() < 0.5:
            bound = joiner.output_bound()
            new = joiner.pop(now)
            assert all(e.stamp_ns >= bound for e in new if isinstance(e, Match))
            deadline = joiner.next_deadline(now)
            assert deadline is None or deadline > now
            events += new
    events += joiner.pop(now)
    assert [joiner.buffered(p) for p in ports] == [0] * len(ports)
    assert joiner.output_bound() == FOREVER
    return events


def check_ends(ports, streams, events):
    """Every pushed frame ended once, in a way allowed for its kind."""
    ends = Counter()
    used = set()
    for event in events:
        if isinstance(event, Match):
            ends[event.frames[ports[0]]] += 1
            used.update(frame for port, frame in event.frames.items() if port != ports[0])
        else:
            ends[event.frame] += 1
            assert isinstance(event, Release) == (event.frame in used) or event.reason == "stale"
    pushed = Counter((port, stamp) for port, ops in streams.items() for kind, stamp in ops if kind == "push")
    assert ends == pushed


@settings(max_examples=150, deadline=None)
@given(cases(), st.integers(0, 2**32))
def test_offline_equals_the_slow_matcher_in_any_interleaving(case, seed):
    ports, policy, options, streams = case
    expected = match(Rules(ports, policy, **options), streams)
    for turn in range(3):
        events = run(ports, policy, options, streams, seed + turn)
        got = []
        for e in events:
            if isinstance(e, Match):
                assert e.stamp_ns == e.frames[ports[0]][1]
                got.append(("match", {p: f[1] for p, f in e.frames.items()}, e.missing))
            elif isinstance(e, Miss) and e.port == ports[0] and e.reason != "stale":
                got.append(("miss", e.frame[1], e.reason))
        assert got == expected
        check_ends(ports, streams, events)
        used = {(p, s) for kind, chosen, _ in expected if kind == "match" for p, s in chosen.items() if p != ports[0]}
        for port in ports:
            stale = [e.frame[1] for e in events if isinstance(e, Miss) and e.port == port and e.reason == "stale"]
            assert stale == admitted(streams[port])[1]
        for port in ports[1:]:
            ends = [e for e in events if isinstance(e, Release) or (isinstance(e, Miss) and e.reason != "stale")]
            ended = sorted((e.frame[1], type(e).__name__) for e in ends if e.port == port)
            good = sorted(admitted(streams[port])[0])
            assert ended == [(s, "Release" if (port, s) in used else "Miss") for s in good]


@settings(max_examples=100, deadline=None)
@given(cases(), st.integers(0, 2**32))
def test_live_ends_every_frame_once_and_keeps_the_order(case, seed):
    ports, policy, options, streams = case
    events = run(ports, policy, options, streams, seed, live=True)
    check_ends(ports, streams, events)
    matches = [e for e in events if isinstance(e, Match)]
    assert [e.stamp_ns for e in matches] == sorted({e.stamp_ns for e in matches})
    offset = options["offset_ns"]
    for e in matches:
        assert set(e.frames) | set(e.missing) == set(ports)
        assert options["optional"].issuperset(e.missing)
        for port, (_, stamp) in e.frames.items():
            distance = stamp + offset.get(port, 0) - e.stamp_ns - offset.get(ports[0], 0)
            limit = {"exact": distance == 0, "nearest": abs(distance) <= options["tolerance_ns"], "latest": distance <= 0}
            assert limit[policy]


# ---- against a matcher that sees what the joiner sees, at every moment of a run, offline and live


@settings(max_examples=200, deadline=None)
@given(cases(), st.booleans(), st.integers(0, 2**32))
def test_every_decision_is_that_of_the_naive_joiner(case, live, seed):
    """Sets, misses, reasons, and the time of each decision: as soon as no future frame can change it, never earlier."""
    ports, policy, options, streams = case
    rng = random.Random(seed)
    joiner = Joiner(ports, ports[0], policy, live=live, **options)
    naive = NaiveJoiner(Rules(ports, policy, **options, live=live))
    left = {p: list(ops) for p, ops in streams.items()}
    ended, expected_ended, now = [], [], 0
    over = False
    while not over:
        choices = [p for p, ops in left.items() if ops]
        over = not choices and joiner.next_deadline(now) is None  # once more, to include the last arrivals
        if choices:
            port = rng.choice(choices)
            kind, stamp = left[port].pop(0)
            for j in (joiner, naive):
                if kind == "push":
                    j.push(port, stamp, (port, stamp), now)
                else:
                    j.bound(port, stamp)
        now += rng.randrange(4)
        if rng.random() < 0.7 or not choices:
            got, expected = joiner.pop(now), naive.pop(now)
            decided, expected_decided = ([e for e in events if is_decision(e, ports[0])] for events in (got, expected))
            assert decided == expected_decided
            ended += [e for e in got if e not in decided]
            expected_ended += [e for e in expected if e not in expected_decided]
            # frames that no trigger can use may be kept a little longer, but frames that one may use must be present
            assert all(e in expected_ended for e in ended)
    assert Counter(map(str, ended)) == Counter(map(str, expected_ended))


def is_decision(event, trigger):
    return isinstance(event, Match) or (isinstance(event, Miss) and (event.port == trigger or event.reason == "stale"))


# ---- sensors as they are: 10 Hz LiDAR, 30 Hz camera, 9 Hz thermal


@st.composite
def sensors(draw):
    """Three clocks with jitter, disorder, duplicates, and one that dies and returns; rules that a graph could have."""
    streams = {}
    for port, rate_hz, count in (("lidar", 10.0, 30), ("cam", 30.0, 90), ("heat", 9.0, 27)):
        dead = draw(st.none() | st.tuples(st.floats(0, 1.5), st.floats(1.5, 3.5)))
        config = JitterConfig(
            frames=count,
            rate_hz=rate_hz,
            seed=draw(st.integers(0, 99)),
            offset_ms=draw(st.sampled_from([-40.0, 0.0, 17.3])),
            jitter_ms=draw(st.sampled_from([0.0, 2.0, 15.0])),
            disorder_ms=draw(st.sampled_from([0.0, 30.0, 150.0])),
            duplicates=draw(st.sampled_from([0.0, 0.1])),
            dead_s=dead,
        )
        told_ms = draw(st.sampled_from([config.disorder_ms, 0.0]))  # or it declares no disorder
        streams[port] = (config, told_ms)
    policy = draw(st.sampled_from(["exact", "nearest", "latest"]))
    rules = {
        "policy": policy,
        "tolerance_ms": draw(st.sampled_from([0, 10, 40, 120])) if policy == "nearest" else 0,
        "offset_ms": draw(st.sampled_from([{}, {"cam": -17.3}, {"heat": 40.0, "lidar": 5.0}])),
        "timeout_ms": draw(st.sampled_from([None, 20, 100])),
        "optional": draw(st.sampled_from([[], ["heat"], ["cam", "heat"]])),
    }
    return streams, rules


def ops_of(config: JitterConfig, told_ms: float):
    """Frames of such a source, with the bounds of pipeline/runtime/runner.py."""
    ops, newest = [], -(2**62)
    for _, stamp in schedule(config):
        newest = max(newest, stamp)
        ops += [("push", stamp), ("bound", newest - round(told_ms * 1e6) if told_ms else newest + 1)]
    return [*ops, ("bound", FOREVER)]


@settings(max_examples=60, deadline=None)
@given(sensors(), st.integers(0, 2**32))
def test_sensors_offline_equal_the_slow_matcher(case, seed):
    configs, told = case
    ports = tuple(configs)
    options = {
        "tolerance_ns": told["tolerance_ms"] * 10**6,
        "offset_ns": {p: round(ms * 1e6) for p, ms in told["offset_ms"].items()},
        "timeout_ns": None if told["timeout_ms"] is None else told["timeout_ms"] * 10**6,
        "optional": frozenset(told["optional"]),
    }
    streams = {p: ops_of(*configs[p]) for p in ports}
    events = run_sensors(Joiner(ports, ports[0], told["policy"], **options), streams, random.Random(seed))
    got = []
    for e in events:
        if isinstance(e, Match):
            got.append(("match", {p: f[1] for p, f in e.frames.items()}, e.missing))
        elif isinstance(e, Miss) and e.port == ports[0] and e.reason != "stale":
            got.append(("miss", e.frame[1], e.reason))
    assert got == match(Rules(ports, told["policy"], **options), streams)
    check_ends(ports, streams, events)


def run_sensors(joiner, streams, rng):
    """All events, in a random interleaving of the streams, decided at random moments."""
    left = {p: list(ops) for p, ops in streams.items()}
    events = []
    while any(left.values()):
        port = rng.choice([p for p, ops in left.items() if ops])
        kind, stamp = left[port].pop(0)
        if kind == "push":
            joiner.push(port, stamp, (port, stamp))
        else:
            joiner.bound(port, stamp)
        if rng.random() < 0.3:
            events += joiner.pop()
    return events + joiner.pop()
