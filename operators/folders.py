"""What folders from outside hold. Names that begin with a dot do not count; what may not be read is an error, not absent.

A link to nothing counts as a name: the error of whoever opens it names the link.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import InputError

FILE, FOLDER = "a file", "a folder"
_KINDS = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: FOLDER,
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def at(name: str) -> Path:
    """The path that a config names, `~` expanded."""
    try:
        return Path(name).expanduser()
    except RuntimeError:  # no HOME, or no such user
        raise InputError(f"{name}: needs a home folder for ~, got none; set HOME, or write the whole path") from None


def kind(path: Path) -> str:
    """FILE, FOLDER, another kind in words, or "" where nothing is. Raises InputError for a link to nothing and for what may not
    be read."""
    try:
        return _KINDS.get(stat.S_IFMT(os.stat(path).st_mode), "a thing of an unknown kind")
    except (FileNotFoundError, NotADirectoryError) as error:
        if os.path.islink(path):
            raise unreadable(path, error) from None
        return ""
    except ValueError:  # a NUL in the name
        return ""
    except OSError as error:
        raise unreadable(path, error) from None


def is_folder(path: Path) -> bool:
    return kind(path) == FOLDER


def is_file(path: Path) -> bool:
    """Raises InputError where something else has this name."""
    got = kind(path)
    if got not in (FILE, ""):
        raise InputError(f"{path}: needs a file, got {got}")
    return got == FILE


def size(path: Path) -> int:
    """Bytes of a file. Raises InputError if it is not there or no file."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise unreadable(path, error) from None
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: needs a file, got {kind(path)}")
    return status.st_size


def open_file(path: Path) -> int:
    """A descriptor for reading. Raises InputError if the file is not there, no file, or may not be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # non-blocking: a named pipe may have no writer
    except OSError as error:
        raise unreadable(path, error) from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise InputError(f"{path}: needs a file, got {kind(path)}")
    return fd


@contextlib.contextmanager
def reading(path: Path) -> Iterator[BinaryIO]:
    """The file, open for reading. Raises InputError also where reading fails."""
    with os.fdopen(open_file(path), "rb") as file:
        try:
            yield file
        except OSError as error:
            raise unreadable(path, error) from None


def names(folder: Path) -> list[str]:
    """Sorted; none where no folder is. Raises InputError if the folder may not be read or is something else."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        if got := kind(folder):
            raise InputError(f"{folder}: needs a folder, got {got}") from None
        return []
    except OSError as error:
        raise unreadable(folder, error) from None


def files(folder: Path, pattern: str) -> list[Path]:
    """The files whose names match, such as *.txt, sorted. Raises InputError for a matching name that is no file."""
    return [path for name in names(folder) if fnmatchcase(name, pattern) and is_file(path := folder / name)]


def folders(folder: Path, pattern: str = "*") -> list[Path]:
    """The folders whose names match, sorted."""
    return [path for name in names(folder) if fnmatchcase(name, pattern) and is_folder(path := folder / name)]


def unreadable(path: Path, error: OSError) -> InputError:
    """The error for a file or folder that cannot be opened."""
    if isinstance(error, PermissionError):
        return InputError(f"{path}: may not be read ({error.strerror})")
    if os.path.islink(path) and not os.path.exists(path):
        return InputError(f"{path}: is a link to {os.readlink(path)}, which is not there")
    return InputError(f"{path}: needs to be readable, got {error.strerror}")
