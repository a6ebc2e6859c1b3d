"""Return the input: one copy, into this node's own pool. `op: test.pass`.

in   in    any frame
out  out   the same
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.operator import Operator
from pipeline.schema import ANY


@dataclass(frozen=True)
class PassConfig:
    max_mb: float = 8.0  # largest frame


class Pass(Operator):
    Config, inputs, outputs = PassConfig, {"in": ANY}, {"out": ANY}

    @classmethod
    def slot_bytes(cls, config: PassConfig) -> dict[str, int]:
        return {"out": int(config.max_mb * 1e6)}

    def process(self, **inputs: Any) -> Any:
        return inputs["in"]
