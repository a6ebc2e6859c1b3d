"""What the faults of `--inject` and `inject:` share: their ports, the check of a level.

A fault is an operator of this folder, `inject.NAME`. Its text sets `level`, the engine sets `seed` and calls `process` with the
one port that fits the stream, for the frames within the fault's window.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from operators.streams import GREY, IMAGE, THERMAL_RAW
from pipeline.schema import optional

PICTURES = {"image": IMAGE, "grey": GREY, "thermal_raw": THERMAL_RAW}
PICTURES_IN = {port: optional(schema) for port, schema in PICTURES.items()}


def changed(pictures: Mapping[str, np.ndarray | None], change: Callable[[np.ndarray], np.ndarray]) -> dict[str, np.ndarray]:
    """The pictures that came, by port, each changed."""
    return {port: change(picture) for port, picture in pictures.items() if picture is not None}


def require_level(level: float, least: float, most: float) -> None:
    """Raises ValueError."""
    if not least <= level <= most:
        raise ValueError(f"level: needs {least:g} .. {most:g}, got {level:g}")
