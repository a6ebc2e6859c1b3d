"""The newest picture of each sink, read from the files that it writes: the sink knows nothing of it and cannot wait for it.

A video of `operators/render/video.py` is a fragmented MP4, one picture per fragment, which grows while the run lives. `Film`
finds the fragments by the lengths of the boxes (ISO/IEC 14496-12, 4.2). Sinks without a video show their newest picture.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from urllib.parse import quote

from pipeline.outside import open_file
from pipeline.watch.page.media import PICTURES, VIDEOS

LOOK_S = 1.0
SHARE = 0.02
"""Part of the time that looking for files may take: in a folder of many files it happens less often."""
TAIL = 24
"""Fragments that a new viewer gets. One of the last ten begins with a key frame, the browser skips those before it."""
MOST_FRAGMENTS, MOST_BYTES = 240, 16 << 20
"""Of one answer: fragments that are kept to choose from, and bytes."""
MOST_HEAD = 1 << 16


@dataclass(frozen=True)
class Part:
    """Some fragments of a film; the next ones begin at `at`. codec: as in RFC 6381; first: data begins with the head."""

    name: str
    codec: str
    data: bytes
    at: int
    first: bool


class Film:
    """One growing MP4 file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.codec = ""
        self._head = b""
        self._end = 0  # of the last whole fragment
        self._starts: deque[int] = deque(maxlen=MOST_FRAGMENTS)

    def part(self, at: int | None) -> Part | None:
        """What was written since `at`; the head and the last fragments if `at` is None or too long ago. None: nothing yet.

        Raises OSError.
        """
        with open(open_file(self.path), "rb") as file:
            self._follow(file.fileno())
            if not self._head or not self._starts:
                return None
            first = at is None or (at != self._end and at not in self._starts)
            start = self._starts[-min(TAIL, len(self._starts))] if first else int(at or 0)
            data = os.pread(file.fileno(), min(self._end - start, MOST_BYTES), start)
        return Part(self.path.name, self.codec, (self._head if first else b"") + data, self._end, first)

    def _follow(self, fd: int) -> None:
        """Find the boxes that were written since the last call."""
        size, at, start = os.fstat(fd).st_size, self._end, self._end
        while at + 8 <= size:
            box = os.pread(fd, 8, at)
            length, kind = int.from_bytes(box[:4], "big"), box[4:]
            if length < 8 or at + length > size:
                return
            at += length
            if kind == b"moov":
                if at > MOST_HEAD:
                    return
                self._head = os.pread(fd, at, 0)
                self.codec = codec_of(self._head)
                start = self._end = at
            elif kind == b"mdat":
                self._starts.append(start)
                start = self._end = at


def codec_of(head: bytes) -> str:
    """Of the track's decoder configuration (avcC: version, profile, compatibility, level), "" for anything but H.264."""
    at = head.find(b"avcC")
    return f"avc1.{head[at + 5 : at + 8].hex()}" if 0 <= at and at + 8 <= len(head) else ""


class Newest:
    """Looks into the folders of these nodes when a viewer asks, at most once a second. Threads may share it."""

    def __init__(self, out: Path, nodes: Iterable[str]) -> None:
        self.out, self.nodes = out, list(nodes)
        self._lock = threading.Lock()
        self._films: dict[str, Film] = {}
        self._changed: dict[Path, int] = {}
        self._pictures: dict[str, str] = {}
        self._next = 0.0

    def look(self) -> dict[str, dict[str, str | bool]]:
        """node -> {film: has it a video, picture: link of the newest picture, relative to DIR, or ""}, for those with either."""
        with self._lock:
            begun = monotonic()
            if begun >= self._next:
                for node in self.nodes:
                    self._look_at(node)
                self._next = monotonic() + max(LOOK_S, (monotonic() - begun) / SHARE)
            names = [node for node in self.nodes if node in self._films or node in self._pictures]
            return {node: {"film": node in self._films, "picture": self._pictures.get(node, "")} for node in names}

    def part(self, node: str, name: str, at: int | None) -> Part | None:
        """The next part of the newest film of a node; name, at: of the last part that the viewer has."""
        with self._lock:
            film = self._films.get(node)
            try:
                return None if film is None else film.part(at if name == film.path.name else None)
            except OSError:
                return None

    def _look_at(self, node: str) -> None:
        folder = self.out / node
        film = _newest(folder, VIDEOS)
        if film is not None and (node not in self._films or self._films[node].path != film):
            self._films[node] = Film(film)
        for inside in (folder / "frames", folder):
            try:
                changed = inside.stat().st_mtime_ns
            except OSError:
                continue
            if self._changed.get(inside) == changed:
                return
            self._changed[inside] = changed
            picture = _newest(inside, PICTURES)
            if picture is not None:
                self._pictures[node] = quote(os.fsencode(os.path.relpath(picture, self.out)))
                return


def _newest(folder: Path, endings: tuple[str, ...]) -> Path | None:
    """The file that was changed last."""
    best: tuple[int, str] | None = None
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.lower().endswith(endings) and entry.name[0] != "." and entry.is_file(follow_symlinks=False):
                    found = entry.stat(follow_symlinks=False).st_mtime_ns, entry.path
                    best = found if best is None or found > best else best
    except OSError:
        return None
    return None if best is None else Path(best[1])
