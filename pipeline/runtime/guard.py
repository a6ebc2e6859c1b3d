"""Ends what the processes of a run have started, also in sessions of their own, however it ends (decisions/016-children.md).

Each process of a run carries a mark: a number in its soft limit RLIMIT_LOCKS, which Linux keeps but has not used since 2.4. Every
child inherits it, through fork, exec, setsid and a cleared environment. `end` kills all processes with the mark of a run, or of
one process of it: the supervisor calls it after each death, and at the end.

The guard is this file as a program of its own, outside of the run's process tree. It calls `end` when the supervisor is gone.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

_LOCKS = 10  # RLIMIT_LOCKS; Python has no name for it
_PROCESS_BITS = 16
_PATIENCE_S = 2.0
"""A killed process is gone within microseconds, unless it waits for a disk or a device."""


def new_run() -> int:
    """The number of a run, in the marks of its processes."""
    return int.from_bytes(os.urandom(5), "big") | 1 << 40


def mark_of(run: int, process: int) -> int:
    return run << _PROCESS_BITS | process


def bear(mark: int) -> None:
    """Mark this process, and all that it starts from now on."""
    with contextlib.suppress(ValueError, OSError):  # somebody has lowered the hard limit
        resource.setrlimit(_LOCKS, (mark, resource.getrlimit(_LOCKS)[1]))


def bearers(run: int, process: int | None = None) -> list[int]:
    """The living processes with a mark of this run, or of this process of it; not the caller."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                mark = resource.prlimit(int(entry), _LOCKS)[0]
            except OSError:
                continue  # another user's, or gone
            if mark >> _PROCESS_BITS == run and (process is None or mark == mark_of(run, process)) and _alive(entry):
                found.append(int(entry))
    return found


def _alive(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def end(run: int, process: int | None = None) -> None:
    """Kill them until none is left: a process may fork while it is being killed."""
    until = time.monotonic() + _PATIENCE_S
    while (pids := bearers(run, process)) and time.monotonic() < until:
        for pid in pids:
            with contextlib.suppress(OSError):  # gone meanwhile
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)
        for pid in pids:
            with contextlib.suppress(ChildProcessError):  # an orphan is ours if we are the first process of a container
                os.waitpid(pid, os.WNOHANG)


class Guard:
    """The supervisor's handle on the guard of its run."""

    def __init__(self, run: int) -> None:
        self._starter = subprocess.Popen(
            [sys.executable, "-I", "-S", os.path.abspath(__file__), str(run), str(os.getpid())],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd="/",
        )  # fmt: skip

    def settle(self) -> None:
        """Called until the guard has left the run's process tree: its starter has exited then."""
        self._starter.poll()

    def close(self) -> None:
        """The run is over: the guard ends."""
        assert self._starter.stdin is not None
        with contextlib.suppress(OSError):  # somebody has killed it
            os.write(self._starter.stdin.fileno(), b"\n")
        self._starter.stdin.close()
        self._starter.wait()


@contextlib.contextmanager
def this_process() -> Iterator[None]:
    """What this process starts inside the block ends with it."""
    run, before = new_run(), resource.getrlimit(_LOCKS)[0]
    guard = Guard(run)
    bear(mark_of(run, 0))
    try:
        yield
    finally:
        bear(before)  # before the guard ends all that have the mark
        end(run)
        guard.close()


def main(run: int, supervisor: int) -> None:
    try:
        supervises = os.pidfd_open(supervisor)
    except OSError:
        supervises = -1
    gone = supervises < 0 or os.getppid() != supervisor
    if os.fork():
        os._exit(0)  # so that the guard is no child of the supervisor
    bear(resource.getrlimit(_LOCKS)[1])  # no mark: this run may be inside a node of another one, whose end must not end the guard
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if not gone:
        select.select([0, supervises], [], [])
    end(run)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
