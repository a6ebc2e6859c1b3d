"""Lines for the user: warnings and errors on standard error. Names of files and texts of exceptions hold any characters."""

from __future__ import annotations

import sys

from pipeline.errors import printable


def warning(text: str) -> None:
    _say("warning", text)


def error(text: str) -> None:
    """One line of output for each line of the text."""
    _say("error", text)


def _say(kind: str, text: str) -> None:
    for line in text.split("\n"):
        print(f"{kind}: {printable(line)}", file=sys.stderr)
