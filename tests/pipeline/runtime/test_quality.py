"""The controller as a pure function: a simulated graph gives latencies, the controller gives switches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from pipeline.operator import Level
from pipeline.runtime.quality import Controller, Stage, Switch

COARSE = Level("coarse", "no refine stage", 0.10, cost=0.6)
HALF = Level("half", "a smaller picture", 0.02, cost=0.5)
QUARTER = Level("quarter", "a tiny picture", 0.05, cost=0.3)
NEAR = Level("near", "a shorter range", 0.05, cost=0.8, readers=0.5)


@dataclass
class Rig:
    """Operators in a chain to one sink `out`. times: of the operators [ms] at the best level without load."""

    times: dict[str, float]
    stages: Sequence[Stage]
    target_ms: float = 100.0
    rate_hz: float = 10.0
    noise: float = 0.03
    wrong: float = 1.0  # true cost of a level, against the declared one
    switches: list[tuple[float, Switch]] = field(default_factory=list)
    frames: list[tuple[float, float]] = field(default_factory=list)  # time, latency

    def __post_init__(self) -> None:
        self.controller = Controller(self.target_ms, self.stages)
        self.rng = np.random.default_rng(7)

    def run(self, until_s: float, load: Callable[[float], float]) -> Rig:
        """load: factor of all times."""
        due = 0.0
        for tick in range(1, round(until_s * 10) + 1):
            now = tick / 10
            while due < now:
                self.frame(now, load(now))
                due += 1 / self.rate_hz
            switch = self.controller.decide(now)
            if switch is not None:
                self.switches.append((now, switch))
        return self

    def frame(self, now: float, load: float) -> None:
        cost = dict.fromkeys(self.times, 1.0)
        for stage in self.stages:
            own, readers = stage.costs(self.controller.level[stage.node])
            cost[stage.node] *= own if own == 1 else own * self.wrong
            for reader in stage.readers:
                cost[reader] *= readers
        spent = {n: ms * cost[n] * load * self.rng.normal(1, self.noise) for n, ms in self.times.items()}
        for node, ms in spent.items():
            self.controller.computed(now, node, [ms])
        latency = sum(spent.values())
        self.frames.append((now, latency))
        self.controller.arrived(now, "out", [latency])

    def late(self, since_s: float, until_s: float) -> float:
        seen = [ms for at, ms in self.frames if since_s < at <= until_s]
        return sum(ms > self.target_ms for ms in seen) / len(seen)

    @property
    def levels(self) -> list[tuple[str, int]]:
        return [(switch.node, switch.level) for _, switch in self.switches]


def stage(node: str, *levels: Level, readers: tuple[str, ...] = (), sinks: tuple[str, ...] = ("out",)) -> Stage:
    return Stage(node, levels, readers, frozenset(sinks))


def halved(now: float) -> float:
    """The quota of the processors is halved for 60 of 180 s."""
    return 2.0 if 60 <= now < 120 else 1.0


def test_no_operator_has_levels():
    rig = Rig({"detect": 90}, []).run(10, lambda now: 2)
    assert rig.switches == [] and rig.controller.helpless.startswith("21 of 21 frames in 2.0 s")


def test_no_frame_came():
    controller = Controller(100, [stage("detect", COARSE)])
    assert [controller.decide(k / 10) for k in range(100)] == [None] * 100


def test_without_load_nothing_switches():
    assert Rig({"detect": 60, "draw": 20}, [stage("detect", COARSE), stage("draw", HALF)]).run(60, lambda now: 1).switches == []


def test_one_late_frame_switches_nothing():
    rig = Rig({"detect": 60}, [stage("detect", COARSE)])
    assert rig.run(60, lambda now: 3 if 20 < now < 20.15 else 1).switches == []


@pytest.mark.parametrize("rate_hz", [9, 10, 30])
def test_half_the_quota_for_a_minute(rate_hz):
    """Late frames below 1 % outside of 5 s after each change; full quality again at the end; no flapping."""
    rig = Rig({"detect": 50, "draw": 20}, [stage("detect", COARSE), stage("draw", HALF, QUARTER)], rate_hz=rate_hz)
    rig.run(180, halved)
    assert {at for at, _ in rig.switches if at < 60} == set()
    assert all(60 <= at < 65 for at, s in rig.switches if s.level > 0)
    assert rig.controller.level == {"detect": 0, "draw": 0}
    assert max(at for at, _ in rig.switches) < 145
    assert [rig.late(*span) for span in ((0, 59), (65, 119), (125, 180))] == [0, 0, 0]
    assert len(rig.switches) == 2 * sum(s.level > 0 for _, s in rig.switches)


def test_a_load_that_stays_is_not_tried_often():
    """The expected latency says that there is no room: no step up, so no late frames."""
    rig = Rig({"detect": 75}, [stage("detect", COARSE)]).run(200, lambda now: 2 if now > 10 else 1)
    assert rig.levels == [("detect", 1)] and rig.late(15, 200) == 0


def test_a_step_up_that_fails_waits_longer_each_time():
    """The level saves far more than declared, so the step up looks possible and is not."""
    rig = Rig({"detect": 70}, [stage("detect", COARSE)], wrong=0.4).run(300, lambda now: 2 if now > 10 else 1)
    ups = [at for at, switch in rig.switches if switch.level == 0]
    assert 1 <= len(ups) <= 8
    assert all(b - a > 5 for a, b in itertools.pairwise(ups))
    assert rig.late(15, 300) < 0.03


def test_load_near_the_limit_does_not_flap():
    rig = Rig({"detect": 50, "draw": 20}, [stage("detect", COARSE), stage("draw", HALF)], noise=0.08)
    rig.run(300, lambda now: 1.32)
    assert len(rig.switches) <= 4 and rig.late(10, 300) < 0.01


def test_the_step_with_the_least_loss_per_ms_comes_first():
    """detect saves 20 ms for 0.10, draw 10 ms for 0.02, then 4 ms more for 0.03."""
    rig = Rig({"detect": 50, "draw": 20}, [stage("detect", COARSE), stage("draw", HALF, QUARTER)])
    assert rig.run(20, lambda now: 4).levels == [("draw", 1), ("detect", 1), ("draw", 2)]
    assert rig.controller.helpless != ""


def test_the_gain_of_the_readers_counts():
    """The voxelizer itself saves 1 ms, its reader 25 ms."""
    stages = [stage("detect", COARSE), stage("voxelize", NEAR, readers=("detect",))]
    rig = Rig({"voxelize": 5, "detect": 50}, stages).run(20, lambda now: 2.2)
    assert rig.levels[0] == ("voxelize", 1) and rig.late(5, 20) == 0


def test_operators_on_the_way_to_the_late_sink_come_first():
    """`other` is cheaper to lower, but feeds another sink."""
    stages = [stage("other", HALF, sinks=("elsewhere",)), stage("detect", COARSE)]
    rig = Rig({"other": 30, "detect": 60}, stages).run(20, lambda now: 2)
    assert rig.levels == [("detect", 1), ("other", 1)]


def test_reasons_name_sink_count_and_target():
    rig = Rig({"detect": 60}, [stage("detect", COARSE)]).run(60, lambda now: 2 if 10 <= now < 30 else 1)
    down, up = (switch.reason for _, switch in rig.switches)
    assert down == "3 of 21 frames in 2.0 s later than 100 ms at out, p95 119 ms"
    assert up.startswith("p95 3") and up.endswith("ms in 5 s at out leaves room for 24 ms more")


def test_frames_of_a_restart_are_not_judged():
    controller = Controller(100, [stage("detect", COARSE)])
    for tick in range(20, 100):
        now = tick / 10
        controller.pause(now)
        controller.computed(now, "detect", [500])
        controller.arrived(now, "out", [2000])
        assert controller.decide(now) is None


def test_frames_on_their_way_do_not_lead_to_a_second_step():
    controller = Controller(100, [stage("detect", COARSE, Level("rough", "", 0.3, cost=0.3))])
    switches = []
    for tick in range(10, 20):
        now = tick / 10
        controller.computed(now, "detect", [150])
        controller.arrived(now, "out", [300 if now < 1.6 else 60])
        switches.append(controller.decide(now))
    assert [s.level for s in switches if s is not None] == [1]


def test_a_late_frame_now_and_then():
    """2 % of the frames are late, never two in 2 s: the long window sees them."""
    controller = Controller(100, [stage("detect", COARSE)])
    switches = []
    for tick in range(600):
        now = tick / 10
        controller.computed(now, "detect", [80])
        controller.arrived(now, "out", [130 if tick % 50 == 0 else 85])
        switches.append(controller.decide(now))
    first = next(k for k, s in enumerate(switches) if s is not None)
    assert 100 <= first <= 160


def test_readers_without_frames():
    """A graph at its start: an operator that has computed nothing cannot save anything."""
    controller = Controller(100, [stage("idle", HALF), stage("detect", COARSE)])
    for tick in range(6, 20):
        controller.computed(tick / 10, "detect", [150])
        controller.arrived(tick / 10, "out", [150])
        controller.decide(tick / 10)
    assert controller.level == {"idle": 0, "detect": 1}
