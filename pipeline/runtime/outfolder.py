"""DIR, the folder of a run: who writes to it, and what `--overwrite` may delete there.

The hidden file `.pipe` in DIR says what pipe has made: each entry of DIR with its files. A run holds a lock on it while it
lives, and lists the files when it ends. `--overwrite` deletes what is listed and nothing else. A run that was killed has listed
no files: then everything in the entries that it made is taken for its own, except the files that it found there.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from pipeline.errors import GraphError
from pipeline.graph.spec import GraphSpec
from pipeline.outside import lock, open_file, parse_json

MARKER = ".pipe"
RESULTS = ("logs", "poison", "report.json", "run.html", "_record")
"""What every run may write in DIR, beside the folders of its nodes."""

Made = dict[str, list[str] | None]
"""Entry of DIR -> its files, relative to the entry ("" = the entry is a file); None = everything in it."""
Kept = dict[str, list[str]]
"""Entry of DIR -> the user's own files in it."""


class OutFolder:
    """The folder while a run writes to it; a context manager."""

    def __init__(self, path: Path, names: Iterable[str], overwrite: bool) -> None:
        self.path, self.names = path, list(names)
        self._fd, self._listed = -1, False
        try:
            self._take(overwrite)
        except OSError as error:
            self._unlock()
            raise GraphError(
                f"{path}: needs a folder that can be made and written, got: {error.strerror}; use another --out"
            ) from None
        except BaseException:
            self._unlock()
            raise

    def __enter__(self) -> OutFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if not self._listed:
                self.list_files()
        finally:
            self._unlock()

    def list_files(self) -> None:
        """At the end of the run: note what it has made."""
        self._listed = True
        made: Made = {name: files for name, files in self._made.items() if name not in self.names}
        for name in self.names:
            if os.path.lexists(self.path / name):
                own = set(self._kept.get(name, ()))
                made[name] = [file for file in _files(self.path / name) if file not in own]
        with contextlib.suppress(OSError):  # a full disk: the note of the start holds
            self._write(made)

    def _take(self, overwrite: bool) -> None:
        marker = self.path / MARKER
        there = [name for name in self.names if os.path.lexists(self.path / name)]
        self._made: Made = {}
        self._kept: Kept = {}
        if os.path.lexists(marker):
            self._fd = open_file(marker, os.O_RDWR)
            _lock(self._fd, self.path)
            self._made, self._kept = _read(self._fd)
        if there and not overwrite:
            raise GraphError(
                f"{self.path}: needs a folder without results, got {', '.join(there)}; use --overwrite or another --out"
            )
        foreign = [name for name in there if name not in self._made or (self.path / name).is_symlink()]
        if foreign:
            raise GraphError(
                f"{self.path}: --overwrite deletes only what pipe has made, got {', '.join(foreign)}, which it has not; "
                "remove it, or use another --out"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        if self._fd < 0:
            self._fd = open_file(marker, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
            _lock(self._fd, self.path)
        for name in there:
            _delete(self.path / name, self._made[name], self._kept.get(name, ()))
            self._kept[name] = list(_files(self.path / name)) if os.path.lexists(self.path / name) else []
        self._made |= dict.fromkeys(self.names)
        self._write(self._made)

    def _write(self, made: Made) -> None:
        data = json.dumps({"made": made, "kept": {name: files for name, files in self._kept.items() if files}}).encode() + b"\n"
        os.pwrite(self._fd, data, 0)
        os.ftruncate(self._fd, len(data))

    def _unlock(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def take(graph: GraphSpec, out: Path, overwrite: bool) -> OutFolder:
    """Refuses a folder that holds results or in which a run is writing; with `--overwrite` deletes the results of this graph.

    Raises GraphError.
    """
    return OutFolder(out, [*graph.nodes, *RESULTS], overwrite)


def remove(out: Path) -> None:
    """Delete what pipe has made in the folder, and the folder if nothing else is in it. Raises GraphError if it is no such folder
    or a run is writing to it."""
    try:
        fd = open_file(out / MARKER, os.O_RDWR)
        try:
            _lock(fd, out)
            made, kept = _read(fd)
            for name, files in made.items():
                if os.path.lexists(out / name) and not (out / name).is_symlink():
                    _delete(out / name, files, kept.get(name, ()))
            (out / MARKER).unlink()
        finally:
            os.close(fd)
        if not any(out.iterdir()):
            out.rmdir()
    except OSError as error:
        raise GraphError(
            f"{out}: --overwrite deletes only what pipe has made, got: {error.strerror}; remove it yourself"
        ) from None


def _lock(fd: int, path: Path) -> None:
    if not lock(fd):
        raise GraphError(f"{path}: a run is writing there; wait for its end, or use another --out")


def _read(fd: int) -> tuple[Made, Kept]:
    """What the marker says; nothing if it is not pipe's. Its names are single ones: they lead nowhere else."""
    try:
        data = parse_json(os.pread(fd, os.fstat(fd).st_size, 0))
        made = {name: None if files is None else [str(file) for file in files] for name, files in data["made"].items()}
        kept = {name: [str(file) for file in files] for name, files in data["kept"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}, {}
    return {name: files for name, files in made.items() if "/" not in name and name not in ("", ".", "..")}, kept


def _files(entry: Path) -> Iterable[str]:
    """The files below an entry of DIR, links included and not followed."""
    if not entry.is_dir() or entry.is_symlink():
        yield ""
        return
    for folder, folders, names in os.walk(entry):
        inside = os.path.relpath(folder, entry)
        for name in [*names, *(name for name in folders if os.path.islink(os.path.join(folder, name)))]:
            yield os.path.normpath(os.path.join(inside, name))


def _delete(entry: Path, files: list[str] | None, kept: Iterable[str]) -> None:
    """Delete these files of an entry (None: all of them), and the folders that are empty then."""
    own, listed = set(kept), None if files is None else set(files)
    for file in list(_files(entry)):
        if file not in own and (listed is None or file in listed):
            os.unlink(entry / file if file else entry)
    if entry.is_dir():
        for folder, _, _ in os.walk(entry, topdown=False):
            if not os.listdir(folder):
                os.rmdir(folder)
