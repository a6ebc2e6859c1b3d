"""Pictures, videos and scores that the sinks of a run have left in their folders. Links are relative to DIR."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import quote

from pipeline.outside import open_file, parse_json

PICTURES, VIDEOS = (".png", ".jpg", ".jpeg"), (".mp4",)
MOST_PICTURES, MOST_VIDEOS, MOST_SCORES = 8, 6, 256 << 10
"""Of a node: pictures and videos shown; bytes of its scores.json."""
MOST_ENTRIES, MOST_DEPTH, MOST_S = 50_000, 3, 0.15
"""The search ends here."""


class Found:
    """What is below the folders of these nodes.

    media   [{node, pictures: [{name, path}], more: number of pictures not shown, videos: [{name, path}]}]
    scores  [{node, file, scores}]
    is_cut  the search has ended before all folders were seen
    """

    def __init__(self, out: Path, nodes: Iterable[str]) -> None:
        self.media: list[dict[str, Any]] = []
        self.scores: list[dict[str, Any]] = []
        self.is_cut = False
        self._left, self._until = MOST_ENTRIES, monotonic() + MOST_S
        for node in nodes:
            files = sorted(self._files(out / node, MOST_DEPTH))
            pictures = [file for file in files if file.lower().endswith(PICTURES)]
            videos = [file for file in files if file.lower().endswith(VIDEOS)]
            if pictures or videos:
                shown = spread(pictures, MOST_PICTURES)
                self.media.append(
                    {
                        "node": node,
                        "pictures": [_link(out, file) for file in shown],
                        "more": len(pictures) - len(shown),
                        "videos": [_link(out, file) for file in videos[:MOST_VIDEOS]],
                    }
                )
            self._read_scores(out, node)

    def _files(self, folder: Path, depth: int) -> Iterator[str]:
        """Paths; hidden ones and links are not followed."""
        try:
            entries = os.scandir(folder)
        except OSError:
            return
        with entries:
            for entry in entries:
                self._left -= 1
                self.is_cut = self.is_cut or self._left < 0 or monotonic() > self._until
                if self.is_cut:
                    return
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if depth > 1:
                        yield from self._files(Path(entry), depth - 1)
                elif entry.is_file(follow_symlinks=False):
                    yield entry.path

    def _read_scores(self, out: Path, node: str) -> None:
        path = out / node / "scores.json"
        try:
            with open(open_file(path), "rb") as file:
                data = file.read(MOST_SCORES + 1)
            if len(data) <= MOST_SCORES:
                self.scores.append({"node": node, "file": f"{node}/scores.json", "scores": parse_json(data)})
        except (OSError, ValueError):
            return


def spread(files: list[str], most: int) -> list[str]:
    """At most so many, evenly spread, the first and the last among them."""
    if len(files) <= most:
        return files
    return [files[round(i * (len(files) - 1) / (most - 1))] for i in range(most)]


def _link(out: Path, file: str) -> dict[str, str]:
    name = os.path.relpath(file, out)
    return {"name": printed(name), "path": quote(os.fsencode(name))}


def printed(name: str) -> str:
    """A file name as text; bytes that are no UTF-8 as escapes."""
    return os.fsencode(name).decode(errors="backslashreplace")
