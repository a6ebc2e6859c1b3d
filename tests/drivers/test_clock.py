"""Sensor clocks in simulated time: what the sensor stamps and when it arrives are given, the host's true time is known."""

import numpy as np
import pytest

from drivers.clock import SensorClock, _slope_below

MS, S = 1_000_000, 1_000_000_000
HOST0 = 1_700_000_000 * S
"""Host time at the start: as large as today's, where float64 has lost the nanoseconds."""
LEAST_DELAY_NS = 100_000


def run(ppm=0.0, jitter_ms=0.1, seconds=60, hz=30, sensor0=5 * S, arrival=lambda true, a: a, sensor=lambda true, s: s):
    """(errors of host_ns [ms], clock, steps): a sensor whose clock runs `ppm` fast; exponential jitter above the least delay."""
    rng, steps = np.random.default_rng(0), []
    clock = SensorClock(on_step=steps.append)
    errors, last = [], 0
    for i in range(seconds * hz):
        true = HOST0 + i * S // hz
        stamp = sensor(true - HOST0, sensor0 + round((true - HOST0) * (1 + ppm * 1e-6)))
        last = max(last, arrival(true - HOST0, true + LEAST_DELAY_NS + round(rng.exponential(jitter_ms * MS))))
        host = clock.host_ns(stamp, last)
        assert isinstance(host, int) and host <= last + 1
        errors.append((host - true) / MS)
    return np.array(errors), clock, steps


def test_one_message_has_its_arrival():
    clock = SensorClock()
    assert clock.host_ns(7, HOST0) == HOST0 and clock.at(8) == HOST0 + 1


@pytest.mark.parametrize(
    ("ppm", "jitter_ms", "most_ms"), [(0, 0.1, 0.2), (200, 0.1, 0.8), (-200, 2, 0.8), (30, 10, 1.5), (-499, 0.5, 2.0)]
)
def test_offset_and_drift_are_found_through_jitter(ppm, jitter_ms, most_ms):
    errors, clock, steps = run(ppm, jitter_ms)
    assert np.abs(errors[30:]).max() < most_ms and not steps
    assert clock.drift_ppm == pytest.approx(-ppm, abs=1 + jitter_ms)


def test_stamps_grow_with_sensor_time_also_while_the_offset_is_found():
    clock = SensorClock()
    late = [80, 60, 70, 1, 1, 0.2]  # ms: the first messages waited in a buffer
    hosts, arrival = [], 0
    for i, delay in enumerate(late):
        arrival = max(arrival, HOST0 + i * 33 * MS + round(delay * MS))
        hosts.append(clock.host_ns(i * 33 * MS, arrival))
    assert np.all(np.diff(hosts) > 0) and clock.steps == 0
    assert abs(hosts[-1] - HOST0 - 5 * 33 * MS) < 1 * MS


def test_a_busy_host_does_not_move_the_clock():
    """For 2 s nothing is read, then all at once."""
    errors, _, steps = run(50, arrival=lambda t, a: max(a, HOST0 + 42 * S) if 40 * S < t < 42 * S else a)
    assert np.abs(errors[60:]).max() < 0.3 and not steps


@pytest.mark.parametrize(
    ("by_s", "hz"), [(3600.0, 30), (0.05, 30), (-0.06, 10), (-3600.0, 30), (-0.5, 30), (1_699_999_950.0, 10), (-30.0, 1)]
)
def test_a_clock_that_was_set_is_one_step(by_s, hz):
    """By GPS or PTP lock, or a reboot; a step back by less than a period is known after a second."""
    errors, clock, steps = run(80, hz=hz, sensor=lambda t, s: s + (round(by_s * S) if t >= 40 * S else 0), sensor0=100 * S)
    assert clock.steps == 1 and steps == [pytest.approx(by_s * S, abs=3 * MS)]
    before, after = errors[3 * hz : 40 * hz], errors[40 * hz :]
    assert np.abs(before).max() < 0.5
    assert np.abs(after[3 * hz :]).max() < 0.8, "the drift stays known"
    assert np.abs(after).max() < max(1.0, -1100 * by_s if hz == 10 else 0)


def test_a_recording_played_at_half_its_speed_does_not_fall_behind():
    """No crystal: the sensor's time passes at half the host's."""
    errors, _, steps = run(-500_000, seconds=30)
    assert len(steps) > 1 and errors.min() > -6000


def test_a_sensor_that_was_silent_is_still_known():
    clock = SensorClock()
    for i in [*range(600), *range(18_000, 18_600)]:  # 10 Hz: one minute, half an hour of silence, one minute
        true = i * S // 10
        host = clock.host_ns(round(true * (1 + 100e-6)), HOST0 + true + LEAST_DELAY_NS)
        assert abs(host - HOST0 - true) < 1.5 * MS
    assert clock.steps == 0


def test_reordered_messages_keep_their_own_times():
    clock = SensorClock()
    order = [0, 2, 1, 3, 5, 4, 6]
    hosts = {i: clock.host_ns(i * MS, HOST0 + k * MS + 5 * MS) for k, i in enumerate(order)}
    assert [hosts[i] for i in sorted(hosts)] == sorted(hosts.values()) and clock.steps == 0


@pytest.mark.parametrize("count", [2, 3, 10, 40])
def test_the_slope_is_that_of_the_best_line_below_all_points(count):
    """Naive twin: of the lines through two points and below all, the one with the least sum of distances."""
    rng = np.random.default_rng(count)
    for _ in range(5):
        points = np.column_stack([np.sort(rng.uniform(0, 60, count)), rng.exponential(2, count)])
        best = (np.inf, 0.0)
        for i in range(count):
            for j in range(i + 1, count):
                slope = (points[j, 1] - points[i, 1]) / (points[j, 0] - points[i, 0])
                above = points[:, 1] - points[i, 1] - slope * (points[:, 0] - points[i, 0])
                if above.min() > -1e-9:
                    best = min(best, (above.sum(), slope))
        assert _slope_below(points) == pytest.approx(best[1])
