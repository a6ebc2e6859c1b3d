"""dora: two sensors and a reader that keeps the newest b; each event is one input. Queues are dora's default."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import dora
import pyarrow

from bench.rivals.dora import run
from bench.rivals.pairing import A_BYTES, A_HZ, B_BYTES, B_HZ, Reader, Task, sense, stamp_of


def sensor(task: Task, name: str) -> None:
    node = dora.Node()
    hz, size = (A_HZ, A_BYTES) if name == "a" else (B_HZ, B_BYTES)
    sent = sense(task, hz, size, lambda data: node.send_output("out", pyarrow.array(data)))
    if name == "a":
        task.sent.write_text(str(sent))


def join(task: Task) -> None:
    node, reader = dora.Node(), Reader(task)
    b_ns: int | None = None
    while (event := next_of(node)) is not None:
        at_ns = stamp_of(event["value"].to_numpy())
        if event["id"] == "b":
            b_ns = at_ns
        elif b_ns is not None:
            reader.take(at_ns, b_ns)


def next_of(node: Any) -> Any:
    """The next input; None when both sensors have ended."""
    while (event := node.next()) is not None and event["type"] != "STOP":
        if event["type"] == "INPUT":
            return event
    return None


def main() -> None:
    role, task = sys.argv[1], Task(**json.loads(sys.argv[2]))
    if role in ("a", "b"):
        sensor(task, role)
    elif role == "join":
        join(task)
    else:
        nodes: list[dict[str, Any]] = [
            {"id": "a", "args": "a", "outputs": ["out"]},
            {"id": "b", "args": "b", "outputs": ["out"]},
            {"id": "join", "args": "join", "inputs": {"a": "a/out", "b": "b/out"}},
        ]
        run("bench.rivals.join_dora", Path(task.folder), sys.argv[2], nodes)


if __name__ == "__main__":
    main()
