"""What every trainer of a detector needs: its source, its optimizer, its checkpoint and its tables."""

from __future__ import annotations

import csv
import json
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline import lookup, settings
from pipeline.errors import GraphError, InputError

_BETAS = (0.9, 0.99)


def source_of(driver: str, config: Mapping[str, Any], where: settings.Where) -> tuple[Any, Any]:
    """Driver class and its config. Raises GraphError naming file and line."""
    try:
        cls = lookup.driver_class(driver)
    except GraphError as error:
        raise where.child("driver").error(str(error)) from error
    return cls, settings.build(cls.Config, config, where.child("config"))


def adamw(nets: Iterable[nn.Module], lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019); biases and batch norm do not decay."""
    parameters = [p for net in nets for p in net.parameters()]
    plain: list[Tensor] = [p for p in parameters if p.ndim > 1]
    free: list[Tensor] = [p for p in parameters if p.ndim <= 1]
    groups = [{"params": plain, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, betas=_BETAS, fused=True)


def load_checkpoint(path: Path, config: Any, free_to_change: Container[str]) -> dict[str, Any]:
    """A checkpoint of the same training, whose top keys may differ where they are free to. Raises InputError or GraphError."""
    if not path.is_file():
        raise InputError(f"--resume: needs {path}, got no such file; leave --resume out to start")
    try:
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen kinds for a damaged file
        raise InputError(f"{path}: cannot read the checkpoint: {type(error).__name__}: {str(error).splitlines()[0]}") from None
    before, now = _flat(json.loads(saved["config"])), _flat(settings.plain(config))
    for key in [*now, *(k for k in before if k not in now)]:
        if key.partition(".")[0] not in free_to_change and before.get(key) != now.get(key):
            raise GraphError(f"--resume: {key}: needs {before.get(key)} as in {path}, got {now.get(key)}")
    return saved


def _flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """Nested keys with dots -> values."""
    out: dict[str, Any] = {}
    for key, value in config.items():
        out |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return out


class CsvFile:
    """Rows that are in the file once they are written; those of steps after `step` (of a training that was killed) are cut."""

    def __init__(self, path: Path, columns: tuple[str, ...], step: int) -> None:
        rows: list[list[str]] = []
        with suppress(FileNotFoundError), path.open(newline="") as file:
            rows = [row for row in csv.reader(file) if row and row[0].isdigit() and int(row[0]) <= step]
        self._file = path.open("w", newline="", buffering=1)
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerows([columns, *rows])

    def row(self, values: list[Any]) -> None:
        self._writer.writerow(values)

    def close(self) -> None:
        self._file.close()
