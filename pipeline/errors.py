"""All errors that users see. The text is one line: who, what was needed, what came, what to try."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Key = tuple[Any, ...]


class PipeError(Exception):
    """An error whose text is complete for the user: it is printed as one line, without a traceback (`-v` adds it)."""


class GraphError(PipeError):
    """The graph or one of its settings is wrong; found before any process starts (exit 2)."""


class InputError(PipeError):
    """A file or folder from outside is wrong; the text names file, line or key.

    Raised by `Source.find`, it stops `pipe` before the start (exit 2). Raised by `Source.read`, it is an error of the
    running node (exit 1, or skipped under `on_error: skip`).
    """


class FrameError(PipeError):
    """A frame breaks the contract of its port: dtype, shape, size of the slot, or a torn payload."""


class RunError(PipeError):
    """The run as a whole failed: a node was given up, a join is stuck, the machine lacks something."""


MAX_TEXT, MAX_LINE, MAX_LINES = 2000, 4000, 20
"""Longest text [characters] of a foreign exception; longest line of a complete message, which may quote one; its lines."""


def printable(text: str, limit: int | None = None) -> str:
    """One line that any terminal may get: control characters, line ends and lone surrogates are written as escapes.

    limit  longest text [characters] that is not cut
    """
    kept = text[:limit]
    if not kept.isprintable():
        kept = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in kept)
    return kept if limit is None or len(text) <= limit else f"{kept}... ({len(text)} characters)"


def printable_lines(text: str) -> str:
    return "\n".join(printable(line, MAX_LINE) for line in text.splitlines()[:MAX_LINES])


def explain(error: BaseException) -> str:
    """`ValueError: text` in one printable line. The text of a PipeError stands alone and keeps its lines."""
    try:
        text = str(error)
    except BaseException as failed:  # an exception of the user's own
        text = f"(its text raises {type(failed).__name__})"
    if isinstance(error, PipeError):
        return printable_lines(text)
    name = printable(type(error).__name__, MAX_TEXT)
    return f"{name}: {printable(text, MAX_TEXT)}" if text else name


@dataclass(frozen=True)
class Where:
    """A position in a graph file, as messages name it: `demo.yaml:12: voxelize.config.max_points`.

    marks  path -> line number, or the text of the `--set` that set the value
    path   keys from the top of the file: ("nodes", "voxelize", "config", "max_points")
    prefix of the names of nodes, in an included graph: "front."
    """

    file: str
    marks: Mapping[Key, int | str] = field(default_factory=dict)
    path: Key = ()
    prefix: str = ""

    def child(self, *keys: Any) -> Where:
        return Where(self.file, self.marks, self.path + keys, self.prefix)

    @property
    def mark(self) -> int | str:
        """Mark of the value, or of the innermost mapping around it that has one; 0 = unknown."""
        for end in range(len(self.path), -1, -1):
            if self.path[:end] in self.marks:
                return self.marks[self.path[:end]]
        return 0

    @property
    def line(self) -> int:
        return self.mark if isinstance(self.mark, int) else 0

    def __str__(self) -> str:
        mark = self.mark
        place = mark if isinstance(mark, str) else f"{self.file}:{mark}" if mark else self.file
        return f"{place}: {self.name}" if self.name else place

    @property
    def name(self) -> str:
        """The keys joined by dots, beginning with the node's name."""
        name, of_node = "", self.path[:1] == ("nodes",) and len(self.path) > 1
        for key in self.path[1:] if of_node else self.path:
            name += f"[{key}]" if isinstance(key, int) else f".{key}" if name else str(key)
        return self.prefix + name if of_node else name

    def error(self, text: str) -> GraphError:
        return GraphError(f"{self}: {text}")
