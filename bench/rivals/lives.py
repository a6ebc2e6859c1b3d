"""Start, stop and kill -9 of a small graph: one producer at 30 Hz, 6.2 MB, one consumer, of Pipe and of each rival.

cold start   command to first arrival, imports included
steady       CPU time of all processes per frame, memory (PSS)
stop         Ctrl-C, and again after 5 s, until no process is left; what is left in /dev/shm and /tmp
kill -9      of the producer, of the consumer: time until a frame that was sent later arrives. Who has no supervisor gets the
             killed end started again by hand after HAND_S. What is left after kill -9 and Ctrl-C, without a restart by hand
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from bench import rivals
from bench.rivals import sessions
from bench.rivals.candidate import Candidate, flowing

AGAIN_S, HAND_S = 15.0, 2.0


def measure(who: str, steady_s: float) -> dict[str, Any]:
    """The row of a candidate. Raises rivals.Failed if no frame arrives."""
    row: dict[str, Any] = {}
    with flowing(who) as run:
        row["cold_start_ms"] = (run.first_ns() - run.began_ns) * 1e-6
        frames, (cpu_us, _) = run.count(), sessions.use(run.sids)
        time.sleep(steady_s)
        after_us, row["pss_mb"] = sessions.use(run.sids)
        row["cpu_us"] = (after_us - cpu_us) / max(1, run.count() - frames)
        row["stop_ms"] = run.stop()
        row["stop_left"] = run.left()
    for role, end in (("send", "producer"), ("take", "consumer")):
        try:
            row[end] = _after_kill(who, role)
        except rivals.Failed as error:  # the rest of the row holds
            row[end] = {"again_ms": None, "by": f"not measured: {error}", "left": {"entries": 0, "mb": 0.0}}
    return row


def _after_kill(who: str, role: str) -> dict[str, Any]:
    with flowing(who) as run:
        found = killed(run, role)
        run.stop()
        found["left"] = run.left()
    if run.by_hand:  # a restart may clean up: without it
        with flowing(who) as run:
            os.kill(run.pid(role), signal.SIGKILL)
            run.stop()
            found["left"] = run.left()
    return found


def killed(run: Candidate, role: str) -> dict[str, Any]:
    """Kills one end. again_ms: until a frame sent after that arrives, from the kill or, started by hand, from that start."""
    pid, killed_ns = run.pid(role), time.monotonic_ns()
    os.kill(pid, signal.SIGKILL)
    if (took := sessions.wait_for(lambda: run.flows_since(killed_ns), HAND_S if run.by_hand else AGAIN_S)) is not None:
        return {"again_ms": took * 1e3, "by": "itself"}
    never = {"again_ms": None, "by": f"never ({AGAIN_S:g} s)"}
    if not run.by_hand:
        return never
    again_ns = time.monotonic_ns()
    run.start(role)
    took = sessions.wait_for(lambda: run.flows_since(again_ns), AGAIN_S)
    return never if took is None else {"again_ms": took * 1e3, "by": "hand"}
