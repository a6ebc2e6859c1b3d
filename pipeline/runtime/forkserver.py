"""The fork server: it has imported the engine, and makes the processes of a run by fork (decisions/018-fork-server.md).

A program of its own, started by `spawn.py`, which sends one request per process over the socket that is its standard input. It
has one thread, imports no node, opens nothing and keeps nothing, so a fork of it is as good as a new interpreter.

It forks twice. The first child forks the process of the run and exits; the orphan goes to the supervisor, which has made itself
the reaper of orphans for this moment. So the supervisor is the parent of all processes of the run, as if it had started them.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import json
import os
import resource
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from pipeline.graph import project
from pipeline.runtime import prctl, worker
from pipeline.runtime.spawn import MOST_FDS, READY

_REQUEST_BYTES = 1 << 18


def main() -> None:
    prctl.die_with_parent(int(sys.argv[2]))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the supervisor raises its own when it knows the graph
    gc.collect()
    gc.freeze()  # a collection must not write to the pages that all processes share
    with contextlib.suppress(ConnectionError), socket.socket(fileno=os.dup(0)) as asked:
        asked.send(READY)
        while (received := _receive(asked)) is not None:
            request, fds = received
            answer = _fork(request, fds)
            for fd in fds:
                os.close(fd)
            asked.send(b"%d" % answer)
    os._exit(0)


def _receive(asked: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The next request and its descriptors. None: the supervisor has closed the socket."""
    data, fds, _, _ = socket.recv_fds(asked, _REQUEST_BYTES, MOST_FDS)
    if not data:
        return None
    request = json.loads(data)
    while len(fds) < len(request["fds"]):
        more, further, _, _ = socket.recv_fds(asked, 1, MOST_FDS)
        if not more:
            return None
        fds += further
    return request, fds


def _fork(request: dict[str, Any], fds: list[int]) -> int:
    """-> pid of the new process, or -errno"""
    reads, writes = os.pipe()
    try:
        first = os.fork()
        if first == 0:
            _first_child(request, fds, writes)
    except OSError as error:
        os.close(reads)
        return -(error.errno or errno.EAGAIN)
    finally:
        os.close(writes)
    with open(reads, "rb") as pipe:
        answer = pipe.read(32)
    os.waitpid(first, 0)  # now the supervisor is the parent of the second one
    return int(answer or -errno.EAGAIN)


def _first_child(request: dict[str, Any], fds: list[int], writes: int) -> None:
    try:
        mine = os.getpid()
        pid = os.fork()
        if pid == 0:
            _be(request, fds, mine)
        os.write(writes, b"%d" % pid)
    except OSError as error:
        os.write(writes, b"%d" % -(error.errno or errno.EAGAIN))
    finally:
        os._exit(0)


def _be(request: dict[str, Any], fds: list[int], starter: int) -> None:
    """Become the process of the run."""
    code = 1
    try:
        while os.getppid() == starter:
            time.sleep(1e-4)
        os.setsid()
        os.dup2(fds[0], 1)
        os.dup2(fds[0], 2)
        place(fds[1:], request["fds"][1:])
        resource.setrlimit(resource.RLIMIT_NOFILE, request["open_files"])
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        words = [sys.executable, "-m", "pipeline.runtime.worker", *request["argv"]]
        _rename(words, request["name"])
        os.chdir(request["cwd"])
        sys.argv = ["-c", *words[2:]]
        sys.path[:] = request["path"]
        if request["project"] is not None:
            project.use(Path(request["project"]))
            project.enter()
        if "numpy.random" in sys.modules:
            sys.modules["numpy.random"].seed()  # else all processes would draw the same numbers; `random` does it by itself
        code = worker.main(request["argv"])
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def place(fds: list[int], numbers: list[int]) -> None:
    """Give each descriptor the number that it has in the supervisor, and close all others but 0, 1, 2."""
    now = dict(zip(numbers, fds, strict=True))
    for number in numbers:
        if now[number] == number:
            continue
        for other, fd in now.items():
            if fd == number:  # another one of them is there: out of the way
                now[other] = os.dup(fd)
        os.dup2(now[number], number)
        now[number] = number
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd > 2 and fd not in now:
            with contextlib.suppress(OSError):  # the descriptor of the listing itself
                os.close(fd)


def _rename(words: list[str], name: str) -> None:
    """Let `ps` and `top` show what the process is."""
    with open("/proc/self/stat", "rb") as stat:
        fields = stat.read().rpartition(b")")[2].split()
    begin, end = int(fields[45]), int(fields[46])  # arg_start, arg_end; zero where that is a secret
    text = b"\0".join(map(os.fsencode, words)) + b"\0"
    if len(text) <= end - begin:
        ctypes.memmove(begin, text.ljust(end - begin, b"\0"), end - begin)
    prctl.set_name(name)
