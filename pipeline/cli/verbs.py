"""The verbs of `pipe`: finds the verb, imports only its module, runs it, and prints errors in one line."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys

from pipeline.errors import GraphError, InputError, PipeError

VERBS = {
    "run": "run a graph",
    "replay": "run a graph on a recording",
    "batch": "run a graph on many recordings, here or on a cluster",
    "check": "validate a graph",
    "graph": "draw a graph",
    "ops": "list operators and drivers",
    "top": "watch a running graph: rates, queues, drops, CPU, memory, logs",
    "why": "explain where the time of one frame went",
    "set": "change a live key of a running operator",
    "doctor": "check this machine",
    "new": "start an operator, a driver, a project",
    "bench": "measure hop latency, the engine's cost and flow, scoring, the tracker, the detector, runtimes, the generated world",
    "plan": "predict a graph's speed on a board that is not here",
    "train": "train an operator's model",
    "export": "make an engine of a trained net for another runtime or precision",
    "send": "play recorded packets and pictures to a port, to rehearse a live run",
    "eval": "score results against truth",
    "calibrate": "calibrate a pair of cameras",
    "weights": "import weights of other programs",
}
"""Verb -> its line in `pipe --help`; pipeline/cli/VERB.py has the rest."""


def main(argv: list[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0 done, 1 failed while running, 2 wrong before the start, 130 interrupted.

    The outermost handler: whatever is raised ends in one line.
    """
    words = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that only takes ASCII, a name that is not UTF-8
    try:
        return _main(words)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        # Tracebacks are for whoever asks for them; argparse is not asked, since what failed may be the reading of the words.
        if any(word in ("-v", "--verbose") for word in words):
            traceback = importlib.import_module("traceback")
            traceback.print_exc()
        importlib.import_module("pipeline.watch.say").error(said(error))
        return 2 if isinstance(error, (GraphError, InputError)) else 1


def said(error: Exception) -> str:
    """What the user reads about an error."""
    if isinstance(error, PipeError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}"
    return f"{type(error).__name__}: {error}; pipe -v shows where"


def _main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="pipe",
        description="Run graphs of perception operators as supervised processes that share frames without copying them.",
        epilog="Start with: pipe run demo. Every verb has --help.",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="show tracebacks of errors")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, about in VERBS.items():
        its_parser = subparsers.add_parser(verb, help=about)
        if verb in argv:
            importlib.import_module(f"pipeline.cli.{verb}").add(its_parser)
    args = parser.parse_args(argv)
    try:
        os.getcwd()
    except OSError as error:
        raise InputError(f"the working folder: needs to exist, got: {error.strerror}; cd to another folder") from None
    return int(args.run(args))
