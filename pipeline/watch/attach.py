"""Attach to a running graph: which graphs run, which one RUN means, and questions through its door (`runtime/door.py`)."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.errors import InputError, RunError
from pipeline.flow.transport import runtime_root
from pipeline.outside import lock, open_file, parse_json
from pipeline.runtime.door import NAME
from pipeline.runtime.runfile import RUN_FILE

ANSWER_S = 5.0
MOST_ANSWER = 64 << 20


@dataclass(frozen=True)
class Found:
    """A run. out: its DIR; folder: the one of its sockets while it runs, else None."""

    run: str
    out: Path
    folder: Path | None

    @property
    def door(self) -> Path | None:
        """None: it has ended, or runs inline."""
        path = None if self.folder is None else self.folder / NAME
        return path if path is not None and path.exists() else None


def runs() -> list[Found]:
    """The running graphs of this user, by name."""
    root = runtime_root()
    found = []
    with _gate(root):
        for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink()):
            with contextlib.suppress(OSError):
                if _is_held(folder):
                    found.append(Found(folder.name, Path(os.fsdecode((folder / "out").read_bytes())), folder))
    return found


@contextlib.contextmanager
def _gate(root: Path) -> Iterator[None]:
    """No run makes its folder meanwhile: a lock that is tried here would look to it like that of another run."""
    gate = os.open(root / ".gate", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)
        yield
    finally:
        os.close(gate)


def _is_held(folder: Path) -> bool:
    fd = open_file(folder / "lock", os.O_RDWR)
    try:
        return not lock(fd)
    finally:
        os.close(fd)


def find(text: str | None) -> Found:
    """RUN: an id, the beginning of one, or a folder; None: the only one that runs. Raises InputError in one line."""
    running = runs()
    if text is None:
        if len(running) == 1:
            return running[0]
        names = ", ".join(run.run for run in running)
        raise InputError(f"RUN: needs a name: {len(running)} graphs run: {names}" if running else "RUN: no graph runs here")
    named = [run for run in running if run.run == text] or [run for run in running if run.run.startswith(text)]
    if len(named) == 1:
        return named[0]
    if len(named) > 1:
        raise InputError(f"{text}: needs one run, got the beginning of {', '.join(run.run for run in named)}")
    out = Path(text).resolve()
    out = out.parent if out.name == "logs" and (out / RUN_FILE).is_file() else out
    here = next((run for run in running if run.out == out), None)
    if here is not None:
        return here
    if not out.is_dir():
        names = ", ".join(run.run for run in running) or "none"
        raise InputError(f"{text}: needs a running graph ({names}) or the folder of a run")
    if not (out / "logs" / RUN_FILE).is_file():
        raise InputError(f"{text}: needs the folder of a run (pipe run --out), got one without logs/{RUN_FILE}")
    return Found(out.name, out, None)


class Attached:
    """A connection to a run; a context manager. Raises RunError where the run does not answer within `answer_s`, None: ever."""

    def __init__(self, run: Found, answer_s: float | None = ANSWER_S) -> None:
        self.run = run
        path = run.door
        if path is None:
            why = "it has ended" if run.folder is None else "it runs inline (--place inline), which opens none"
            raise RunError(f"{run.run}: needs the door of a running graph, got none: {why}")
        info = path.lstat()
        if not stat.S_ISSOCK(info.st_mode) or info.st_uid != os.getuid():
            raise RunError(f"{path}: needs a socket of uid {os.getuid()}, got owner {info.st_uid}")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(answer_s)
        self._read = bytearray()
        try:
            self._socket.connect(str(path))
        except OSError as error:
            gone = self._gone(error)
            self.close()
            raise gone from None

    def snapshot(self) -> dict[str, Any]:
        """See `runtime/snapshot.py`."""
        found: dict[str, Any] = self.ask({"ask": "snapshot"})["snapshot"]
        return found

    def log(self, node: str, lines: int = 50) -> list[str]:
        """The last lines of the log of a node's process."""
        return [str(line) for line in self.ask({"ask": "log", "node": node, "lines": lines})["log"]]

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Any request. Raises RunError with the line of the run, if it refuses."""
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            answer = parse_json(self._line())
        except (OSError, ValueError) as error:
            raise self._gone(error) from None
        if not isinstance(answer, dict) or "error" in answer:
            raise RunError(f"{self.run.run}: {answer['error'] if isinstance(answer, dict) else answer}")
        return answer

    def _line(self) -> bytes:
        while b"\n" not in self._read:
            data = self._socket.recv(1 << 20)
            if not data or len(self._read) > MOST_ANSWER:
                raise ConnectionResetError("the connection was closed")
            self._read += data
        line, _, self._read = self._read.partition(b"\n")
        return bytes(line)

    def _gone(self, error: Exception) -> RunError:
        if isinstance(error, TimeoutError):
            return RunError(f"{self.run.run}: no answer for {self._socket.gettimeout():g} s; is its process stopped?")
        return RunError(f"{self.run.run}: needs an answer of the running graph, got: {error}; has it ended?")

    def __enter__(self) -> Attached:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Also from another thread: one that waits for an answer is told that the connection was closed."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
