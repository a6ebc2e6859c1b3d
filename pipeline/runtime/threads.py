"""Number of threads for a node's kernels: the graph's `threads:`, set before every call.

Results must not depend on the machine: a sum over two threads differs in its last bits from a sum over one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_applied: dict[str, int] = {}
_last = (0, 0)


def environment(n: int) -> dict[str, str]:
    """Variables for a new process whose nodes use at most `n` threads; libraries read them when they load."""
    # Passive: waiting threads sleep. A spinning thread takes the core that the other one needs: 2 threads of a detector on
    # 2 cores shared with other processes took 1000 ms per frame instead of 90-150 ms.
    return {name: str(n) for name in _VARIABLES} | {"NUMBA_NUM_THREADS": str(max(n, 1)), "OMP_WAIT_POLICY": "PASSIVE"}


def set_environment(n: int) -> None:
    """The same for this process, where some libraries are already loaded."""
    for name, value in environment(n).items():
        # Numba reads its variable again at every compilation, and refuses a change after it has started its threads.
        if not (name == "NUMBA_NUM_THREADS" and "numba" in sys.modules):
            os.environ.setdefault(name, value)


def apply(n: int) -> None:
    """Set the number in every loaded library; almost free while neither `n` nor the loaded modules change."""
    global _last
    if _last == (n, len(sys.modules)):
        return
    _last = (n, len(sys.modules))
    for name, tell in _TELL.items():
        module = sys.modules.get(name)
        if module is not None and _applied.get(name) != n:
            tell(module, n)
            _applied[name] = n


@contextmanager
def limit(n: int) -> Iterator[None]:
    """Set the number before the call and again after it, for libraries that the call loaded."""
    apply(n)
    yield
    apply(n)


def _cv2(module: Any, n: int) -> None:
    if hasattr(module, "setNumThreads"):  # absent while cv2 is being imported by another thread
        module.setNumThreads(n)


def _numba(module: Any, n: int) -> None:
    if hasattr(module, "set_num_threads"):
        module.set_num_threads(min(n, module.config.NUMBA_NUM_THREADS))


def _torch(module: Any, n: int) -> None:
    if hasattr(module, "set_num_threads"):
        module.set_num_threads(n)


_TELL = {"cv2": _cv2, "numba": _numba, "torch": _torch}
