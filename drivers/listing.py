"""The files that a config names: a file, a folder of files, or a list of both."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from operators import folders
from pipeline.errors import InputError


def listed(who: str, files: str | Sequence[str], suffixes: Sequence[str]) -> list[Path]:
    """`config.files` as paths: files unchanged, a folder as its files with these suffixes, in the order of their names.

    Numbers in names are compared as numbers: 2.ply comes before 10.ply. Raises InputError, also for a link to nothing.
    """
    asked = [files] if isinstance(files, str) else list(files)
    needs = f"{who}: config.files: needs a file or a folder of {' '.join(suffixes)}"
    if not [name for name in asked if name]:
        raise InputError(f"{needs}, got nothing; set --set NODE.config.files=PATH")
    found: list[Path] = []
    for name in asked:
        path = folders.at(name)
        there = folders.kind(path)
        if there == folders.FOLDER:
            inside = sorted((path / n for n in folders.names(path) if Path(n).suffix.lower() in suffixes), key=_by_name)
            if not inside:
                raise InputError(f"{needs}, got {path} without any")
            found += filter(folders.is_file, inside)
        elif there != folders.FILE:
            raise InputError(f"{needs}, got {name} ({there or 'not there'})")
        elif path.suffix.lower() not in suffixes:
            raise InputError(f"{needs}, got {name}")
        else:
            found.append(path)
    return found


def _by_name(path: Path) -> list[str | int]:
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)]
