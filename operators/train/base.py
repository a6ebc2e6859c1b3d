"""The training loop of every net: from the config to the exit code.

out  train.yaml         the whole config
     losses.csv         a row per step
     scores.csv         rows per epoch
     checkpoint.pt      everything to go on from
     model.safetensors  the averaged weights, float16, with what made them
The same config on the same machine with as many threads gives the same losses, stopped and resumed or not; with `minutes` the
speed of the machine decides, too.
"""

from __future__ import annotations

import copy
import json
import platform
import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
import yaml
from torch import Tensor, nn

from operators.nets import weights
from operators.train import checkpoint, start
from operators.train.config import StartConfig
from operators.train.csvfile import CsvFile
from operators.train.progress import Progress
from operators.train.schedule import follow, rate
from pipeline import settings, training
from pipeline.errors import GraphError, InputError, RunError
from pipeline.graph import lookup
from pipeline.runtime import threads

_BETAS = (0.9, 0.99)


class Step(NamedTuple):
    """What one step did: its losses, the total first; number of objects or anchors learned from; times [ms] for losses.csv."""

    losses: list[float]
    num: int
    times_ms: tuple[float, ...] = ()


class NetTrainer(training.Trainer):
    """Trains `net` and keeps the average of its weights in `average`.

    A subclass makes its net in __init__, calls `_start_with`, and learns from one batch in `_learn`.

    architecture    of the weight file
    free_to_change  keys that may differ when a training goes on
    columns         of losses.csv: names of the losses, of the count, of further times
    """

    architecture: ClassVar[weights.Architecture]
    free_to_change: ClassVar[tuple[str, ...]] = ("device", "threads", "epoch_steps", "valid", "minutes")
    columns: ClassVar[tuple[tuple[str, ...], str, tuple[str, ...]]]

    net: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer

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
        self._saved = checkpoint.load(self._checkpoint, config, self.free_to_change) if options.resume else None
        self.step, self.trained_s = 0, 0.0
        self._stopped = 0  # number of the signal
        torch.manual_seed(config.seed)

    def _start_with(self, net: nn.Module, *beside: nn.Module, tensors: StartConfig | None = None) -> None:
        """beside: modules that are trained too and not exported; tensors: of a weight file, in which a new training starts."""
        if tensors is not None and self._saved is None:
            start.copy(net, tensors, self.architecture)
        self.net = net.to(self.device)
        self.average = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.optimizer = adamw([self.net, *beside], self.config.lr, self.config.weight_decay)

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
        if config.minutes is not None and self.step < last:
            done += f", the {config.minutes:g} minutes of this training"
        print(f"{self.spec.name}: {done}; {self._summary()}; results in {out}")
        return 0

    def _stop(self, number: int, _frame: Any) -> None:
        if self._stopped:  # the second signal ends the process at once
            raise KeyboardInterrupt
        self._stopped = number

    # ---- the loop

    def _train(self, last: int, progress: Progress) -> None:
        config = self.config
        losses, count, times = self.columns
        curve = CsvFile(self.options.out / "losses.csv", ("step", *losses, "lr", count, "ms", *times), self.step)
        saved = self.step
        try:
            self._begin()
            while self.step < last and not self._stopped and self._progress() < config.steps:
                begun = time.perf_counter()
                lr = rate(config.schedule, self._progress(), config.steps, config.lr)
                done = self._learn(lr)
                follow(self.average, self.net, config.ema, self.step)
                spent_s = time.perf_counter() - begun
                self.step += 1
                self.trained_s += spent_s
                numbers = (f"{v:.9g}" for v in (*done.losses, lr))
                curve.row([self.step, *numbers, done.num, *(f"{v:.1f}" for v in (1e3 * spent_s, *done.times_ms))])
                text = f"loss {done.losses[0]:.3f}  lr {lr:.2g}  {1e3 * spent_s:.0f} ms"
                if config.minutes is not None:
                    text += f"  {self.trained_s / 60:.1f} of {config.minutes:g} min"
                progress.update(self.step, text)
                if self.step % config.epoch_steps == 0:
                    self._epoch(progress)
                    saved = self.step
            if self.step > saved or not self._checkpoint.is_file():
                if self._stopped:
                    self._save()
                else:
                    self._epoch(progress)
        finally:
            curve.close()

    def _progress(self) -> float:
        """The place in the schedule, in steps: this step, or the share of the minutes that is gone, where that is further."""
        steps, minutes = self.config.steps, self.config.minutes
        return self.step if minutes is None else max(self.step, steps * self.trained_s / (60 * minutes))

    def _begin(self) -> None:
        """Start what makes batches, for the batch after `self.step`."""

    def _close(self) -> None:
        """End what `_begin` started."""

    def _learn(self, lr: float) -> Step:
        """One step of `optimizer`."""
        raise NotImplementedError(f"{type(self).__name__}._learn")

    def _set_rate(self, lr: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    def _finite(self, losses: Iterable[Tensor], hint: str) -> list[float]:
        """The losses as numbers. Raises RunError where one is not finite."""
        values: list[float] = torch.stack(list(losses)).detach().tolist()
        if not np.isfinite(values).all():
            raise RunError(
                f"{self.spec.name}: step {self.step + 1}: needs a finite loss, got {values}; {hint} "
                f"The last checkpoint is {self._checkpoint}"
            )
        return values

    def _epoch(self, progress: Progress) -> None:
        if self._valid is not None:
            self._validate()
            progress.say(f"step {self.step}: {self._summary()}")
        self._save()

    def _validate(self) -> None:
        """Score `average` on the scenes of `valid`; rows for scores.csv."""
        raise NotImplementedError(f"{type(self).__name__}._validate")

    def _score_rows(self, columns: tuple[str, ...], rows: Iterable[Iterable[Any]]) -> None:
        """Append the rows of this step to scores.csv."""
        table = CsvFile(self.options.out / "scores.csv", ("step", *columns), self.step - 1)
        for row in rows:
            table.row([self.step, *row])
        table.close()

    def _summary(self) -> str:
        """The scores in a few words."""
        raise NotImplementedError(f"{type(self).__name__}._summary")

    # ---- files

    def _parts(self) -> dict[str, Any]:
        """What has a state_dict, by its name in the checkpoint."""
        return {"net": self.net, "average": self.average, "optimizer": self.optimizer}

    def _state(self) -> dict[str, Any]:
        """Further values of the checkpoint."""
        return {}

    def _save(self) -> None:
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        common = {"step": self.step, "trained_s": self.trained_s}
        checkpoint.save(self._checkpoint, self.config, {**common, **self._state(), **parts})
        path = self.options.out / "model.safetensors"
        weights.save(path, self.architecture, self.config.model, self.average.state_dict(), self._facts())

    def _restore(self, saved: Mapping[str, Any]) -> None:
        try:
            for name, part in self._parts().items():
                part.load_state_dict(saved[name])
        except (RuntimeError, KeyError, ValueError) as error:
            said = " ".join(str(error).split())[:200]
            raise InputError(f"{self._checkpoint}: needs the state of this training, got another: {said}; other data?") from None
        self.step, self.trained_s = saved["step"], saved["trained_s"]

    def _facts(self) -> dict[str, str]:
        """Metadata of the model; a subclass adds its scores."""
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
    decaying: list[Tensor] = [p for p in parameters if p.ndim > 1]
    free: list[Tensor] = [p for p in parameters if p.ndim <= 1]
    groups = [{"params": decaying, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, betas=_BETAS, fused=True)
