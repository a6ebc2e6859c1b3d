"""The only file that imports zmq: message channels between two processes of one run.

A channel is a PAIR of sockets over a socket file with its own address; a socket refuses a second peer. Any thread may send or
drain: a lock guards the socket, and threads wait on its file descriptor outside the lock.
ZeroMQ signals the descriptor once per burst, and a send may consume the signal. Therefore every thread that has used the socket
drains it into `inbox` before it releases the lock, and then has the inbox handled (outside the lock).

Message of an edge: 16 bytes `kind u8 | pad | edge u16 | seq u32 | writer epoch u32 | reader epoch u32`, then a msgpack body.
"""

from __future__ import annotations

import os
import stat
import struct
import threading
from collections import deque
from pathlib import Path
from typing import Any

import msgpack
import zmq
import zmq.backend

from pipeline.errors import RunError

HEAD = struct.Struct("<BxHIII")

# Messages on the channel of a static edge: a value; "send me all values".
STATIC, HELLO = 1, 2

# Methods of pyzmq's core and plain numbers: pyzmq's enum arithmetic costs more than the calls themselves.
_send, _recv = zmq.backend.Socket.send, zmq.backend.Socket.recv
_get: Any = zmq.backend.Socket.get
_NOBLOCK, _POLLIN, _EVENTS = int(zmq.NOBLOCK), int(zmq.POLLIN), zmq.EVENTS

MAX_MESSAGE = 16 << 20
_MAX_PATH = 107


class Sockets:
    """The zmq context of one process."""

    def __init__(self) -> None:
        self.context = zmq.Context(io_threads=1)
        self.context.set(zmq.MAX_SOCKETS, 4096)

    def channel(self, path: Path, *, bind: bool) -> Channel:
        return Channel(self.context, path, bind=bind)

    def close(self) -> None:
        self.context.destroy(linger=0)


class Channel:
    """One end of a pair. `fd` becomes readable when messages may have arrived: then call `drain()`."""

    def __init__(self, context: zmq.Context[Any], path: Path, *, bind: bool) -> None:
        if len(os.fsencode(path)) > _MAX_PATH:
            raise RunError(
                f"socket {path}: needs a path of at most {_MAX_PATH} characters, got {len(os.fsencode(path))}; "
                "set XDG_RUNTIME_DIR to a shorter folder"
            )
        self.lock = threading.RLock()
        self.path = path
        self._bound = bind
        self.inbox: deque[bytes] = deque()
        try:
            socket = context.socket(zmq.PAIR)
        except zmq.ZMQError as error:
            raise RunError(f"socket {path}: cannot be made: {error}; are open files limited (ulimit -n)?") from None
        # Credits already bound every queue; zmq's high-water mark would only add a second, less exact bound.
        socket.setsockopt(zmq.SNDHWM, 0)
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE)
        socket.setsockopt(zmq.RECONNECT_IVL, 5)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 50)
        try:
            if bind:
                path.unlink(missing_ok=True)
                socket.bind(f"ipc://{path}")
            else:
                socket.connect(f"ipc://{path}")
        except (zmq.ZMQError, OSError) as error:
            socket.close()
            raise RunError(f"socket {path}: cannot {'bind' if bind else 'connect'}: {error}; is the folder writeable?") from None
        self._socket = socket
        self.fd: int = socket.getsockopt(zmq.FD)
        self.closed = False

    def send(self, data: bytes) -> bool:
        """Queue one message; False when the channel is closed or has no peer yet."""
        with self.lock:
            if self.closed:
                return False
            try:
                _send(self._socket, data, _NOBLOCK)
            except zmq.Again:
                return False
            if _get(self._socket, _EVENTS) & _POLLIN:  # the send may have consumed the descriptor's signal
                self.drain()
            return True

    def drain(self) -> None:
        """Move every arrived message to `inbox`."""
        with self.lock:
            while not self.closed and _get(self._socket, _EVENTS) & _POLLIN:
                self.inbox.append(_recv(self._socket, _NOBLOCK))

    def take(self) -> None:
        """`drain()` when the descriptor has just signalled: usually there is exactly one message."""
        with self.lock:
            if not self.closed:
                try:
                    self.inbox.append(_recv(self._socket, _NOBLOCK))
                except zmq.Again:  # the descriptor also signals connections
                    return
                self.drain()

    def close(self) -> None:
        with self.lock:
            if not self.closed:
                self.closed = True
                self._socket.close(linger=0)
                if self._bound:  # zmq does not remove the file of an address that it did not choose
                    self.path.unlink(missing_ok=True)


def head(kind: int, edge: int = 0, seq: int = 0, writer_epoch: int = 0, reader_epoch: int = 0) -> bytes:
    return HEAD.pack(kind, edge, seq, writer_epoch, reader_epoch)


def body_of(data: bytes) -> Any:
    """The msgpack part of a message; its size is bounded by MAX_MESSAGE and by msgpack's own nesting limit."""
    return msgpack.unpackb(memoryview(data)[HEAD.size :], strict_map_key=False, max_ext_len=0)


def runtime_root() -> Path:
    """`$XDG_RUNTIME_DIR/pipe`, `/tmp/pipe-UID` or `/dev/shm/pipe-UID`: the first that can be written; mode 0700.

    Raises RunError if it belongs to another user, or if there is none.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    for root in [*([Path(base, "pipe")] if base else []), *(Path(p, f"pipe-{os.getuid()}") for p in ("/tmp", "/dev/shm"))]:
        try:
            root.mkdir(mode=0o700, exist_ok=True)
        except OSError:
            continue
        if os.access(root, os.W_OK | os.X_OK):
            return _private(root)
    raise RunError(
        f"the run's sockets: need a folder that can be written, got none of XDG_RUNTIME_DIR={base or ''}, /tmp, /dev/shm; "
        "set XDG_RUNTIME_DIR to one"
    )


def _private(root: Path) -> Path:
    info = root.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid():
        raise RunError(
            f"{root}: needs a folder owned by uid {os.getuid()}, got owner {info.st_uid}; remove it or set XDG_RUNTIME_DIR"
        )
    if info.st_mode & 0o077:
        root.chmod(0o700)
    return root
