"""DIR of a batch: who writes there, which items are done, and the one step that makes an item done.

    DIR/.batch           which folder is whose; locked while a batch runs
    DIR/.tries/ITEM.N/   the N-th try of an item, while it runs
    DIR/ITEM/            the last try of an item: files of its run, item.json, item.log
    DIR/_all/            what all items give together (merge.py)
    DIR/batch.json       the report

A try becomes DIR/ITEM by one rename, which only the batch does, so an item is whole or not there, whoever is killed; and a try of
which the batch knows nothing any more (its machine was cut off) writes into a folder that nobody reads.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.batch.items import RESERVED, Item
from pipeline.batch.job import LOG, RECORD, read_record
from pipeline.errors import GraphError, RunError
from pipeline.outside import lock, open_file, parse_json
from pipeline.runtime import outfolder

MARKER, TRIES = ".batch", ".tries"


class Folder:
    """A context manager; raises GraphError where DIR cannot be used."""

    def __init__(self, path: Path, items: Sequence[Item], overwrite: bool) -> None:
        self.path = path
        self._token = os.urandom(4).hex()
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._fd = open_file(path / MARKER, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
        except OSError as error:
            raise GraphError(
                f"{path}: needs a folder that can be made and written, got: {error.strerror}; use another --out"
            ) from None
        try:
            if not lock(self._fd):
                raise GraphError(f"{path}: a batch is writing there; wait for its end, or use another --out")
            self._claim(items, overwrite)
            shutil.rmtree(path / TRIES, ignore_errors=True)
            (path / TRIES).mkdir(exist_ok=True)
        except OSError as error:
            os.close(self._fd)
            raise GraphError(f"{path}: needs a folder that can be written, got: {error.strerror}; use another --out") from None
        except BaseException:
            os.close(self._fd)
            raise

    def _claim(self, items: Sequence[Item], overwrite: bool) -> None:
        owners = self._owners()
        foreign = []
        for item in [*items, Item("", RESERVED)]:
            owner, path = owners.get(item.folder), self.path / item.folder
            if owner is not None and owner != item.name:
                raise GraphError(f"{path}: needs a folder for {item.name}, got that of {owner}; use another --out")
            if owner is None and os.path.lexists(path) and (path.is_symlink() or not path.is_dir() or any(path.iterdir())):
                foreign.append(item.folder)
        if foreign and not overwrite:
            more = ", ..." if len(foreign) > 5 else ""
            raise GraphError(
                f"{self.path}: needs a folder without results of others, got {', '.join(foreign[:5])}{more}; "
                "use --overwrite or another --out"
            )
        owners |= {item.folder: item.name for item in items} | {RESERVED: ""}
        data = json.dumps({"items": owners}).encode() + b"\n"
        os.pwrite(self._fd, data, 0)
        os.ftruncate(self._fd, len(data))

    def _owners(self) -> dict[str, str]:
        try:
            found = parse_json(os.pread(self._fd, os.fstat(self._fd).st_size, 0))
            return {str(folder): str(item) for folder, item in found["items"].items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            return {}

    def of(self, item: Item) -> Path:
        return self.path / item.folder

    def done(self, item: Item) -> dict[str, Any] | None:
        """The record of an item whose run has completed."""
        record = read_record(self.of(item))
        there = record is not None and record["exit"] == "completed" and (self.of(item) / "report.json").is_file()
        return record if there else None

    def try_of(self, item: Item, number: int) -> Path:
        return self.path / TRIES / f"{item.folder}.{number}.{self._token}"

    def take(self, item: Item, tried: Path) -> None:
        """Make this try DIR/ITEM, in place of what is there. Raises RunError if that is not all pipe's own."""
        target = self.of(item)
        try:
            self._clear(target)
            tried.rename(target)
        except GraphError as error:
            raise RunError(str(error)) from None
        except OSError as error:
            raise RunError(f"{target}: the results in {tried} need its place, got: {error.strerror}") from None

    @staticmethod
    def _clear(target: Path) -> None:
        for name in (RECORD, LOG):
            (target / name).unlink(missing_ok=True)
        if (target / outfolder.MARKER).is_file():
            outfolder.remove(target)
        if target.is_dir() and any(target.iterdir()):
            left = ", ".join(sorted(path.name for path in target.iterdir())[:5])
            raise RunError(f"{target}: only what pipe has made is replaced, got {left}; remove it, or use another --out")

    def save(self, report: dict[str, Any]) -> None:
        """batch.json. Raises RunError."""
        path = self.path / "batch.json"
        try:
            beside = path.with_name(".batch.json.new")
            beside.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
            beside.replace(path)
        except OSError as error:
            raise RunError(f"{path}: needs to be written, got: {error.strerror}") from None

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        shutil.rmtree(self.path / TRIES, ignore_errors=True)
        os.close(self._fd)
