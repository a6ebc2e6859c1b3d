"""Starts the processes of a run, through fork servers: one for each number of threads, which libraries read when they load."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from pipeline.graph import project
from pipeline.runtime import prctl, threads

_PATIENCE_S = 60.0
"""A machine under load takes seconds for the imports of a fork server. The fork itself takes milliseconds."""
_MAIN = "pipeline.runtime.forkserver"
MOST_FDS = 250
"""Descriptors in one message; Linux takes 253."""
READY = b"ready"
_ROOM = 4096
"""Length of an argument of the fork server that is there to be overwritten by the command lines of its forks."""


@dataclass(frozen=True)
class Command:
    """argv: of `worker.main`; name: for `ps`; path, root: `project.worker_path`."""

    argv: list[str]
    name: str
    path: list[str]
    root: Path | None


class Process:
    """A process of the run. It is a child of this process, although a fork server has made it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def wait(self) -> tuple[int, float]:
        """-> exit code (< 0: a signal), CPU time of it and of its children [s]"""
        try:
            _, status, used = os.wait4(self.pid, 0)
        except ChildProcessError:
            return 0, 0.0  # the program ignores SIGCHLD: the kernel has forgotten it
        return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime


class Spawner:
    """A context manager: the fork servers end with it, the processes do not."""

    def __init__(self) -> None:
        self._servers: dict[int, _Server] = {}

    def __enter__(self) -> Spawner:
        self.warm_up(1)  # most nodes have one thread
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for server in self._servers.values():
            server.close()
        self._servers.clear()

    def warm_up(self, num_threads: int) -> None:
        """Start a fork server, which imports the engine while this process goes on."""
        if num_threads not in self._servers:
            with contextlib.suppress(OSError):  # `spawn` tries again, and says why
                self._servers[num_threads] = _Server(num_threads)

    def spawn(self, num_threads: int, command: Command, log: int, fds: Sequence[int]) -> Process:
        """Start a process that writes to the descriptor `log` and inherits `fds` under the same numbers.

        Raises OSError. Exceptions of the program's signal handlers pass through; the process does not start then.
        """
        for _ in range(2):
            server = self._servers.get(num_threads)
            if server is None:
                server = self._servers[num_threads] = _Server(num_threads)
            try:
                return Process(server.ask(command, [log, *fds]))
            except EOFError:  # somebody has killed it
                self._drop(num_threads)
            except BaseException as error:
                if not isinstance(error, OSError) or error.errno is None:  # of a signal's handler: an answer may be on its way
                    self._drop(num_threads)
                raise
        raise OSError(errno.ECHILD, "the fork server ends")

    def _drop(self, num_threads: int) -> None:
        self._servers.pop(num_threads).close()


class _Server:
    """The supervisor's end of one fork server."""

    def __init__(self, num_threads: int) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ready = False
        code = f"import sys; sys.path[:] = {project.engine_path()!r}; from {_MAIN} import main; main()"
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code, "pipeline.runtime.forkserver", str(os.getpid()), " " * _ROOM],
                stdin=theirs.fileno(), stdout=subprocess.DEVNULL, start_new_session=True,
                env={**os.environ, **threads.environment(num_threads), "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
        except OSError:
            self._socket.close()
            raise
        finally:
            theirs.close()

    def ask(self, command: Command, fds: list[int]) -> int:
        """fds: the log, and what the process inherits -> pid

        Raises OSError where there can be no process, EOFError where there is no server.
        """
        request = json.dumps(
            {
                "argv": command.argv,
                "name": command.name,
                "path": command.path,
                "project": None if command.root is None else str(command.root),
                "cwd": os.getcwd(),
                "open_files": resource.getrlimit(resource.RLIMIT_NOFILE),
                "fds": fds,
            }
        ).encode()
        if not self._ready and not select.select([self._socket], [], [], _PATIENCE_S)[0]:
            raise OSError(errno.ETIMEDOUT, f"the fork server is not ready after {_PATIENCE_S:g} s")
        with prctl.reaper_of_orphans():
            try:
                if not self._ready:
                    self._receive()
                    self._ready = True
                for at in range(0, len(fds), MOST_FDS):
                    socket.send_fds(self._socket, [request if at == 0 else b"+"], fds[at : at + MOST_FDS])
                answer = int(self._receive())
            except (BrokenPipeError, ConnectionResetError):
                raise EOFError from None
        if answer < 0:
            raise OSError(-answer, os.strerror(-answer))
        return answer

    def _receive(self) -> bytes:
        answer = self._socket.recv(32)
        if not answer:
            raise EOFError
        return answer

    def close(self) -> None:
        self._process.kill()  # it holds nothing, and may be in the middle of its imports
        self._process.wait()
        self._socket.setblocking(False)
        with contextlib.suppress(OSError, EOFError):
            while True:
                self._end_unknown(self._receive())
        self._socket.close()

    @staticmethod
    def _end_unknown(answer: bytes) -> None:
        """An answer that nobody has read may be the pid of a process."""
        if answer.isdigit():
            pid = int(answer)
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def spawner_for(place: str | None) -> contextlib.AbstractContextManager[Spawner | None]:
    """Of a run at this `--place`: None inline. Enter it first: the fork server imports the engine meanwhile."""
    return contextlib.nullcontext() if place == "inline" else Spawner()
