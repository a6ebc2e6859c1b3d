"""Starts the process of one item, and says how it died. `local.py` and `cluster.py` both do it through this file."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from pipeline.batch.job import LOG, Job, read_record
from pipeline.graph import project
from pipeline.runtime import threads

_CODE = "import sys; sys.path[:] = {path!r}; from pipeline.batch.work import main; main()"
_TAIL = 300  # characters of the log in a reason


class Process:
    """The process of one try; it dies with the thread that has started it. Raises OSError."""

    def __init__(self, job: Job) -> None:
        self.job, self.folder = job, Path(job.folder)
        self.folder.mkdir(parents=True)
        environment = {**os.environ, **job.variables, **threads.environment(job.threads)}
        with (self.folder / LOG).open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _CODE.format(path=project.engine_path()), str(os.getpid()), "--item", job.item],
                stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, cwd=job.cwd, env=environment,
            )  # fmt: skip
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it is dead: `death` says how
            self._process.stdin.write(job.text().encode())
            self._process.stdin.close()
        try:
            self.pidfd = os.pidfd_open(self._process.pid)
        except OSError:
            self.kill()
            self._process.wait()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self) -> None:
        """Stop between two frames."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """What it has started ends with it: see runtime/guard.py."""
        self._process.kill()

    def death(self) -> str:
        """Waits for the end -> the reason if the process left no record, "" else."""
        code = self._process.wait()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
        log = self.folder / LOG
        tail = ""
        with contextlib.suppress(OSError):
            tail = log.read_text(errors="replace").strip()[-_TAIL:].rpartition("\n")[2]
            if not tail:
                log.unlink()
        if read_record(self.folder) is not None:
            return ""
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        hint = " (out of memory?)" if code == -signal.SIGKILL else ""
        return f"{how}{hint}{f': {tail}' if tail else ''}"
