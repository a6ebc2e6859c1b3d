"""Lines for the user: warnings and errors on standard error. Names of files and texts of exceptions hold any characters."""

from __future__ import annotations

from pipeline.errors import printable
from pipeline.runtime import streams


def warning(text: str) -> None:
    _say("warning", text)


def error(text: str) -> None:
    """One line of output for each line of the text."""
    _say("error", text)


def _say(kind: str, text: str) -> None:
    streams.show((f"{kind}: {printable(line)}" for line in text.split("\n")), error=True)
