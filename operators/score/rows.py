"""What the readers of tracking files share: no id twice in a frame.

Rows are sorted by frame, within a frame in the order of the file; frames of a file may have any order. Rows with a negative id
belong to no track and are left out, as in TrackEval.
"""

from __future__ import annotations

import numpy as np

from operators.textfile import Table


def check_unique(table: Table, frames: np.ndarray, ids: np.ndarray, groups: np.ndarray) -> None:
    """No id twice in one frame and group; rows of group -1 are not checked. Rows may have any order."""
    order = np.lexsort((np.arange(len(ids)), ids, groups, frames))
    order = order[groups[order] >= 0]
    same = np.ones(max(len(order) - 1, 0), bool)
    for key in (frames, ids, groups):
        same &= key[order][1:] == key[order][:-1]
    if same.any():
        row = int(order[1:][same].min())
        first = int(order[int(np.flatnonzero(order == row)[0]) - 1])
        got = f"id {ids[row]} of frame {frames[row]} again, first in line {first + 1}"
        table.refuse(row, "every track id once per frame", got)
