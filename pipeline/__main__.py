"""`pipe` and `python -m pipeline`. Only Python's start imports modules before the working folder is removed from `sys.path`."""

import sys


def main(argv: list[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0 done, 1 failed while running, 2 wrong before the start, 130 interrupted."""
    from pipeline.cli import verbs

    return verbs.main(argv)


def cli() -> None:
    """The command `pipe`: `main()` in a process of its own."""
    import os
    import signal

    from pipeline.runtime import streams

    streams.reserve()
    # A shell starts jobs with `&` with SIGINT ignored, and Python keeps that setting.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # everything is written; Ctrl-C has nothing left to stop
    threading = sys.modules.get("threading")
    if threading is not None and any(not t.daemon for t in threading.enumerate() if t is not threading.main_thread()):
        streams.show(())
        streams.show((), error=True)
        os._exit(code)  # a thread that an operator started inline would keep the process
    sys.exit(code)


def _without_working_folder() -> None:
    """`python -m` puts the working folder first: a user's queue.py would hide Python's."""
    import os

    try:
        here = os.getcwd()
    except OSError:  # deleted
        return
    engine = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    safe = sys.flags.isolated or getattr(sys.flags, "safe_path", False)  # then Python has not put it there
    if not safe and sys.path[0] == here != engine:
        del sys.path[0]


if __name__ == "__main__":
    _without_working_folder()
    cli()
