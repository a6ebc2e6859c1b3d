"""Names from outside, of sequences and frames: what a name may hold, and the one join of a folder and a name.

Names come from data sets, sensors and recordings. A file whose name is made of one gets its path from `below`.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

from pipeline.errors import FrameError

FILE_BYTES = 240
"""Longest part of a file's name. A file system takes 255 bytes; the temporary file beside a result has a longer name."""


def problem(name: str, max_bytes: int) -> str:
    """The reason why this text is no name; "" if it is one."""
    if not name.isprintable() and any(unicodedata.category(c) == "Cc" for c in name):
        return "a control character"
    try:
        length = len(name) if name.isascii() else len(name.encode())
    except UnicodeEncodeError:
        return "a character that is no Unicode text"
    return f"{length} bytes, at most {max_bytes} are possible" if length > max_bytes else ""


def below(folder: Path, name: str, who: str) -> Path:
    """`folder / name`; "/" in the name separates folders. Raises FrameError, which begins with `who`, if no file may have it.

    A part that begins with a dot is refused: readers skip such files, and the journals of the writers have such names. Links
    below `folder` are not followed.
    """
    path = folder
    for part in name.split("/"):
        found = "an empty part" if not part else "a part that begins with a dot" if part[0] == "." else problem(part, FILE_BYTES)
        if not found:
            path = path / part
            found = "a link in its way" if path.is_symlink() else ""
        if found:
            raise FrameError(f"{who}: needs the name of a file in {folder}, got {name[:FILE_BYTES]!a}: {found}")
    return path
