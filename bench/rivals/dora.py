"""dora-rs: two nodes of a dataflow and its daemon; Arrow arrays, which dora copies into shared memory if they are large."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dora
import numpy as np
import pyarrow
import yaml

from bench.rivals import life
from bench.rivals.ends import Task, consume, produce


class End:
    def __init__(self) -> None:
        self.node = dora.Node()

    def next(self) -> Any:
        while (event := self.node.next())["type"] != "INPUT":
            continue
        return event["value"]

    def close(self) -> None:
        """Nothing to do: the dataflow ends with its nodes."""


class Producer(End):
    def __init__(self, task: Task) -> None:
        super().__init__()
        self.data = np.zeros(task.size, np.uint8)

    def publish(self, fill: Callable[[Any], None]) -> None:
        fill(self.data)
        self.node.send_output("frames", pyarrow.array(self.data))

    def wait(self) -> None:
        self.next()


class Consumer(End):
    def take(self) -> Any:
        return self.next().to_numpy()

    def answer(self) -> None:
        self.node.send_output("back", pyarrow.array([1], pyarrow.uint8()))


def main() -> None:
    """`both` and `lives` run the dataflow; dora starts this file again for each node."""
    role, task = sys.argv[1], Task(**json.loads(sys.argv[2]))
    if role == "produce":
        produce(task, Producer(task))
    elif role == "consume":
        consume(task, Consumer())
    elif role == "send":
        life.send(task, Producer(task))
    elif role == "take":
        life.take(task, Consumer())
    else:
        makes, takes = ("send", "take") if role == "lives" else ("produce", "consume")
        nodes = [
            {"id": "producer", "args": makes, "outputs": ["frames"], "inputs": {"back": "consumer/back"}},
            {"id": "consumer", "args": takes, "outputs": ["back"], "inputs": {"frames": "producer/frames"}},
        ]
        run("bench.rivals.dora", Path(task.folder), sys.argv[2], nodes)


def run(module: str, folder: Path, task: str, nodes: list[dict[str, Any]]) -> None:
    """Runs a dataflow whose nodes are `main` of a module, called with the role in `args` and the task."""
    root = str(Path(__file__).resolve().parents[2])
    os.environ["PYTHONPATH"] = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    script = folder / "node.py"  # dora splits `args` at blanks, whatever the quotes
    script.write_text(
        f"import importlib\nimport sys\nsys.argv = ['dora', sys.argv[1], {task!r}]\nimportlib.import_module({module!r}).main()\n"
    )
    node = {"path": str(script), "env": {"PYTHONPATH": os.environ["PYTHONPATH"]}}
    flow = folder / "flow.yml"
    flow.write_text(yaml.safe_dump({"nodes": [{**node, **one} for one in nodes]}))
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    os.chdir(folder)
    dora.run(str(flow))


if __name__ == "__main__":
    main()
