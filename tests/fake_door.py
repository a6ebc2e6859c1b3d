"""A run for those who attach, without processes: a locked folder with a door, at which hand-made snapshots are given out."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from snapshots import snapshot

from pipeline.flow.transport import runtime_root


class FakeRun:
    """answers: may be changed at any time. Counts its snapshots, each two frames more, half a second later."""

    def __init__(self, out: Path, name: str = "g-7-00000001") -> None:
        self.name, self.out = name, out
        self.asked = 0
        self.silent = threading.Event()  # set: no answers, as of a stopped process
        self.change: Callable[[dict[str, Any]], object] = lambda made: None
        out.mkdir(parents=True, exist_ok=True)
        self.folder = runtime_root() / name
        self.folder.mkdir(mode=0o700)
        (self.folder / "out").write_bytes(os.fsencode(out))
        self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self.folder / "door"))
        self._socket.listen(16)
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._connections.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), connection, connection.makefile("rb") as lines:
            for line in lines:
                while self.silent.is_set():
                    threading.Event().wait(0.01)
                connection.sendall(json.dumps(self._answer(json.loads(line))).encode() + b"\n")

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["ask"] == "log":
            return {"log": [f"{request['node']} line {i}" for i in range(request["lines"])]}
        self.asked += 1
        made = snapshot(10.0 + self.asked * 0.5, 100 + 2 * self.asked, run=self.name)
        self.change(made)
        return {"snapshot": made}

    def cut(self) -> None:
        """Close all connections, as after a client that was too slow."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def end(self, exit_: str | None) -> None:
        """With a report, or None: killed, the folder stays. May be called again."""
        if self._lock < 0:
            return
        if exit_ is not None:
            report = {"run": self.name, "exit": exit_, "frames": 7, "wall_s": 3.5}
            (self.out / "report.json").write_text(json.dumps(report))
        self.silent.clear()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        os.close(self._lock)  # before the connections: who is cut off looks whether the run still holds its lock
        self._lock = -1
        if exit_ is not None:
            shutil.rmtree(self.folder)
        self.cut()
        for thread in self._threads:
            thread.join(2.0)

    def __enter__(self) -> FakeRun:
        return self

    def __exit__(self, *raised: object) -> None:
        self.end("stopped")
        shutil.rmtree(self.folder, ignore_errors=True)
