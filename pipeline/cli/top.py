"""`pipe top`: look at a running graph."""

from __future__ import annotations

import argparse


def add(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Attach to a running graph: rate, queue, age and drops of every edge; state, rate, p50 and p99, CPU, memory and restarts "
        "of every node, over the last 5 seconds. The run goes on as before. Without a terminal it prints a line every 2 seconds."
    )
    parser.epilog = "Keys: s, e sort the nodes, the edges; up, down, Enter show the log of a node; p pause; q quit."
    parser.add_argument(
        "run_id", nargs="?", metavar="RUN", help="a run's id, its beginning, or DIR; default: the only one that runs"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--once", action="store_true", help="print the tables of one second, and end")
    form.add_argument("--json", action="store_true", help="print one snapshot as JSON, and end (pipeline/runtime/snapshot.py)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import json

    from pipeline.watch import top
    from pipeline.watch.attach import find

    found = find(args.run_id)
    if args.json:
        print(json.dumps(top.snapshot(found)))
    elif args.once:
        print("\n".join(top.once(found)))
    else:
        return top.follow(found)
    return 0
