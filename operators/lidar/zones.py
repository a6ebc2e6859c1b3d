"""Near and far zone of a range: two voxelizers of one scan, each with its own `range_m`.

    near: {op: lidar.voxelize, inputs: {points: scans.points}, config: {range_m: [0, -39.68, -3, 34.56, 39.68, 1]}}
    far:  {op: lidar.voxelize, inputs: {points: scans.points}, config: {range_m: [34.56, -39.68, -3, 69.12, 39.68, 1]}}

Of the 432 cells of 0.16 m from 0 to 69.12 m: share 0.5 -> 216 near, 216 far; 0.33 -> 144, 288; 0.24 -> 104, 328.
No point is in both zones. The last float32 before the border may be in neither: the near zone rounds its cell up.
"""

from __future__ import annotations

import math
from typing import NamedTuple

Range = tuple[float, float, float, float, float, float]


class Zones(NamedTuple):
    """range_m of both: x0 y0 z0 x1 y1 z1 [m]"""

    near: Range
    far: Range


def split_range(range_m: Range, cell_m: tuple[float, float], share: float, multiple: int = 8) -> Zones:
    """Splits along x. The near zone gets about `share` of the cells. Both counts are divisible by `multiple`: nets have strides.

    Raises ValueError if that is impossible.
    """
    x0, y0, z0, x1, y1, z1 = range_m
    cells = round((x1 - x0) / cell_m[0])
    if cells % multiple:
        raise ValueError(
            f"range_m: needs a multiple of {multiple} cells along x, got {cells} from {x0} to {x1} in cells of {cell_m[0]} m"
        )
    near = multiple * math.floor(share * cells / multiple + 0.5)
    if not 0 < near < cells:
        raise ValueError(f"share: needs {multiple} or more of {cells} cells in each zone, got {share:g}: {near} near")
    border = round(x0 + near * cell_m[0], 9)  # 34.56, not 34.560000000000002
    return Zones((x0, y0, z0, border, y1, z1), (border, y0, z0, x1, y1, z1))
