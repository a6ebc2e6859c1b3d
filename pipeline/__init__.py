"""Pipe's engine: graphs of operators, frames without copies, a ledger that balances.

From Python: `pipeline.run(graph, overrides)`, `pipeline.replay(recording, graph)`, `pipeline.frames(graph, "node.port")`; see
api.py. They are imported at first use: every worker imports this package, and needs none of them.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing costs every process 5 ms
if TYPE_CHECKING:
    from pipeline.api import frames, replay, run

__all__ = ["frames", "replay", "run"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pipeline import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
