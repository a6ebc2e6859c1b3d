"""Compiled loops: numpy arrays in, numpy arrays out. They import only numpy and numba, and nothing of the engine.

Numba keeps the compiled code beside the source, or in a folder of the user's home. Where neither can be written (a container with
a read-only root, a user without a home), importing any kernel would fail; so a folder that can be written is chosen here first.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path


def cache_folder() -> Path | None:
    """A folder of this user alone for compiled code; None where numba finds one itself (beside the source, $NUMBA_CACHE_DIR).

    Raises OSError if no folder can be written.
    """
    given = os.environ.get("NUMBA_CACHE_DIR")
    here = Path(__file__).parent
    if given and _writable(Path(given)):
        return None
    if not given and _writable(here / "__pycache__" if (here / "__pycache__").is_dir() else here):
        return None
    places = [os.environ.get("XDG_CACHE_HOME"), os.environ.get("HOME") and os.path.join(os.environ["HOME"], ".cache")]
    for place in [*places, os.environ.get("XDG_RUNTIME_DIR"), os.environ.get("TMPDIR"), "/tmp", "/var/tmp", "/dev/shm"]:
        if place and os.path.isabs(place) and _is_ours(folder := Path(place, f"pipe-kernels-{os.getuid()}")):
            return folder
    what = f"$NUMBA_CACHE_DIR={given}" if given else "a folder for compiled code"
    raise OSError(f"{what}: needs to be writable, as no other place is; set NUMBA_CACHE_DIR to a folder that can be written")


def _writable(folder: Path) -> bool:
    """A folder, or one that can be made, in which this user may make files."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _is_ours(folder: Path) -> bool:
    """Make the folder. Code is loaded from it, so it must not be another user's."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        info = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.getuid() and not info.st_mode & 0o022 and _writable(folder)


def _choose() -> None:
    folder = cache_folder()
    if folder is None:
        return
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    if (config := getattr(sys.modules.get("numba"), "config", None)) is not None:  # imported before: it has read its variables
        config.CACHE_DIR = str(folder)


_choose()
