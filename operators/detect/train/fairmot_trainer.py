"""Train FairMOT: the loop of `pipe train`, its files and its checkpoints.

out  train.yaml         the config, whole
     losses.csv         a row per step          scores.csv   a row per epoch
     checkpoint.pt      everything to go on from
     model.safetensors  the weights to run with (averaged, float16), with what made them
All frames are read before the first step. The same config on the same machine with as many threads gives the same losses, stopped
and resumed or not.
"""

from __future__ import annotations

import copy
import json
import os
import platform
import signal
import time
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import torch
import yaml
from torch import nn

from operators.detect import fairmot_weights
from operators.detect.peaks import Peaks, peaks
from operators.detect.train.common import CsvFile, adamw, load_checkpoint, source_of
from operators.detect.train.fairmot_clips import Clips, batch
from operators.detect.train.fairmot_config import FairmotTrainConfig
from operators.detect.train.fairmot_losses import Losses, Wanted, Weighting, fairmot_loss
from operators.detect.train.fairmot_validate import LEAST_SCORE, Score, judge
from operators.detect.train.schedule import follow, rate
from operators.nets.fairmot import Fairmot, Identities
from pipeline import settings, threads, training
from pipeline.errors import GraphError, InputError, RunError
from pipeline.progress import Progress

_LOSS_COLUMNS = ("step", *Losses._fields, "lr", "objects", "ms")
_FREE_TO_CHANGE = ("device", "threads", "epoch_steps", "valid")  # by a training that goes on
_MAX_BOXES = 128


