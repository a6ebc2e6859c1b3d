"""The folder of one writer: its names are checked, each frame is written as a whole or not at all, also after a crash."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from operators import files
from operators.write.undo import Part, Undo
from pipeline.errors import FrameError
from pipeline.frame import Header
from pipeline.names import below
from pipeline.operator import Resume


@dataclass(frozen=True, slots=True)
class Write:
    """One change of a file. name: below the folder.

    new      a file that no other frame writes
    replace  the whole file
    append   lines at its end; the file is created if it is missing
    patch    overwrite from byte `at` on; the file is there and may grow
    """

    name: str
    data: bytes
    how: Literal["new", "replace", "append", "patch"]
    at: int = 0


class Folder:
    """`write` for each frame, `close` at the end of the run. Errors are FrameError (a name) and RunError (the disk).

    `.sequences` holds [name of the file, sequence] of each sequence while the run lasts, a line of JSON each: the "/" in the
    name of a sequence becomes "_", so two sequences may want one file.
    """

    def __init__(self, who: str, path: Path, resume: Resume | None) -> None:
        self.who, self.path = who, path
        self.undo = Undo(path, resume)
        self._journal = path / ".sequences"
        there = self._journal.read_bytes().split(b"\n")[:-1] if resume is not None and self._journal.exists() else []
        self._sequences: dict[str, str] = dict(json.loads(line) for line in there)
        files.replace(self._journal, b"".join(line + b"\n" for line in there))

    def at(self, name: str, header: Header) -> Path:
        """The path of a file. Raises FrameError if the name is none."""
        return below(self.path, name, f"{self.who}: frame {header}")

    def sequence(self, header: Header, name: str | None = None) -> str:
        """The name of the files of this frame's sequence, "0000" if it has none. `name`: instead of the sequence's own.

        Raises FrameError if another sequence has the name.
        """
        sequence = header.sequence
        name = name or sequence.replace("/", "_") or "0000"
        other = self._sequences.get(name)
        if other is None:
            self.at(name, header)
            try:
                files.append(self._journal, json.dumps([name, sequence]).encode() + b"\n")
            except OSError as error:
                raise files.failed(self.who, self._journal, error, f"the sequence of frame {header}") from error
            self._sequences[name] = sequence
        elif other != sequence:
            raise FrameError(
                f"{self.who}: frame {header}: needs files of its own for sequence {sequence!r}, got {name}, the files of "
                f"sequence {other!r}; rename one"
            )
        return name

    def write(self, header: Header, writes: Sequence[Write]) -> None:
        """All changes of one frame; they are on disk when this returns."""
        paths = [self.at(write.name, header) for write in writes]
        what = f"frame {header} ({header.item})"
        made = list(zip(paths, writes, strict=True))
        grow = [path for path, write in made if write.how == "append"]
        parts: list[Part] = [(path, write.at, len(write.data)) for path, write in made if write.how == "patch"]
        whole = [path for path, write in made if write.how in ("new", "replace") and path not in grow]
        path = self.path
        try:
            for path, write in made:
                if write.how == "new" and path.exists():
                    raise FrameError(f"{self.who}: {path}: needs a file of its own for {what}, got one of an earlier frame")
                path.parent.mkdir(parents=True, exist_ok=True)
            with self.undo.frame(header.frame_id, grow, whole, parts):
                for path, write in made:
                    if write.how == "patch":
                        files.patch(path, write.at, write.data)
                    else:
                        (files.append if write.how == "append" else files.replace)(path, write.data)
        except OSError as error:
            raise files.failed(self.who, path, error, what) from error

    def close(self) -> None:
        self.undo.close()
        self._journal.unlink(missing_ok=True)
