"""The file of `--record` (that a link leads to): checked before the run, and locked while it lives."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import TracebackType

from pipeline.errors import GraphError
from pipeline.options import Record
from pipeline.outside import lock, open_file
from pipeline.recording import rerun
from pipeline.recording.contents import MAGIC, library


class Target:
    """A context manager. Raises GraphError for a file that cannot be written or must not be overwritten."""

    def __init__(self, record: Record) -> None:
        is_rerun = record.path.suffix == rerun.SUFFIX
        self._needs, self._magic = ("a Rerun file", rerun.MAGIC) if is_rerun else ("an MCAP file", MAGIC)
        (rerun.library if is_rerun else library)()
        self.path = Path(os.path.realpath(record.path))
        self._name, self._overwrite = record.path, record.overwrite
        self._fd = -1
        self._there = os.path.lexists(self.path)
        try:
            if self._there:
                self._check()
            else:
                self._create()
        except OSError as error:
            self._close()
            raise GraphError(
                f"{self._name}: needs a file that can be written, got: {error.strerror}; use another --record"
            ) from None
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> Target:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            if not self._there and os.fstat(self._fd).st_size == 0:  # nothing was recorded
                self.path.unlink(missing_ok=True)
        self._close()

    def begin(self) -> None:
        """Replace an earlier recording by an empty file. Whoever reads the earlier one keeps it."""
        if self._there:
            before, self._fd, self._there = self._fd, -1, False
            try:
                self.path.unlink()
                self._create()
            except OSError as error:
                raise GraphError(f"{self._name}: cannot be replaced: {error.strerror}; use another --record") from None
            finally:
                os.close(before)

    def _check(self) -> None:
        path = self._name
        if self.path.is_dir():
            raise GraphError(f"{path}: needs a file to record to, got a folder; --record {path / 'run.mcap'}?")
        self._fd = open_file(self.path)
        start = os.pread(self._fd, len(self._magic), 0)
        if not self._overwrite:
            raise GraphError(f"{path}: needs a file that is not there yet, got one; use --overwrite or another --record")
        if start and start != self._magic:
            raise GraphError(f"{path}: needs {self._needs} to overwrite, got one that begins with {start!r}")
        self._lock()

    def _create(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = open_file(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        self._lock()

    def _lock(self) -> None:
        if not lock(self._fd):
            raise GraphError(f"{self._name}: a run is recording to it; wait for its end, or use another --record")

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
