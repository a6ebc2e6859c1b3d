"""`pipe` and `python -m pipeline`: find the verb, run it, say errors in one line."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import traceback

from pipeline.errors import GraphError, InputError, PipeError

VERBS = ("run", "replay", "check", "graph", "ops", "doctor", "new", "bench", "train", "eval")


def main(argv: list[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0 done, 1 failed while running, 2 wrong before the start, 130 interrupted."""
    try:
        return _main(argv)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _main(argv: list[str] | None) -> int:
    parser = argparse.ArgumentParser(
        prog="pipe",
        description="Run graphs of perception operators as supervised processes that share frames without copying them.",
        epilog="Start with: pipe run demo. Every verb has --help.",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="show tracebacks of errors")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS:
        importlib.import_module(f"pipeline.cli.{verb}").add(subparsers)
    args = parser.parse_args(argv)
    try:
        return int(args.run(args))
    except PipeError as error:
        if args.verbose:
            traceback.print_exc()
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        return 2 if isinstance(error, (GraphError, InputError)) else 1


def cli() -> None:
    """The command `pipe`: `main()` in a process of its own."""
    # Explicit: a shell starts a job with `&` with SIGINT ignored, and Python leaves it so.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done and written; a Ctrl-C now has nothing left to stop
    sys.exit(code)


if __name__ == "__main__":
    cli()
