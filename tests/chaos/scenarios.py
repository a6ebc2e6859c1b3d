"""Attacks on the graphs under test. Every scenario gets a folder and a seed and returns a Tally; a Hang ends it."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from chaos import account, graphs, procs
from chaos.rig import OFFLINE, Hang, Rig
from chaos.tally import Tally

SMALL = 60_000
"""Bytes of a frame where it is the steps that matter."""
PER_LIFE = 40
"""Frames from one kill at a step to the next: FRESH reach every sink, though some die and some are ahead of others."""
_SENDS = ("recorded", "sent", "rung")
_OP = ("received", "processing", "allocated", "written", "processed", "committed", "released", *_SENDS)
_SINK = ("received", "processing", "processed", "committed", "released")
STEPS: dict[str, dict[str, int]] = {
    "src": {**dict.fromkeys(("reading", "allocated", "written", "committed"), 1), **dict.fromkeys(_SENDS, 3)},
    "left": dict.fromkeys(_OP, 1),
    "right": {**dict.fromkeys(_OP, 2), "allocated": 1, "written": 1},
    "join": {**dict.fromkeys(_OP, 1), "received": 2, "released": 2},
    "snk": dict.fromkeys(_SINK, 1),
    "tap": dict.fromkeys(("processing", "committed"), 1),
}
"""Node -> step -> how often a frame passes it in that node's process (`right` shares one with `near`; `tap` keeps its views)."""


@contextlib.contextmanager
def under_fire(name: str, make: Callable[[Tally], Rig]) -> Iterator[tuple[Rig, Tally]]:
    """A rig that turns a hang or an early end into a finding and leaves nothing running."""
    tally = Tally(name)
    rig = make(tally)
    try:
        yield rig, tally
    except Hang as hang:
        tally.hangs.append(str(hang))
    finally:
        rig.abandon()


def step(folder: Path, seed: int, node: str, name: str, kills: int, size: int = SMALL) -> Tally:
    """The process of a node kills itself repeatedly at one step of a frame's life, in each life at the same pass."""
    per_frame = STEPS[node][name]
    passing = per_frame * PER_LIFE + random.Random(seed).randrange(2 * per_frame)
    place = "g" if node == "right" else node
    inject = f"{node}:{name}@{passing}+"
    with under_fire(f"step {inject} seed {seed}", lambda t: Rig(folder, t, size, "--inject", inject)) as (rig, tally):
        rig.running()
        while len(rig.deaths) < kills:
            some = min(kills, len(rig.deaths) + 10)
            rig.wait(functools.partial(_died, rig, some), f"kill {some} of {kills}")
            rig.quiet()
        rig.ends_ns = [at for at, _ in rig.deaths]
        rig.fresh(rig.ends_ns[-1])
        rig.end()
        tally.kills[name, graphs.KINDS[place]] += len(rig.deaths)
        if {who for _, who in rig.deaths} != {place}:
            tally.failed.append(f"died: {sorted({who for _, who in rig.deaths})}, only {place} was to")
    return tally


def _died(rig: Rig, count: int) -> bool:
    return rig.flow() and len(rig.deaths) >= count


def _successor(rig: Rig, place: str, was: int) -> int | None:
    """The living process of a place, if it differs from `was`."""
    there = rig.children().get(place, was)
    return there if there != was and procs.state(there) not in ("", "Z", "X") else None


def shots(folder: Path, seed: int, kills: int, size: int = graphs.FULL_HD, live: bool = False) -> Tally:
    """SIGKILL for random processes at random times: one, two at once, one while it restarts, three one after another."""
    rng = random.Random(seed)
    name = f"random{' live' if live else ''} seed {seed}"
    with under_fire(name, lambda t: Rig(folder, t, size, queue=2, live_hz=10.0 if live else None)) as (rig, tally):
        rig.running()
        rig.fresh(time.monotonic_ns())
        done = bursts = 0
        while done < kills:
            how = rng.choice(("one", "two at once", "while starting", "three in a row", "three in a row"))
            time.sleep(rng.uniform(0.0, 0.15))  # anywhere between two frames
            done += _burst(rig, tally, rng, how)
            rig.ends_ns.append(time.monotonic_ns())
            rig.fresh(rig.ends_ns[-1])
            bursts += 1
            if bursts % 10 == 0:
                rig.quiet()
        rig.quiet()
        rig.end()
        if len(rig.deaths) != done:
            tally.failed.append(f"{done} processes were killed, the run says {len(rig.deaths)}")
    return tally


