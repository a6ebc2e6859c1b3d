"""Bare pyzmq between two processes: what a hop costs without an engine, a schema, a ledger or shared memory."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import zmq


def one_way_us(frames: int, size: int, pause_s: float = 0.0) -> list[float]:
    """One-way times [us] of `size`-byte messages over ipc: half a round trip where both ways carry the message, and for
    large ones the way there, acknowledged by one byte (minus half a small round trip)."""
    with tempfile.TemporaryDirectory(prefix="pz") as folder:
        address = f"ipc://{Path(folder) / 's'}"
        context = zmq.Context()
        socket = context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.bind(address)
        child = subprocess.Popen([sys.executable, __file__, address, "1" if size <= 65536 else "0"])
        try:
            small = _times(socket, b"x" * 8, min(frames, 300), pause_s) if size > 65536 else []
            times = _times(socket, bytearray(size), frames, pause_s)
            socket.send(b"q")
            child.wait(5.0)
        finally:
            child.kill()
            child.wait()
            socket.close()
            context.term()
    if size <= 65536:
        return [t / 2 for t in times]
    back = sorted(small)[len(small) // 2] / 2
    return [t - back for t in times]


def _times(socket: zmq.Socket, data: bytes | bytearray, frames: int, pause_s: float) -> list[float]:
    times = []
    for i in range(frames + 20):
        started = time.monotonic_ns()
        socket.send(data)
        socket.recv()
        if i >= 20:
            times.append((time.monotonic_ns() - started) * 1e-3)
        if pause_s:
            time.sleep(pause_s)
    return times


def _answer(address: str, whole: bool) -> None:
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.connect(address)
    while True:
        data = socket.recv()
        if data == b"q":
            return
        socket.send(data if whole else b"1")


if __name__ == "__main__":
    _answer(sys.argv[1], sys.argv[2] == "1")
