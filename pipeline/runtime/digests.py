"""Digests: sha256 over the complete content of frames, to compare two runs bit by bit.

A sink's digest covers all its input: each latched value before the first frame for which it holds. With `RunOptions.digests`
every node also writes DIR/logs/digests/<node>.txt, with a line for each input frame (`in`, under the frame that triggered the
step) and output frame (`out`): `pipe replay --verify` finds the first difference there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import numpy as np

from pipeline.frame import Header

FOLDER = "digests"


def digest_frame(digest: Any, header: Header, port: str, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """source, frame_id, stamp_ns, port, then name, dtype, shape and C-order bytes of each array, then the sorted metadata."""
    digest.update(msgpack.packb([header.source, header.frame_id, header.stamp_ns, port]))
    _arrays(digest, arrays)
    digest.update(msgpack.packb(sorted(meta.items())))


def digest_latched(port: str, arrays: Mapping[str, np.ndarray]) -> bytes:
    """Of the value of a static port."""
    digest = hashlib.sha256(msgpack.packb(["latched", port]))
    _arrays(digest, arrays)
    return digest.digest()


def _arrays(digest: Any, arrays: Mapping[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        digest.update(msgpack.packb([name, array.dtype.str, array.shape]))
        digest.update(np.ascontiguousarray(array).data if array.size else b"")


class Line(NamedTuple):
    """One frame that crossed a port. way: in | out; with `in`, frame is the one that triggered the step."""

    way: str
    port: str
    frame: str
    digest: str


class Trace:
    """Writes the lines of one node."""

    def __init__(self, folder: Path, node: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / f"{node}.txt").open("w", encoding="utf-8")

    def add(
        self, way: str, port: str, trigger: Header, header: Header, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]
    ) -> None:
        digest = hashlib.sha256()
        digest_frame(digest, header, port, arrays, meta)
        self._file.write(f"{way} {port} {trigger} {digest.hexdigest()}\n")

    def close(self) -> None:
        self._file.close()


def read(folder: Path, node: str) -> Iterator[Line]:
    """The lines of a node, in the order of writing."""
    with (folder / f"{node}.txt").open(encoding="utf-8") as file:
        for text in file:
            yield Line(*text.split())
