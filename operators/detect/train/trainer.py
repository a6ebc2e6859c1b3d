"""Train PointPillars: the loop of `pipe train`, its files and its checkpoints.

out  train.yaml         the config, whole
     losses.csv         a row per step          scores.csv   a row per epoch and class
     epoch-NNNN.png     predictions from above  checkpoint.pt  everything to go on from
     model.safetensors  the weights to run with (averaged, float16), with what made them
The same config on the same machine with as many threads gives the same losses, stopped and resumed or not.
"""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from operators.detect import weights
from operators.detect.decode import DecodeConfig, decode
from operators.detect.train import picture, validate
from operators.detect.train.batches import Ahead, Batch, Batches, Pillarizer
from operators.detect.train.common import CsvFile, DetectorTrainer, adamw
from operators.detect.train.config import TrainConfig
from operators.detect.train.losses import detection_loss
from operators.detect.train.scenes import Scene, Scenes, class_table, min_points
from operators.detect.train.schedule import follow, rate
from operators.detect.train.targets import Assigner
from operators.nets.pointpillars import PointPillars
from operators.streams import Boxes3D
from pipeline import training
from pipeline.errors import RunError
from pipeline.watch.progress import Progress

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_LOSS_COLUMNS = ("step", "loss", "cls", "box", "direction", "lr", "positives")
_TIME_COLUMNS = ("ms", "wait_ms", "forward_ms", "backward_ms", "read_ms", "make_ms", "assign_ms")
_SCORE_COLUMNS = ("step", "class", "ap_2m", "recall", "precision", "objects")
_PANELS = 4


