"""The process of one item: the graph inline, results in the folder of this try, then item.json.

It is started fresh, by exec (`process.py`), and gets its job on standard input. What its nodes print goes to item.log.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from pipeline.batch.job import Job, write_record
from pipeline.errors import explain
from pipeline.graph.spec import GraphSpec
from pipeline.options import RunOptions
from pipeline.runtime import prctl

KEEP = "keep_journal"


def main() -> None:
    prctl.die_with_parent(int(sys.argv[1]))
    prctl.set_name("pipe-item")
    job = Job.parse(sys.stdin.read())
    record = run(job)
    write_record(Path(job.folder), record)
    sys.exit(0 if record["exit"] == "completed" else 1)


def run(job: Job) -> dict[str, Any]:
    """Contents of item.json."""
    from pipeline import api
    from pipeline.graph.load import load
    from pipeline.watch import say

    began = time.monotonic()
    record: dict[str, Any] = {"item": job.item, "try": job.tried, "host": platform.node(), "pid": os.getpid(), "key": job.key}
    try:
        spec = keep_journals(load(job.graph, job.sets))
        options = RunOptions(Path(job.folder), frames=job.frames, quiet=True, alone=True, raises=False)
        outcome = api.execute(spec, options, spawner=None, overwrite=False, warn=say.warning)
    except Exception as error:
        return record | {"exit": "failed", "errors": [explain(error)], "wall_s": round(time.monotonic() - began, 3)}
    dropped: dict[str, int] = {}
    for edge in outcome.report["edges"].values():
        for reason, n in edge["dropped"].items():
            dropped[reason] = dropped.get(reason, 0) + n
    return record | {
        "exit": outcome.exit,
        "errors": outcome.errors,
        "wall_s": round(time.monotonic() - began, 3),
        "frames": outcome.report["frames"],
        "dropped": dropped,
        "node_errors": {name: node["errors"] for name, node in outcome.report["nodes"].items() if node["errors"]},
        "digest": outcome.report["digest"],
    }


def keep_journals(spec: GraphSpec) -> GraphSpec:
    """The graph whose scoring sinks leave what scores of several items together are made of (merge.py)."""
    nodes = {
        name: dataclasses.replace(node, config=dataclasses.replace(node.config, **{KEEP: True})) if journal(node.cls) else node
        for name, node in spec.nodes.items()
    }
    return dataclasses.replace(spec, nodes=nodes)


def journal(cls: type[Any]) -> str:
    """Name of the journal of a sink that scores, "" of other nodes."""
    name = getattr(cls, "journal_file", "")
    return name if name and KEEP in {f.name for f in dataclasses.fields(cls.Config)} else ""
