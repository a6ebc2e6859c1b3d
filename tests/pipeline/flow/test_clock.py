"""The graph clock: at a rate, live, and where stamps and time are unrelated."""

from time import monotonic_ns, time_ns

import pytest

from pipeline.flow import clock as module
from pipeline.flow.clock import Clock

S = 1_000_000_000


@pytest.fixture
def now(monkeypatch):
    """CLOCK_MONOTONIC of this test: `now[0]`."""
    at = [50 * S]
    monkeypatch.setattr(module, "monotonic_ns", lambda: at[0])
    return at


def started(rate, live=False, anchor_stamp_ns=1000 * S):
    clock = Clock()
    clock.start(50 * S, anchor_stamp_ns, rate, live)
    return clock


def test_before_the_start_nothing_is_due_or_old():
    clock = Clock()
    assert (clock.stamp_now(), clock.due_mono_ns(0), clock.too_old(0, 1)) == (None, None, False)


@pytest.mark.parametrize(("rate", "stamp_s"), [(1.0, 1002), (2.0, 1004), (0.5, 1001)])
def test_a_file_played_at_a_rate(now, rate, stamp_s):
    now[0] = 52 * S
    assert started(rate).stamp_now() == stamp_s * S


@pytest.mark.parametrize(("rate", "due_s"), [(1.0, 53), (2.0, 51.5), (0.5, 56)])
def test_when_a_frame_is_due(rate, due_s):
    assert started(rate).due_mono_ns(1003 * S) == due_s * S


def test_stamp_and_due_time_are_inverse(now):
    clock = started(3.0)
    for stamp in (1000 * S, 1000 * S + 300, 1007 * S):
        now[0] = clock.due_mono_ns(stamp)
        assert 0 <= stamp - clock.stamp_now() <= 3, "whole nanoseconds, cut once each way"


def test_a_frame_before_the_anchor_is_due_in_the_past():
    assert started(1.0).due_mono_ns(990 * S) == 40 * S


def test_without_an_anchor_everything_is_due_at_once():
    clock = started(1.0, anchor_stamp_ns=None)
    assert (clock.stamp_now(), clock.due_mono_ns(5)) == (None, None)


def test_as_fast_as_possible_the_clock_says_nothing():
    clock = started(None)
    assert (clock.stamp_now(), clock.due_mono_ns(5), clock.too_old(0, 1)) == (None, None, False)


def test_a_live_sensor_has_the_time_of_the_host():
    before = time_ns()
    stamp = started(None, live=True).stamp_now()
    assert stamp is not None
    assert before <= stamp <= time_ns()
    assert started(None, live=True).due_mono_ns(before) is None, "a sensor waits for nobody"


@pytest.mark.parametrize(
    ("age_ns", "max_age_ns", "expected"),
    [(0, None, False), (10 * S, None, False), (100, 100, False), (101, 100, True), (-5, 0, False), (1, 0, True)],
)
def test_too_old(now, age_ns, max_age_ns, expected):
    clock = started(1.0, live=True)
    assert clock.too_old(1000 * S - age_ns, max_age_ns) is expected


def test_offline_nothing_is_too_old(now):
    now[0] = 99 * S
    assert started(1.0).too_old(0, 1) is False


def test_live_the_age_counts_from_the_host_clock():
    clock = started(None, live=True)
    assert clock.too_old(time_ns() - 2 * S, S) is True
    assert clock.too_old(time_ns(), 60 * S) is False
    assert monotonic_ns() != 50 * S, "the host's own clock again"


@pytest.fixture
def wall(monkeypatch):
    """The machine's clock and CLOCK_MONOTONIC of this test: `wall[0]`, `wall[1]`."""
    at = [2000 * S, 50 * S]
    monkeypatch.setattr(module, "time_ns", lambda: at[0])
    monkeypatch.setattr(module, "monotonic_ns", lambda: at[1])
    return at


def test_a_clock_that_is_set_back(wall):
    """By an hour: the graph's clock goes on, and so do stamps that a sensor takes from the machine's clock."""
    clock = started(None, live=True)
    assert (clock.stamp_now(), clock.steady(2000 * S)) == (2000 * S, 2000 * S)
    wall[:] = [2001 * S - 3600 * S, 51 * S]
    assert (clock.stamp_now(), clock.steady(2001 * S - 3600 * S)) == (2001 * S, 2001 * S)
    assert clock.steady(7 * S) == 7 * S, "the stamp of a device's own clock"
    assert clock.too_old(1998 * S, 2 * S) and not clock.too_old(2000 * S, 2 * S)


def test_a_clock_that_is_set_forward_and_back(wall):
    clock = started(None, live=True)
    wall[:] = [2001 * S + 3600 * S, 51 * S]
    assert (clock.stamp_now(), clock.steady(wall[0])) == (wall[0], wall[0])
    wall[:] = [2002 * S, 52 * S]
    assert (clock.stamp_now(), clock.steady(2002 * S)) == (2002 * S + 3600 * S, 2002 * S + 3600 * S)


def test_successors_share_the_clock_of_the_start(wall):
    """A process that is started after the clock was set back."""
    first = module.wall_offset()
    wall[:] = [2001 * S - 3600 * S, 51 * S]
    clock = Clock()
    clock.start(50 * S, None, None, True, first)
    assert clock.stamp_now() == 2001 * S


@pytest.mark.parametrize("ms", [-40, -1, 0, 1, 40])
def test_what_ntp_does_is_left_alone(wall, ms):
    clock = started(None, live=True)
    wall[0] += ms * 1_000_000
    assert clock.steady(wall[0]) == wall[0]
