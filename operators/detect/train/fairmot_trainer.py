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
import time
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import nn

from operators.detect import fairmot_weights
from operators.detect.peaks import Peaks, peaks
from operators.detect.train.common import CsvFile, DetectorTrainer, adamw
from operators.detect.train.fairmot_clips import Clips, batch
from operators.detect.train.fairmot_config import FairmotTrainConfig
from operators.detect.train.fairmot_losses import Losses, Wanted, Weighting, fairmot_loss
from operators.detect.train.fairmot_validate import LEAST_SCORE, Score, judge
from operators.detect.train.schedule import follow, rate
from operators.nets.fairmot import Fairmot, Identities
from pipeline import training
from pipeline.errors import InputError, RunError
from pipeline.watch.progress import Progress

_LOSS_COLUMNS = ("step", *Losses._fields, "lr", "objects", "ms")
_MAX_BOXES = 128


class FairmotTrainer(DetectorTrainer):
    Config = FairmotTrainConfig
    free_to_change = ("device", "threads", "epoch_steps", "valid")

    def __init__(self, spec: training.TrainSpec, options: training.TrainOptions) -> None:
        super().__init__(spec, options)
        config: FairmotTrainConfig = self.config
        self.clips = Clips(*self._data, config.data, config)
        self.valid = None if config.valid is None or self._valid is None else Clips(*self._valid, config.valid, config)
        self.net = Fairmot(config.model).to(self.device)
        self.average = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.classify = Identities(config.model.embedding, self.clips.num_identities).to(self.device)
        self.weighting = Weighting().to(self.device)
        self.optimizer = adamw([self.net, self.classify, self.weighting], config.lr, config.weight_decay)
        self.score: Score | None = None
        if self._saved is not None:
            self._restore(self._saved)

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
            "score": None if self.score is None else list(self.score),
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "classify": self.classify.state_dict(),
            "weighting": self.weighting.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        self._keep(state)
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
        return {**super()._facts(), "score": self._summary()}
