"""The origin of large coordinates: float32 keeps millimetres up to 16 km, a national grid counts thousands of kilometres."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from drivers.clouds import formats


def first_point(files: list[Path], bin_columns: int, unit_m: float, max_rounding_m: float) -> np.ndarray:
    """(3,) in the files' unit and axes: the first finite point, in whole numbers, where float32 is too coarse for it, else 0.

    Files of float32 have nothing to lose: 0.
    """
    for path in files:
        found = formats.survey(path, bin_columns)
        if not found.num:
            continue
        if not is_finer(np.result_type(*(found.columns[axis].dtype for axis in "xyz")), found.data):
            break
        xyz = formats.read(path, bin_columns).xyz.astype(np.float64)
        finite = np.flatnonzero(np.isfinite(xyz).all(1))
        if len(finite):
            point = xyz[finite[0]]
            return np.where(rounding(point * unit_m) <= max_rounding_m, 0.0, np.rint(point))
    return np.zeros(3)


def is_finer(dtype: np.dtype, data: str = "") -> bool:
    """Has it numbers that float32 has not? Text has as many digits as it likes."""
    return data == "ascii" or not np.can_cast(dtype, np.float32)


def rounding(values: np.ndarray) -> np.ndarray:
    """What float32 may change of each value; NaN where it cannot hold it."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.abs(np.spacing(values.astype(np.float32)).astype(np.float64)) / 2
