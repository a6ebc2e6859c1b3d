"""What every trainer of a detector needs: its source, its optimizer, its loop, its checkpoint and its tables."""

from __future__ import annotations

import csv
import json
import os
import platform
import signal
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
import yaml
from torch import Tensor, nn

from pipeline import settings, training
from pipeline.errors import GraphError, InputError, RunError
from pipeline.graph import lookup
from pipeline.runtime import threads
from pipeline.watch.progress import Progress

_BETAS = (0.9, 0.99)


class DetectorTrainer(training.Trainer):
    """From the config to the exit code, whatever is learnt: signals, threads, the checkpoint, the model's record.

    A subclass says which keys a training that goes on may change, makes its nets in __init__, and learns in `_train`.
    """

    free_to_change: ClassVar[tuple[str, ...]]

    def __init__(self, spec: training.TrainSpec, options: training.TrainOptions) -> None:
        config = spec.config if options.device is None else replace(spec.config, device=options.device)
        self.config, self.options, self.spec = config, options, spec
        if config.device == "cuda" and not torch.cuda.is_available():
            raise GraphError(f"device: needs a CUDA device, got none (torch {torch.__version__}); use --device cpu")
        self.device = torch.device(config.device)
        data, valid = config.data, config.valid
        self._data = source_of(data.driver, data.config, spec.where.child("data"))
        self._valid = None if valid is None else source_of(valid.driver, valid.config, spec.where.child("valid"))
        self._checkpoint = options.out / "checkpoint.pt"
        self._saved = load_checkpoint(self._checkpoint, config, self.free_to_change) if options.resume else None
        self.step, self.trained_s = 0, 0.0
        self._stopped = 0  # by this signal
        torch.manual_seed(config.seed)

    def run(self) -> int:
        config, out = self.config, self.options.out
        (out / training.RECORD).write_text(yaml.safe_dump(settings.plain(config), sort_keys=False), encoding="utf-8")
        last = min(config.steps, self.options.steps or config.steps)
        progress = Progress(self.spec.name, self.step, last, self.options.quiet)
        handlers = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with threads.limit(config.threads):
                torch.set_num_threads(config.threads)
                self._train(last, progress)
        except InputError as error:  # of a driver, while it runs
            raise RunError(str(error)) from error
        finally:
            progress.close()
            for number, handler in handlers.items():
                signal.signal(number, handler)
            self._close()
        if self._stopped:
            command = f"pipe train {self.spec.where.file} --resume --out {out}"
            print(f"stopped after step {self.step} of {config.steps}; go on with: {command}")
            return 128 + self._stopped
        done = f"{self.step} of {config.steps} steps in {self.trained_s:.0f} s"
        print(f"{self.spec.name}: {done}; {self._summary()}; results in {out}")
        return 0

    def _stop(self, number: int, _frame: Any) -> None:
        if self._stopped:  # asked twice: now
            raise KeyboardInterrupt
        self._stopped = number

    def _train(self, last: int, progress: Progress) -> None:
        raise NotImplementedError(f"{type(self).__name__}._train")

    def _summary(self) -> str:
        """How good it is, in a few words."""
        raise NotImplementedError(f"{type(self).__name__}._summary")

    def _close(self) -> None:
        """End what the training reads from."""

    def _keep(self, state: Mapping[str, Any]) -> None:
        """The checkpoint, whole or not at all."""
        common = {"config": json.dumps(settings.plain(self.config)), "step": self.step, "trained_s": self.trained_s}
        part = self._checkpoint.with_name("checkpoint.pt.part")
        torch.save({**common, **state}, part)
        os.replace(part, self._checkpoint)

    def _facts(self) -> dict[str, str]:
        """What goes into the model's metadata; a subclass adds its scores."""
        return {
            "training": json.dumps(settings.plain(self.config)),
            "steps": str(self.step),
            "seed": str(self.config.seed),
            "commit": training.commit(),
            "command": self.options.command,
            "trained_s": f"{self.trained_s:.0f}",
            "machine": f"{self.config.device}, {self.config.threads} threads, {platform.machine()}, torch {torch.__version__}",
        }


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
