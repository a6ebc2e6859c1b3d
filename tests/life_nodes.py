"""Operators and sources that misbehave as processes: they start children, exit, fork, block. Named as `life_nodes:Class`."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.errors import InputError
from pipeline.frame import Reading
from pipeline.nodes.counts import COUNT, stamp_ns
from pipeline.operator import Operator, Source

SLEEP = ["sleep", "600"]


class Starts(Operator):
    """Starts a child in every way that hides it, and writes each pid as a file DIR/<node>/pids/WAY-PID."""

    inputs, outputs = {"data": COUNT}, {"out": COUNT}

    def open(self) -> None:
        folder = self.out_dir / "pids"
        folder.mkdir(parents=True, exist_ok=True)
        for way, pid in {
            "plain": subprocess.Popen(SLEEP).pid,
            "session": subprocess.Popen(SLEEP, start_new_session=True).pid,
            "cleared": subprocess.Popen(SLEEP, start_new_session=True, env={}, cwd="/").pid,
            "forked": _fork(lambda: time.sleep(600)),
        }.items():
            (folder / f"{way}-{pid}").touch()
        os.system(f"sleep 600 & touch {folder}/shell-$!")
        _fork(lambda: (os.setsid(), _fork(lambda: (folder / f"daemon-{os.getpid()}").touch() or os.execvp("sleep", SLEEP))))

    def process(self, data: np.ndarray) -> np.ndarray:
        return data.copy()


def _fork(call: Any) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            call()
        finally:
            os._exit(0)
    return pid


class Quits(Operator):
    """Leaves a call by an exception that is no `Exception`, or by a text that is hard to show."""

    @dataclass(frozen=True)
    class Config:
        where: Literal["open", "process", "close"] = "process"
        how: str = "exit0"
        at: int = 2

    inputs, outputs = {"data": COUNT}, {"out": COUNT}

    def open(self) -> None:
        self._leave("open")

    def process(self, data: np.ndarray) -> np.ndarray:
        if self.header.frame_id == self.config.at:
            self._leave("process")
        return data.copy()

    def close(self) -> None:
        self._leave("close")

    def _leave(self, where: str) -> None:
        if where == self.config.where:
            leave(self.config.how)


def leave(how: str) -> None:
    if how == "exit0":
        sys.exit(0)
    if how == "exit3":
        sys.exit(3)
    if how == "generator":
        raise GeneratorExit
    if how == "own":
        raise _Own
    raise ValueError(TEXTS[how])


class _Own(BaseException):
    def __str__(self) -> str:
        raise RuntimeError("no text")


TEXTS = {
    "surrogate": "name \udcff.bin",
    "control": "nul \0 bell \a red \x1b[31m end",
    "long": "x" * 10_000_000,
    "lines": "first\nsecond\r\nthird\u2028fourth\u202efifth",
}


class QuitsReading(Source):
    """Like `Quits`, in read()."""

    @dataclass(frozen=True)
    class Config:
        how: str = "exit0"
        at: int = 2
        frames: int = 5

    outputs = {"out": COUNT}

    def open(self, start: int = 0) -> None:
        self.index = start

    def read(self) -> Reading | None:
        if self.index == self.config.frames:
            return None
        index, self.index = self.index, self.index + 1
        if index == self.config.at:
            leave(self.config.how)
        return number(index)


def number(index: int, **more: Any) -> Reading:
    return Reading({"out": np.array([index], np.int64)}, f"{index:06d}", more.pop("stamp_ns", stamp_ns(index, None)), **more)


class Odd(QuitsReading):
    """Returns one reading with a field that no header can hold."""

    @dataclass(frozen=True)
    class Config(QuitsReading.Config):
        field: str = "stamp_ns"

    ODD = {
        "late": lambda: number(2, stamp_ns=2**63 - 2),
        "early": lambda: number(2, stamp_ns=-(2**62)),
        "float": lambda: number(2, stamp_ns=1.5e9),
        "text": lambda: number(2, stamp_ns="1"),
        "recv": lambda: number(2, recv_ns=2**70),
        "negative_id": lambda: number(2, frame_id=-1),
        "large_id": lambda: number(2, frame_id=2**48),
        "item": lambda: Reading({}, 7, 10**9),
        "surrogate": lambda: Reading({}, "\udc80", 10**9),
        "values": lambda: Reading([1], "2", 10**9),
        "meta": lambda: number(2, meta={"out": {"array": np.zeros(3)}}),
        "large_meta": lambda: number(2, meta={"out": {"text": "x" * (17 << 20)}}),
        "tuple": lambda: (1, 2),
        "numpy": lambda: number(2, stamp_ns=np.int64(stamp_ns(2, None)), recv_ns=np.uint64(5)),
    }

    def read(self) -> Reading | None:
        reading = super().read()
        return self.ODD[self.config.field]() if reading is not None and self.index == 3 else reading


class Gone(Source):
    """A sensor that is not there: each read() raises at once, for ever."""

    outputs = {"out": COUNT}

    def read(self) -> Reading | None:
        raise InputError("no such device")


class Blocks(Source):
    """Three readings, then read() does not return. gil: nor does any other thread of the process run."""

    @dataclass(frozen=True)
    class Config:
        gil: bool = False

    outputs = {"out": COUNT}

    def open(self, start: int = 0) -> None:
        self.index = start

    def read(self) -> Reading | None:
        if self.index >= 3:
            (ctypes.PyDLL(None) if self.config.gil else ctypes.CDLL(None)).sleep(600)
            time.sleep(600)
        self.index += 1
        return number(self.index - 1)


class Closes(Operator):
    """close() takes its time and then writes a file."""

    @dataclass(frozen=True)
    class Config:
        s: float = 0.0

    inputs = {"data": COUNT}

    def open(self) -> None:
        self.out_dir.mkdir(parents=True, exist_ok=True)
        self.file = (self.out_dir / "frames.txt").open("a", buffering=1)

    def process(self, data: np.ndarray) -> None:
        self.file.write(f"{self.header.source} {self.header.frame_id} 0 -\n")

    def close(self) -> None:
        time.sleep(self.config.s)
        (self.out_dir / "closed").touch()
        self.file.close()


class Pools(Operator):
    """Squares each number in processes of its own."""

    @dataclass(frozen=True)
    class Config:
        way: Literal["pool", "terminate", "fork_exit", "fork_return"] = "pool"

    inputs, outputs = {"data": COUNT}, {"out": COUNT}

    def process(self, data: np.ndarray) -> np.ndarray:
        fork = multiprocessing.get_context("fork")
        if self.config.way == "pool":
            with fork.Pool(2) as pool:
                return np.array(pool.map(_square, [int(data[0])]), np.int64)
        if self.config.way == "terminate":
            process = fork.Process(target=time.sleep, args=(600,))
            process.start()
            process.terminate()
            process.join()
            return np.array([process.exitcode], np.int64)
        if os.fork() == 0:
            if self.config.way == "fork_exit":
                sys.exit(0)
            return data.copy()  # two processes return from this call
        return data.copy()


def _square(x: int) -> int:
    return x * x


class Removes(Operator):
    """Removes a folder at frame 2: OUT or the folders of runs in XDG_RUNTIME_DIR; then it dies, once, if told."""

    @dataclass(frozen=True)
    class Config:
        what: Literal["out", "contents", "run"] = "out"
        dies: bool = False

    inputs, outputs = {"data": COUNT}, {"out": COUNT}

    def process(self, data: np.ndarray) -> np.ndarray:
        if self.header.frame_id == 2 and self.resume is None:
            import shutil

            runs = Path(os.environ["XDG_RUNTIME_DIR"]) / "pipe"
            out = self.out_dir.parent
            for folder in {"out": [out], "contents": list(out.iterdir()), "run": [p for p in runs.iterdir() if p.is_dir()]}[
                self.config.what
            ]:
                if folder.is_dir():
                    shutil.rmtree(folder)
                else:
                    folder.unlink()
            if self.config.dies:
                os._exit(7)
        return data.copy()


class Junk(Operator):
    """Sends bytes over the control socket of its process that are no message, or the wrong one."""

    @dataclass(frozen=True)
    class Config:
        hex: str = ""

    inputs, outputs = {"data": COUNT}, {"out": COUNT}

    def process(self, data: np.ndarray) -> np.ndarray:
        if self.header.frame_id == 2:
            (thread,) = (t for t in threading.enumerate() if t.name == "io")
            thread._target.__self__.say(bytes.fromhex(self.config.hex))
        return data.copy()


class SetBack(Source):
    """A live sensor whose machine's clock is set back by an hour after the fifth reading."""

    outputs = {"out": COUNT}
    live = True

    def open(self, start: int = 0) -> None:
        self.index = start

    def read(self) -> Reading | None:
        if self.index == 20:
            return None
        if self.index == 5:
            from pipeline.flow import clock

            real = time.time_ns
            time.time_ns = clock.time_ns = lambda: real() - 3600 * 10**9
        self.index += 1
        time.sleep(0.01)
        return number(self.index - 1, stamp_ns=time.time_ns())


class Talks(Operator):
    """Prints a lot, and its status has control characters."""

    @dataclass(frozen=True)
    class Config:
        mb: int = 0

    inputs = {"data": COUNT}

    def process(self, data: np.ndarray) -> None:
        self.status("red \x1b[31m, half \udc80")
        for _ in range(self.config.mb):
            sys.stdout.write(("y" * 99 + "\n") * 10_000)


class Thread(Operator):
    """A thread of its own never ends, and is no daemon."""

    inputs, outputs = {"data": COUNT}, {"out": COUNT}

    def open(self) -> None:
        threading.Thread(target=time.sleep, args=(600,)).start()

    def process(self, data: np.ndarray) -> np.ndarray:
        return data.copy()


class HardExit(Operator):
    """Its process ends at frame 5, in its first life, as if all were well."""

    inputs, outputs = {"data": COUNT}, {"out": COUNT}

    def process(self, data: np.ndarray) -> np.ndarray:
        if self.header.frame_id == 5 and self.resume is None:
            os._exit(0)
        return data.copy()