def _burst(rig: Rig, tally: Tally, rng: random.Random, how: str) -> int:
    """Kills in the given way; returns the number of killed processes."""

    def shoot(*places: str) -> int:
        there = rig.children()
        hit = 0
        for place in places:
            if place in there and procs.state(there[place]) not in ("", "Z", "X"):
                os.kill(there[place], signal.SIGKILL)
                tally.kills[how, graphs.KINDS[place]] += 1
                hit += 1
        return hit

    places = rng.sample(list(graphs.KINDS), 3)
    if how == "one":
        return shoot(places[0])
    if how == "two at once":
        return shoot(*places[:2])
    if how == "three in a row":
        hit = 0
        for place in places:
            hit += shoot(place)
            rig.flow()
            time.sleep(rng.uniform(0.0, 0.3))
        return hit
    was = rig.children().get(places[0], 0)
    hit = shoot(places[0])
    rig.wait(lambda: rig.flow() and _successor(rig, places[0], was), f"a successor of {places[0]}")
    time.sleep(rng.uniform(0.0, 0.8))
    return hit + shoot(places[0])


def stops(folder: Path, seed: int, count: int, live: bool = False, kill: bool = False, size: int = graphs.FULL_HD) -> Tally:
    """SIGSTOP for random processes at random times, up to 5 s; `kill`: a neighbour dies twice meanwhile; else no loss."""
    rng = random.Random(seed)
    name = f"stops{' live' if live else ''}{' and kills' if kill else ''} seed {seed}"
    with under_fire(name, lambda t: Rig(folder, t, size, queue=2, live_hz=10.0 if live else None)) as (rig, tally):
        if not kill:
            rig.reasons -= {"restart"} if live else OFFLINE
        rig.running()
        for _ in range(count):
            stopped, other = rng.sample(list(graphs.KINDS), 2)
            pid = rig.children()[stopped]
            os.kill(pid, signal.SIGSTOP)
            until = time.monotonic() + (rng.uniform(3.5, 5.0) if rng.random() < 0.3 else rng.uniform(0.05, 1.0))
            killed = 0
            for _ in range(2 * kill):  # the successor waits for the stopped process if they are neighbours, and is killed too
                killed = rig.wait(functools.partial(_successor, rig, other, killed), f"a process of {other}")
                time.sleep(rng.uniform(0.0, 0.3))
                os.kill(killed, signal.SIGKILL)
                tally.kills["beside a stopped one", graphs.KINDS[other]] += 1
            while time.monotonic() < until:
                rig.flow()
                time.sleep(0.02)
            os.kill(pid, signal.SIGCONT)
            tally.stops += 1
            rig.ends_ns.append(time.monotonic_ns())
            rig.fresh(rig.ends_ns[-1])
        rig.quiet()
        rig.end()
        if len(rig.deaths) != sum(tally.kills.values()):
            tally.failed.append(f"{sum(tally.kills.values())} processes were killed, the run says {len(rig.deaths)}")
    return tally


