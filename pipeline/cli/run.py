"""`pipe run`: run a graph."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import GraphError, RunError, explain, printable
from pipeline.flow.faults import Fault, is_step
from pipeline.graph.fault import STEPS

if TYPE_CHECKING:
    from pipeline.graph.spec import GraphSpec
    from pipeline.runtime.spawn import Spawner


LOOPBACK = "127.0.0.1"
INJECT_HELP = (
    "frames of the node's outputs (or of the port; of its inputs, where no output fits) get a fault: cam:blackout, "
    "cam.image:noise=0.2@10s-15s (time since the first frame), scans:drop=0.1@100-200 (frame numbers, TO excluded); "
    "all of them: docs/faults.md"
)

TRACE_HELP = "write every call, with the way of every frame, for ui.perfetto.dev; of a long run the last million events"


def add(parser: argparse.ArgumentParser) -> None:
    parser.description = "Run a graph: every node a process, results under DIR, until the sources end or Ctrl-C."
    parser.epilog = "Exit codes: 0 done, 1 failed while running, 2 wrong before the start, 129/130/143 stopped by a signal."
    parser.add_argument("graph", help="path of a graph file, or the name of a shipped graph (demo, kitti_scans, ...)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NODE.config.KEY=VALUE", dest="sets", help="override one value of the file"
    )
    parser.add_argument(
        "--frames", type=count, metavar="N", help="end the first source after N frames, the others at its last stamp"
    )
    parser.add_argument("--duration", type=_seconds, metavar="S", help="end all sources after S seconds")
    parser.add_argument(
        "--rate",
        type=rate,
        metavar="R|max|step",
        help="replay speed: 1.0 = as recorded, max = no pacing (default offline), step = Enter per frame",
    )
    parser.add_argument("--place", choices=["inline"], help="inline: everything in this process and thread (pdb, tests)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for results and logs (default out/GRAPH-TIME)")
    parser.add_argument("--overwrite", action="store_true", help="replace earlier results of this graph in DIR")
    parser.add_argument("--report", type=Path, metavar="F.json", help="write the report there (it is always at DIR/report.json)")
    parser.add_argument("--trace", type=Path, metavar="F.json", help=TRACE_HELP)
    parser.add_argument(
        "--record",
        type=Path,
        metavar="F.mcap",
        help="write what the sources send into an MCAP file (Foxglove opens it), or F.rrd for Rerun",
    )
    parser.add_argument(
        "--record-ports",
        metavar="WHICH",
        help="sources (default): all their ports; all (default for F.rrd): those of operators, too; or NODE.PORT,NODE.PORT",
    )
    parser.add_argument(
        "--record-images",
        choices=["raw", "png", "jpeg"],
        default="raw",
        help="raw (default, fastest), png (lossless), jpeg (lossy: a replay gives other bytes)",
    )
    parser.add_argument(
        "--metrics",
        type=address,
        metavar="HOST:PORT",
        help="serve metrics for Prometheus; :9100 = 127.0.0.1:9100; 0.0.0.0:9100 offers them to other machines; port 0: any free",
    )
    parser.add_argument(
        "--inject",
        action="append",
        default=[],
        metavar="NODE[.PORT]:FAULT[=LEVEL][@FROM-TO]",
        help=INJECT_HELP
        + "; or NODE:STEP[@N[+]]: the node's process kills itself the N-th time a frame passes STEP, with + in each "
        "of its lives; STEP is one of " + ", ".join(STEPS) + "; repeatable",
    )
    parser.add_argument(
        "--only", metavar="NODE", help="with --frame: call one node on a saved frame, here; a debugger where it raises"
    )
    parser.add_argument("--frame", type=Path, metavar="FILE", help="a frame from DIR/poison")
    parser.add_argument("--verify-frames", action="store_true", help="checksum every frame on both sides")
    parser.add_argument(
        "--view",
        nargs="?",
        const=("page", 0),
        type=view,
        metavar="page[:PORT]|foxglove",
        help="show the run while it lives: page (default), in a browser, at a printed address on this machine's loopback; "
        "foxglove, in Foxglove's app",
    )
    parser.add_argument("--quiet", action="store_true", help="no table, no progress: errors and the summary only")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from pipeline.runtime.spawn import spawner_for

    with spawner_for("inline" if args.only is not None else args.place) as spawner:
        return _run(args, spawner)


def _run(args: argparse.Namespace, spawner: Spawner | None) -> int:
    from pipeline import api
    from pipeline.graph.inject import with_faults
    from pipeline.graph.load import load
    from pipeline.options import Record, RunOptions
    from pipeline.runtime import streams
    from pipeline.watch import say
    from pipeline.watch.summary import summary

    graph = with_faults(load(args.graph, args.sets), [text for text in args.inject if not is_step(text)])
    if (args.only is None) != (args.frame is None):
        raise GraphError("--only and --frame: need each other; e.g. --only tracker --frame out/demo/poison/tracker-world-17.npz")
    if args.only is not None:
        if args.only not in graph.nodes or graph.nodes[args.only].is_source:
            operators = ", ".join(n for n, s in graph.nodes.items() if not s.is_source)
            raise GraphError(f"--only {args.only}: needs an operator of the graph ({operators})")
        return _only(graph, args.only, args.frame)
    steps = tuple(text for text in args.inject if is_step(text))
    for text in steps:
        fault = Fault.parse(text)
        if fault.node not in graph.nodes and not (args.record and fault.node == _recorder()):
            raise GraphError(f"--inject {text}: needs a node of the graph ({', '.join(graph.nodes)}), got {fault.node}")
    out = args.out or api.new_out(graph)
    options = RunOptions(
        out.resolve(),
        args.rate,
        args.frames,
        args.duration,
        args.verify_frames,
        steps,
        args.quiet,
        record=args.record and Record(args.record, args.record_ports, args.record_images, args.overwrite),
        alone=True,
        raises=args.verbose,
        report=args.report,
        metrics=args.metrics,
        trace=args.trace,
        view=args.view and args.view[0],
        view_port=args.view[1] if args.view else 0,
    )
    outcome = api.execute(graph, options, spawner=spawner, overwrite=args.overwrite, warn=say.warning)
    for line in outcome.errors:
        say.error(line)
    recorded = [] if outcome.recorded is None else [f"  {outcome.recorded}"]
    streams.show(map(printable, [*summary(outcome.report, out), *recorded]))
    return outcome.code


def _recorder() -> str:
    """Name of the recording node."""
    from pipeline.recording.taps import RECORDER

    return RECORDER


def _only(graph: GraphSpec, node: str, file: Path) -> int:
    """One operator on one saved frame, in this process; on a terminal the debugger opens where it raises."""
    from pipeline.runtime import poison
    from pipeline.watch import say

    saved = poison.Poison.load(file)
    if saved.node != node:
        raise RunError(f"{file}: needs a frame of node {node}, got one of {saved.node}")
    for line in poison.changes(saved, graph.nodes[node].config):
        say.warning(line)
    out = file.parent / f"{file.stem}-out"
    try:
        print(poison.debug(graph, saved, out, interactive=sys.stdin.isatty() and sys.stdout.isatty()))
    except Exception as error:
        raise RunError(explain(error)) from error  # the words of the run in which the frame failed
    return 0


def count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"needs 0 or more, got {text}")
    return value


def view(text: str) -> tuple[str, int]:
    """page, page:PORT or foxglove -> who, port (0: any free one)."""
    who, colon, port = text.partition(":")
    if text != "foxglove" and (who != "page" or (colon and not (port.isdecimal() and 0 < int(port) < 1 << 16))):
        raise argparse.ArgumentTypeError(f"needs page, page:PORT or foxglove, got {text}; the graph comes before --view")
    return who, int(port or 0)


def _seconds(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"needs more than 0 seconds, got {text}")
    return value


def address(text: str) -> tuple[str, int]:
    """HOST:PORT, [IPv6]:PORT or :PORT, which is of this machine only."""
    host, colon, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or (":" in host) != text.startswith("[") or not re.fullmatch("[0-9]{1,5}", port) or int(port) >= 1 << 16:
        raise argparse.ArgumentTypeError(f"needs HOST:PORT, PORT 0 .. 65535, e.g. :9100, got {text}")
    return host or LOOPBACK, int(port)


def rate(text: str) -> float | str | None:
    if text in ("max", "step"):
        return text
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise argparse.ArgumentTypeError(f"needs a number above 0, max or step, got {text}")
    return value
