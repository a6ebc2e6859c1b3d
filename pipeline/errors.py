"""Every error a user meets: who, what was needed, what came, what to try, in one line."""

from __future__ import annotations


class PipeError(Exception):
    """An error whose text is complete for the user: it is printed as one line, without a traceback (`-v` adds it)."""


class GraphError(PipeError):
    """The graph or a setting in it is wrong; found before any process starts (exit 2)."""


class InputError(PipeError):
    """A file or folder from outside is wrong; the text names file, line or key.

    Raised by `Source.find` it stops `pipe` before the start (exit 2); raised by `Source.read` it is an error of that
    node while running (exit 1, or skipped under `on_error: skip`).
    """


class FrameError(PipeError):
    """A frame breaks the contract of the port it crosses: dtype, shape, size of its slot, or a torn payload."""


class RunError(PipeError):
    """The run as a whole failed: a node was given up, a join is stuck, the machine lacks something."""
