"""`pipe set RUN NODE.key=V`: changes a live key of a running operator."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pipeline.errors import GraphError, RunError, printable

if TYPE_CHECKING:
    from pipeline.watch.attach import Attached

LOOK_S, SAY_S, WAIT_S = 0.05, 2.0, 60.0
"""Between two questions whether the value holds; when the user is told what it waits for; how long the command waits at most."""


def add(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Change a live key of an operator while its graph runs (`pipe ops NAME` marks them). The value is checked as in the file "
        "and holds from the operator's next frame on; the line that is printed names it. The report lists what was set."
    )
    parser.epilog = "Exit codes: 0 the value holds, 1 it does not (yet), 2 wrong run, node, key or value."
    parser.add_argument("target", metavar="RUN", help="run id, its unique beginning, or the --out folder of a running graph")
    parser.add_argument("change", metavar="NODE.key=V", help="tracker2d.byte.birth=0.6; V is YAML, as after --set")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from pipeline.graph import yamlfile
    from pipeline.runtime.live_config import said
    from pipeline.watch import attach

    target, equals, text = args.change.partition("=")
    if not equals:
        raise GraphError(f"pipe set: {args.change}: needs NODE.key=V, got no =")
    value = yamlfile.read(text, f"pipe set: {args.change}")[0]
    with attach.Attached(attach.find(args.target)) as run:
        node, key = split(target.strip(), run.snapshot()["nodes"])
        outcome = _wait(run, run.ask({"ask": "set", "node": node, "key": key, "value": value}))
    if "refused" in outcome:
        raise GraphError(outcome["refused"])
    if "set" not in outcome:
        raise RunError(outcome["failed"])
    print(printable(said(outcome["set"])))
    return 0


def split(target: str, nodes: Iterable[str]) -> tuple[str, str]:
    """`front.cam.min_score` -> front.cam, min_score: nodes of included graphs have dots in their names. Raises GraphError."""
    from pipeline.settings import suggest

    nodes = list(nodes)
    for node in sorted(nodes, key=len, reverse=True):
        if target.startswith(f"{node}."):
            return node, target[len(node) + 1 :].removeprefix("config.")
    name, dot, _ = target.partition(".")
    if name in nodes or not dot:
        raise GraphError(f"pipe set: {target}: needs NODE.key=V, got no key")
    raise GraphError(f"pipe set: {name}: no such node{suggest(name, nodes)}")


def _wait(run: Attached, outcome: dict[str, Any]) -> dict[str, Any]:
    """The outcome of a change that waits for a frame. Raises RunError if none comes."""
    began, told = time.monotonic(), False
    number = outcome.get("number")
    while "waits" in outcome:
        waited_s = time.monotonic() - began
        if waited_s > WAIT_S:
            raise RunError(f"pipe set: {outcome['waits']}, none came in {WAIT_S:g} s; the value will hold from it on")
        if waited_s > SAY_S and not told:
            told = True
            print(printable(f"pipe set: {outcome['waits']}"), file=sys.stderr)
        time.sleep(LOOK_S)
        outcome = run.ask({"ask": "was_set", "number": number})
    return outcome
