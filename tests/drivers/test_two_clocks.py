"""Two sensors whose clocks drift apart, joined by the engine for ten minutes of simulated time."""

import heapq

import numpy as np
import pytest

from drivers.clock import SensorClock
from pipeline.flow.sync import Joiner, Match, Miss

S, MS = 1_000_000_000, 1_000_000
HOST0 = 1_700_000_000 * S
SECONDS = 600


def messages(port, hz, ppm, delay_ms, jitter_ms, seed):
    """(arrival, port, frame number, true time, sensor time) of a sensor that has been on for long; the host stalls at times."""
    rng = np.random.default_rng(seed)
    last = 0
    for i in range(SECONDS * hz):
        true = HOST0 + i * S // hz
        arrival = true + round((delay_ms + rng.exponential(jitter_ms)) * MS)
        stall = (true - HOST0) % (97 * S)
        if 40 * S < stall < 40 * S + 300 * MS:  # 0.3 s in which nothing is read
            arrival = max(arrival, true - stall + 40 * S + 300 * MS)
        last = max(last, arrival)
        yield last, port, i, true, 7_000 * S + round((true - HOST0) * (1 + ppm * 1e-6))


@pytest.mark.quick(1)
@pytest.mark.parametrize(("ppm", "jitter_ms"), [((200, 0), 1.0), ((100, -100), 3.0), ((-200, 0), 0.2)])
def test_they_stay_synced_within_2_ms_for_ten_minutes(ppm, jitter_ms):
    """A LiDAR of 10 Hz and a camera of 30 Hz that capture at the same instants; the pair of each scan is known."""
    clocks = {"points": SensorClock(), "image": SensorClock()}
    joiner = Joiner(["points", "image"], "points", "nearest", tolerance_ns=2 * MS, timeout_ns=150 * MS, live=True)
    streams = [messages("points", 10, ppm[0], 0.1, jitter_ms, 1), messages("image", 30, ppm[1], 0.3, jitter_ms, 2)]
    pairs, missed, apart_ms, true_of = [], [], [], {}
    for arrival, port, number, true, sensor in heapq.merge(*streams):
        stamp = clocks[port].host_ns(sensor, arrival)
        true_of[port, number] = (stamp, true)
        joiner.push(port, stamp, number, arrival)
        joiner.bound(port, stamp + 1)
        for event in joiner.pop(arrival):
            if isinstance(event, Match):
                pairs.append((event.frames["points"], event.frames["image"]))
            elif isinstance(event, Miss) and event.port == "points":
                missed.append(event.frame)
    warm = 5 * 10  # the drift is known after 5 s
    assert [number for number in missed if number >= warm] == []
    assert all(image == 3 * points for points, image in pairs if points >= warm) and len(pairs) > SECONDS * 10 - warm - 3
    for points, image in pairs:
        if points >= warm:
            apart_ms.append((true_of["points", points][0] - true_of["image", image][0]) / MS)
    assert np.abs(apart_ms).max() <= 2.0
    off_ms = [abs(stamp - true) / MS for (_, number), (stamp, true) in true_of.items() if number >= 3 * warm]
    assert max(off_ms) <= 2.0 and all(clock.steps == 0 for clock in clocks.values())
    raw_ms = abs(ppm[0] - ppm[1]) * 1e-6 * SECONDS * 1e3
    assert raw_ms >= 119, "by their own clocks they would be 120 ms apart in the end"