class FairmotTrainer(training.Trainer):
    Config = FairmotTrainConfig

    def __init__(self, spec: training.TrainSpec, options: training.TrainOptions) -> None:
        config: FairmotTrainConfig = spec.config
        if options.device is not None:
            config = replace(config, device=options.device)
        self.config, self.options, self.spec = config, options, spec
        if config.device == "cuda" and not torch.cuda.is_available():
            raise GraphError(f"device: needs a CUDA device, got none (torch {torch.__version__}); use --device cpu")
        self.device = torch.device(config.device)
        data, valid = config.data, config.valid
        source = source_of(data.driver, data.config, spec.where.child("data"))
        valid_source = None if valid is None else source_of(valid.driver, valid.config, spec.where.child("valid"))
        self._checkpoint = options.out / "checkpoint.pt"
        saved = load_checkpoint(self._checkpoint, config, _FREE_TO_CHANGE) if options.resume else None
        self.clips = Clips(*source, data, config)
        self.valid = None if valid is None or valid_source is None else Clips(*valid_source, valid, config)

        torch.manual_seed(config.seed)
        self.net = Fairmot(config.model).to(self.device)
        self.average = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.classify = Identities(config.model.embedding, self.clips.num_identities).to(self.device)
        self.weighting = Weighting().to(self.device)
        self.optimizer = adamw([self.net, self.classify, self.weighting], config.lr, config.weight_decay)
        self.step, self.trained_s = 0, 0.0
        self.score: Score | None = None
        self._stopped = 0
        if saved is not None:
            self._restore(saved)

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
        finally:
            progress.close()
            for number, handler in handlers.items():
                signal.signal(number, handler)
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
        config = self.config
        curve = CsvFile(self.options.out / "losses.csv", _LOSS_COLUMNS, self.step)
        told = self.step
        try:
            while self.step < last and not self._stopped:
                begun = time.perf_counter()
                lr = rate(config.schedule, self.step, config.steps, config.lr)
                values, objects = self._learn(lr)
                self.step += 1
                spent_s = time.perf_counter() - begun
                self.trained_s += spent_s
                curve.row([self.step, *(f"{v:.9g}" for v in (*values, lr)), objects, f"{1e3 * spent_s:.1f}"])
                progress.update(self.step, f"loss {values[0]:.3f}  lr {lr:.2g}  {1e3 * spent_s:.0f} ms")
                if self.step % config.epoch_steps == 0:
                    self._epoch(progress)
                    told = self.step
            if self.step > told or not self._checkpoint.is_file():
                if self._stopped:
                    self._save()
                else:
                    self._epoch(progress)
        finally:
            curve.close()

    def _learn(self, lr: float) -> tuple[list[float], int]:
        """One step -> the losses, how many objects there were."""
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.net.train()
        drawn = batch(self.clips, config, self.step)
        images, *wanted = (torch.from_numpy(np.ascontiguousarray(array)).to(self.device) for array in drawn)
        losses = fairmot_loss(self.net(images), Wanted(*wanted), self.classify, self.weighting)
        values = torch.stack(losses).detach().tolist()
        if not np.isfinite(values).all():
            raise RunError(
                f"{self.spec.name}: step {self.step + 1}: needs a finite loss, got {values}; a smaller lr? "
                f"The last checkpoint is {self._checkpoint}"
            )
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        parameters = chain(self.net.parameters(), self.classify.parameters(), self.weighting.parameters())
        nn.utils.clip_grad_norm_(parameters, config.clip)
        self.optimizer.step()
        follow(self.average, self.net, config.ema, self.step)
        return values, len(drawn.where)

    @torch.inference_mode()
    def detect(self, image: np.ndarray) -> Peaks:
        maps = self.average(torch.from_numpy(np.ascontiguousarray(image))[None].to(self.device))
        return peaks(maps, 0, _MAX_BOXES, LEAST_SCORE)

    def _epoch(self, progress: Progress) -> None:
        if self.valid is not None:
            self.score = judge(self.valid.frames, self.detect)
            table = CsvFile(self.options.out / "scores.csv", ("step", *Score._fields), self.step - 1)
            table.row([self.step, *(f"{v:.4f}" if isinstance(v, float) else v for v in self.score)])
            table.close()
            progress.say(f"step {self.step}: {self._summary()}")
        self._save()

    def _summary(self) -> str:
        if self.score is None:
            return "not validated"
        ap50, mota, idf1, switches, objects = self.score
        return f"AP50 {ap50:.3f} (of {objects}), MOTA {mota:.3f}, IDF1 {idf1:.3f}, IDS {switches}"

    # ---- files

    def _save(self) -> None:
        state = {
            "config": json.dumps(settings.plain(self.config)),
            "step": self.step,
            "trained_s": self.trained_s,
            "score": None if self.score is None else list(self.score),
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "classify": self.classify.state_dict(),
            "weighting": self.weighting.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        part = self._checkpoint.with_name("checkpoint.pt.part")
        torch.save(state, part)
        os.replace(part, self._checkpoint)
        tensors = {name: tensor.cpu().numpy() for name, tensor in self.average.state_dict().items()}
        fairmot_weights.save(self.options.out / "model.safetensors", self.config.model, tensors, self._facts())

    def _restore(self, saved: dict[str, Any]) -> None:
        try:
            for name in ("net", "average", "classify", "weighting", "optimizer"):
                getattr(self, name).load_state_dict(saved[name])
        except (RuntimeError, KeyError, ValueError) as error:
            said = " ".join(str(error).split())[:200]
            raise InputError(f"{self._checkpoint}: needs the state of this training, got another: {said}; other data?") from None
        self.step, self.trained_s = saved["step"], saved["trained_s"]
        self.score = None if saved["score"] is None else Score(*saved["score"])

    def _facts(self) -> dict[str, str]:
        """What goes into the model's metadata."""
        return {
            "training": json.dumps(settings.plain(self.config)),
            "steps": str(self.step),
            "commit": training.commit(),
            "command": self.options.command,
            "trained_s": f"{self.trained_s:.0f}",
            "machine": f"{self.config.device}, {self.config.threads} threads, {platform.machine()}, torch {torch.__version__}",
            "score": self._summary(),
        }
