"""What computes a net: one module per library, each with an implementation of `Net`. A node's `open()` imports only its own.

The seam lies around the whole net of a node: sensor arrays in (pillars, pictures), finished boxes out. So a runtime may choose
which part runs on which device, and an engine is compared with another by the arrays that the node sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np


class Net(Protocol):
    """A loaded net."""

    def run(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Inputs by name -> outputs by name. The inputs may be read-only; the outputs belong to the caller."""
        ...
