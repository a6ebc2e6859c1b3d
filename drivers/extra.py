"""The optional package open3d: loaded when a node first needs it, never at import (0.8 s, 105 MiB)."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from pipeline.errors import InputError


def need_open3d(who: str) -> None:
    """Raises InputError naming the extra if the package is not installed; does not load it."""
    if importlib.util.find_spec("open3d") is None:
        raise InputError(f"{who}: needs open3d, which is not installed; pip install 'perception-pipe[open3d]'")


def load_open3d(who: str) -> Any:
    """The module, with its own warnings silenced: the callers report what is wrong."""
    need_open3d(who)
    try:
        open3d = importlib.import_module("open3d")
    except ImportError as error:  # a bare machine lacks libusb-1.0.so.0
        reason = " ".join(str(error).split())
        raise InputError(
            f"{who}: needs open3d, which is installed but cannot be imported: {reason}; "
            "apt-get install libusb-1.0-0 libgl1 libegl1 libx11-6?"
        ) from error
    open3d.utility.set_verbosity_level(open3d.utility.VerbosityLevel.Error)
    return open3d