def disk(folder: Path, seed: int, rounds: int, size: int = SMALL) -> Tally:
    """The results disk becomes full: sinks name lost frames, others continue. Once freed, files continue, even after a kill."""
    rng = random.Random(seed)
    mounted = folder / "out"
    mounted.mkdir(parents=True)
    # More than the events of a run take (flow/chunks.py): it becomes full by `_fill` only.
    mount = ["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(mounted)]
    tried = subprocess.run(mount, check=False, capture_output=True, text=True)
    if tried.returncode:
        return Tally(left_out=[f"a full disk: needs to mount a small one, got: {tried.stderr.strip()}"])
    try:
        with under_fire(f"disk seed {seed}", functools.partial(Rig, folder, size=size, on_error="skip")) as (rig, tally):
            rig.reasons |= {"error"}
            rig.running()
            for _ in range(rounds):
                rig.fresh(time.monotonic_ns())
                rig.quiet()
                _fill(mounted / "filler")
                rig.open_to(rig.limit + 200)
                rig.wait(rig.still, "the frames to go by a full disk")
                rig.passed = rig.limit
                (mounted / "filler").unlink()
                place = rng.choice(("snk", "tap", "g"))
                os.kill(rig.children()[place], signal.SIGKILL)
                tally.kills["after a full disk", graphs.KINDS[place]] += 1
                rig.fresh(time.monotonic_ns())
                rig.quiet()
            lost = Counter(d["edge"] for d in account.drops(rig.out) if d["reason"] == "error")
            if set(lost) != {"join.out->snk.in", "right.out->near.in", "src.out->tap.in"}:
                tally.failed.append(f"a full disk cost {dict(lost)}; every sink was to lose frames and nobody else")
            rig.end()
    finally:
        subprocess.run(["umount", str(mounted)], check=False, capture_output=True)
    return tally


def _fill(path: Path) -> None:
    """Fills the disk to the last byte."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        for block in (65536, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    os.write(fd, bytes(block))
    finally:
        os.close(fd)


def supervisors(folder: Path, seed: int, count: int, size: int = SMALL) -> Tally:
    """kill -9 of `pipe run` at any moment: its children are gone within 2 s, the next run removes its folder."""
    rng = random.Random(seed)
    runtime = Path(tempfile.mkdtemp(prefix="pc-", dir="/tmp"))
    total = Tally(f"supervisors seed {seed}")
    for i in range(count):
        with under_fire("", functools.partial(Rig, folder / f"{i}", size=size, runtime=runtime)) as (rig, tally):
            if i % 3:
                rig.open_to(rng.randrange(10, 500))
                rig.wait(functools.partial(rig.last, "snk"), "a frame")
                if len(rig.folders()) > 1:
                    tally.leaks.append(f"folders of dead runs beside a living one: {rig.folders()}")
                if i % 3 == 2:  # while a process is being restarted
                    os.kill(rng.choice(list(rig.children().values())), signal.SIGKILL)
                    tally.kills["and then the supervisor", "any"] += 1
                time.sleep(rng.uniform(0.0, 0.5))
            else:
                time.sleep(rng.uniform(0.0, 3.0))  # while it starts
            children = list(rig.children().values())
            os.kill(rig.pid, signal.SIGKILL)
            rig.process.wait()
            tally.supervisors += 1
            took = rig.gone(children)
            if took > 2.0:
                tally.failed.append(f"children of a killed supervisor were gone after {took:.2f} s")
        total.add(tally)
    with under_fire("", lambda t: Rig(folder / "last", t, size, runtime=runtime)) as (rig, tally):
        rig.running()
        rig.end()
        tally.leaks += [f"folder of a dead run after a whole one: {name}" for name in rig.folders()]
    total.add(tally)
    for path in sorted(runtime.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    runtime.rmdir()
    return total


def plan(seed: int, quick: bool, kills: int = 50) -> list[tuple[str, str, Callable[[Path], Tally]]]:
    """(group, name, function of a folder), in order. Every scenario has its own seed, which its findings name.

    kills  at each step and kind of node
    """
    out: list[tuple[str, str, Callable[[Path], Tally]]] = []

    def add(group: str, name: str, what: Callable[..., Tally], *args: Any, **kwargs: Any) -> None:
        own = seed + len(out)
        out.append((group, name, lambda folder: what(folder, own, *args, **kwargs)))

    for i in range(1 if quick else 10):
        add("random", f"random-{i}", shots, 8 if quick else 105, live=i % 5 == 4)
    for live, kill in ((False, False),) if quick else ((False, False), (False, True), (True, False), (True, True)):
        add("stops", f"stops{'-live' * live}{'-kill' * kill}", stops, 2 if quick else 15, live=live, kill=kill)
    add("disk", "disk", disk, 1 if quick else 3)
    add("supervisor", "supervisors", supervisors, 2 if quick else 24)
    for node, names in STEPS.items():
        for name in names:
            if not quick or (node, name) in (("right", "sent"), ("join", "received")):
                add("steps", f"{node}-{name}", step, node, name, 3 if quick else kills)
    return out
