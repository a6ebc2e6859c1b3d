"""One try of one item: what its process gets, and what it leaves in its folder."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.outside import parse_json

RECORD, LOG = "item.json", "item.log"
"""In the folder of an item, beside the files of its run: how the run ended, with the key; what its process printed."""


@dataclass(frozen=True)
class Job:
    """item    its name, for `{item}`
    folder     of this try, absolute, not there yet; it becomes DIR/ITEM when the batch takes it
    tried      number of this try, from 1
    sets       the overrides of this item
    threads    most threads of one node
    variables  of the environment, that the graph files name
    """

    item: str
    folder: str
    tried: int
    graph: str
    sets: dict[str, Any]
    frames: int | None
    threads: int
    cwd: str
    variables: dict[str, str]
    key: dict[str, str]

    def text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Job:
        return cls(**json.loads(text))


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Whole or not at all. Raises OSError."""
    path = folder / RECORD
    beside = path.with_name(f".{RECORD}.{os.getpid()}")
    with beside.open("w", encoding="utf-8") as file:
        file.write(json.dumps(record, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def read_record(folder: Path) -> dict[str, Any] | None:
    """None where there is none that can be read."""
    try:
        record = parse_json((folder / RECORD).read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("exit"), str) else None
