"""`pipe replay`: run a graph on a recording."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli.run import INJECT_HELP, TRACE_HELP, count, rate
from pipeline.errors import printable

if TYPE_CHECKING:
    from pipeline.runtime.spawn import Spawner


def add(parser: argparse.ArgumentParser) -> None:
    parser.description = "Run a graph with a recording (pipe run --record) in place of its sources: same frames, same bytes."
    parser.epilog = "Exit codes: 0 done, 1 failed or runs that differ, 2 wrong before the start, 129/130/143 stopped."
    parser.add_argument("recording", type=Path, metavar="F.mcap")
    parser.add_argument("graph", help="path of a graph file, or the name of a shipped graph")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NODE.config.KEY=VALUE", dest="sets", help="override one value of the file"
    )
    parser.add_argument(
        "--verify", type=count, metavar="N", help="N runs under random load, rates and placements; name what differs"
    )
    parser.add_argument("--seed", type=count, default=0, help="with --verify: of the random choices (default 0)")
    parser.add_argument(
        "--frames", type=count, metavar="N", help="end the first source after N frames, the others at its last stamp"
    )
    parser.add_argument("--rate", type=rate, metavar="R|max|step", help="speed: 1.0 = as recorded, max = no pacing (default)")
    parser.add_argument("--place", choices=["inline"], help="inline: everything in this process and thread")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for results and logs (default out/GRAPH-TIME)")
    parser.add_argument("--overwrite", action="store_true", help="replace earlier results of this graph in DIR")
    parser.add_argument("--report", type=Path, metavar="F.json", help="write the report there (it is always at DIR/report.json)")
    parser.add_argument("--trace", type=Path, metavar="F.json", help=TRACE_HELP)
    parser.add_argument(
        "--inject", action="append", default=[], metavar="NODE[.PORT]:FAULT[=LEVEL][@FROM-TO]", help=INJECT_HELP + "; repeatable"
    )
    parser.add_argument("--verify-frames", action="store_true", help="checksum every frame on both sides")
    parser.add_argument("--quiet", action="store_true", help="no table, no progress: errors and the summary only")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from pipeline.runtime.spawn import spawner_for

    with spawner_for("inline" if args.verify else args.place) as spawner:
        return _run(args, spawner)


def _run(args: argparse.Namespace, spawner: Spawner | None) -> int:
    from pipeline import api, verify
    from pipeline.graph.inject import with_faults
    from pipeline.options import RunOptions
    from pipeline.recording import playback
    from pipeline.runtime import streams
    from pipeline.watch import say
    from pipeline.watch.summary import summary

    with playback.Recording(args.recording) as recording:
        graph = with_faults(playback.load(recording, args.graph, args.sets), args.inject)
        for line in playback.remarks(recording):
            say.warning(line)
        out = (args.out or api.new_out(graph)).resolve()
        options = RunOptions(
            out,
            args.rate,
            args.frames,
            verify=args.verify_frames,
            quiet=args.quiet,
            alone=True,
            raises=args.verbose,
            report=args.report,
            trace=args.trace,
        )
        if args.verify is not None:
            whole = recording.digests if args.frames is None else {}
            return verify.verify(graph, options, args.verify, args.seed, args.overwrite, whole)
        outcome = api.execute(graph, options, spawner=spawner, overwrite=args.overwrite, warn=say.warning)
        for line in outcome.errors:
            say.error(line)
        comparison = playback.compared(recording, outcome.report) if args.frames is None else []
        streams.show(map(printable, [*summary(outcome.report, out), *comparison]))
        return outcome.code
