"""`pipe batch`: a graph on many items, on this machine or on a cluster."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.cli.run import count


def add(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run a graph once for each item (sequence, recording, folder), several at the same time, each in a process of its own. "
        "Results are those of pipe run of the item alone, in DIR/ITEM; what all items give together is in DIR/_all."
    )
    parser.epilog = (
        "The same command goes on after a stop: items are skipped whose graph, settings, input files (names, sizes, mtimes) and "
        "version are those of an earlier run. Exit codes: 0 all done, 1 an item failed, 2 wrong before the start, 129/130/143 "
        "stopped. docs/scale.md has more."
    )
    parser.add_argument("graph", help="path of a graph file, or the name of a shipped graph")
    parser.add_argument(
        "--items",
        required=True,
        metavar="A,B|auto|'GLOB'",
        help="names; auto: all sequences that the driver finds; files or folders",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NODE.config.KEY=VALUE",
        dest="sets",
        help="override one value of the file; {item} in a value is the item; repeatable",
    )
    parser.add_argument("--engine", choices=["local", "ray"], default="local", help="local (default): processes on this machine")
    parser.add_argument(
        "--address", metavar="HOST:PORT|auto", help="of a Ray cluster; without: one is started on this machine, for this batch"
    )
    parser.add_argument("--workers", type=count, metavar="N", help="items at the same time (default: cores / threads of a node)")
    parser.add_argument("--retries", type=count, default=1, metavar="N", help="tries of an item after a failure (default 1)")
    parser.add_argument("--frames", type=count, metavar="N", help="of each item, end the first source after N frames")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for results: DIR/ITEM, DIR/batch.json")
    parser.add_argument("--overwrite", action="store_true", help="do items again whose graph, settings, input or version changed")
    parser.add_argument("--quiet", action="store_true", help="no progress: errors and the table only")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from pipeline.batch import report
    from pipeline.batch.plan import Options
    from pipeline.batch.run import run as run_batch
    from pipeline.runtime import streams
    from pipeline.watch import say

    options = Options(
        args.graph,
        args.items,
        tuple(args.sets),
        args.out,
        args.engine,
        args.address,
        args.workers,
        args.retries,
        args.frames,
        args.overwrite,
        args.quiet,
    )
    result = run_batch(options, say.warning)
    streams.show(report.lines(result.report, str(args.out)))
    return result.code