class PointPillarsTrainer(DetectorTrainer):
    Config = TrainConfig
    free_to_change = ("device", "threads", "prefetch", "epoch_steps", "valid")

    def __init__(self, spec: training.TrainSpec, options: training.TrainOptions) -> None:
        super().__init__(spec, options)
        config: TrainConfig = self.config
        self.net = PointPillars(config.model).to(self.device)
        self.average = copy.deepcopy(self.net).eval().requires_grad_(False)
        self._norms = [(m, m.momentum or 0.1) for m in self.net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        self.optimizer = adamw([self.net], config.lr, config.weight_decay)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "float16")
        self.position = 0
        self.scores: dict[str, validate.ClassScore] = {}
        if self._saved is not None:
            self._restore(self._saved)
        self._batches = Batches(*self._data, config)
        self._scenes: list[Scene] | None = None

    def _close(self) -> None:
        self._batches.close()

    def _train(self, last: int, progress: Progress) -> None:
        config = self.config
        ahead = Ahead(self._batches.stream(self.position), config.prefetch)
        curve = CsvFile(self.options.out / "losses.csv", _LOSS_COLUMNS + _TIME_COLUMNS, self.step)
        told = self.step
        try:
            since = time.perf_counter()
            while self.step < last and not self._stopped:
                batch = ahead.get()
                waited = time.perf_counter()
                lr = rate(config.schedule, self.step, config.steps, config.lr)
                losses, forward_s = self._learn(batch, lr)
                now = time.perf_counter()
                self.step += 1
                self.position = batch.position
                self.trained_s += now - since
                spent = [now - since, waited - since, forward_s, now - waited - forward_s]
                numbers = [1e3 * s for s in spent] + [batch.read_ms, batch.make_ms, batch.assign_ms]
                curve.row([self.step, *(f"{v:.9g}" for v in (*losses, lr)), len(batch.at), *(f"{v:.1f}" for v in numbers)])
                progress.update(self.step, f"loss {losses[0]:.3f}  lr {lr:.2g}  {1e3 * spent[0]:.0f} ms")
                if self.step % config.epoch_steps == 0:
                    self._epoch(progress)
                    told = self.step
                since = time.perf_counter()
            if self.step > told or not self._checkpoint.is_file():
                if self._stopped:
                    self._save()
                else:
                    self._epoch(progress)
        finally:
            curve.close()
            ahead.close()

    def _learn(self, batch: Batch, lr: float) -> tuple[list[float], float]:
        """One step -> total, class, box, direction loss, and how long the way forward took [s]."""
        begun = time.perf_counter()
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.net.train()
        for norm, momentum in self._norms:  # plain means at first: one hundredth a step would keep the initial 1 for long
            norm.momentum = max(momentum, 1 / (self.step + 1))
        pillars, counts, cells, scan, labels, at, residuals, bins = (
            torch.from_numpy(array).to(self.device, non_blocking=True) for array in batch[:8]
        )
        with torch.autocast(self.device.type, _DTYPES[config.precision], enabled=config.precision != "float32"):
            heads = self.net(pillars, counts, cells, scan, config.batch)
        losses = detection_loss(heads[0], heads[1], heads[2], labels, at, residuals, bins)
        values = torch.stack(losses).detach().tolist()
        if not np.isfinite(values).all():
            raise RunError(
                f"{self.spec.name}: step {self.step + 1}: needs a finite loss, got {values}; a smaller lr, or precision float32?"
                f" The last checkpoint is {self._checkpoint}"
            )
        forward_s = time.perf_counter() - begun
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(losses.total).backward()
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.net.parameters(), config.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        follow(self.average, self.net, config.ema, self.step)
        return values, forward_s

    # ---- every epoch

    def _epoch(self, progress: Progress) -> None:
        if self._valid is not None:
            self._validate()
            progress.say(f"step {self.step}: {self._summary()}")
        self._save()

    def _summary(self) -> str:
        if not self.scores:
            return "not validated"
        return "AP at 2 m " + ", ".join(f"{name} {score.ap:.3f} (of {score.objects})" for name, score in self.scores.items())

    def _validate(self) -> None:
        config = self.config
        assert config.valid is not None and self._valid is not None
        names, model = config.model.class_names, config.model
        if self._scenes is None:
            table = class_table(names, config.classes)
            scenes = Scenes(*self._valid, replace(config.valid, shuffle=False), table, config.seed)
            least = min_points(config.valid, names)
            self._scenes = list(validate.keep(scenes, config.valid.scenes, model.range_m, least))
            scenes.close()
        pillarize, anchors = Pillarizer(model), Assigner(model).anchors
        judged: dict[str, list[validate.Judged]] = {name: [] for name in names}
        panels: list[np.ndarray] = []
        for scene in self._scenes:
            found = self._detect(scene, pillarize, anchors)
            for cls, name in enumerate(names):
                judged[name].append(validate.judge(found, scene, cls))
            if len(panels) < _PANELS:
                panels.append(picture.draw(scene, found, names, model.range_m))
        self.scores = {name: validate.score(of_class) for name, of_class in judged.items()}
        picture.save(self.options.out / f"epoch-{-(-self.step // config.epoch_steps):04d}.png", panels)
        table_file = CsvFile(self.options.out / "scores.csv", _SCORE_COLUMNS, self.step - 1)
        for name, score in self.scores.items():
            table_file.row([self.step, name, *(f"{value:.4f}" for value in score[:3]), score.objects])
        table_file.close()

    @torch.inference_mode()
    def _detect(self, scene: Scene, pillarize: Pillarizer, anchors: np.ndarray) -> Boxes3D:
        """Labels are the model's classes."""
        config = self.config
        pillars, counts, cells = (torch.from_numpy(np.array(part)).to(self.device) for part in pillarize(scene.points))
        with torch.autocast(self.device.type, _DTYPES[config.precision], enabled=config.precision != "float32"):
            heads = self.average(pillars, counts.long(), cells.long())
        cls, box, direction = (head[0].float().cpu().numpy() for head in heads)
        return decode(cls, box, direction, anchors, np.arange(len(config.model.class_names)), DecodeConfig())

    # ---- files

    def _save(self) -> None:
        state = {
            "position": self.position,
            "scores": {name: list(score) for name, score in self.scores.items()},
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": torch.get_rng_state(),
        }
        self._keep(state)
        weights.save(self.options.out / "model.safetensors", self.config.model, self.average.state_dict(), self._facts())

    def _restore(self, saved: dict[str, Any]) -> None:
        self.net.load_state_dict(saved["net"])
        self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if saved["scaler"]:
            self.scaler.load_state_dict(saved["scaler"])
        torch.set_rng_state(saved["random"])
        self.step, self.position, self.trained_s = saved["step"], saved["position"], saved["trained_s"]
        self.scores = {name: validate.ClassScore(*values) for name, values in saved["scores"].items()}

    def _facts(self) -> dict[str, str]:
        scores = {
            name: {"ap_2m": None if math.isnan(s.ap) else round(s.ap, 4), "objects": s.objects} for name, s in self.scores.items()
        }
        return {**super()._facts(), "scores": json.dumps(scores)}
