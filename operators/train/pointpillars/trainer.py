"""Train PointPillars. Files beside those of every training: epoch-NNNN.png, predictions from above."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from operators.detect.decode import DecodeConfig, decode
from operators.nets.pointpillars import Heads, PointPillars
from operators.nets.pointpillars_config import POINTPILLARS
from operators.streams import Boxes3D
from operators.train.ahead import Ahead
from operators.train.base import NetTrainer, Step
from operators.train.pointpillars import picture, validate
from operators.train.pointpillars.batches import Batch, Batches, Pillarizer
from operators.train.pointpillars.config import TrainConfig
from operators.train.pointpillars.losses import Losses, detection_loss
from operators.train.pointpillars.targets import Assigner
from operators.train.scenes import Scene, Scenes, class_table, min_points
from pipeline import training

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_PANELS = 4


class Inputs(NamedTuple):
    """What a net of pillars takes: pillars (P, K, 4), counts (P,), cells (P, 2), scan (P,) of each pillar, number of scans."""

    pillars: Tensor
    counts: Tensor
    cells: Tensor
    scan: Tensor
    scans: int


class BatchTargets(NamedTuple):
    """labels (B, A); of the Q positive anchors: at (Q,) into B * A, residuals (Q, 7), bins (Q,)."""

    labels: Tensor
    at: Tensor
    residuals: Tensor
    bins: Tensor


class PointPillarsTrainer(NetTrainer):
    Config: ClassVar[type] = TrainConfig
    architecture = POINTPILLARS
    free_to_change = (*NetTrainer.free_to_change, "prefetch")
    columns: ClassVar[tuple[tuple[str, ...], str, tuple[str, ...]]] = (
        ("loss", *Losses._fields[1:]),
        "positives",
        ("wait_ms", "forward_ms", "backward_ms", "read_ms", "make_ms", "assign_ms"),
    )

    def __init__(self, spec: training.TrainSpec, options: training.TrainOptions) -> None:
        super().__init__(spec, options)
        config: TrainConfig = self.config
        self._start_with(self._make_net(), tensors=config.start_from)
        self._norms = [(m, m.momentum or 0.1) for m in self.net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "float16")
        self.position = 0  # in the stream of readings, behind the last batch
        self.scores: dict[str, validate.ClassScore] = {}
        if self._saved is not None:
            self._restore(self._saved)
        self._batches = Batches(*self._data, config)
        self._ahead: Ahead[Batch] | None = None
        self._scenes: list[Scene] | None = None

    # ---- what another net of pillars does in its own way

    def _make_net(self) -> nn.Module:
        return PointPillars(self.config.model)

    def _losses(self, inputs: Inputs, targets: BatchTargets) -> tuple[Tensor, ...]:
        """Of one batch, as in `columns`, the total first. `self._autocast()` holds for the net alone."""
        with self._autocast():
            heads: Heads = self.net(*inputs)
        return detection_loss(*heads, *targets)

    def _final(self, pillars: Tensor, counts: Tensor, cells: Tensor) -> tuple[Tensor, ...]:
        """One scene in `average` -> its heads (1, A, ...): class logits, box residuals against the anchors, direction logits."""
        heads: tuple[Tensor, ...] = self.average(pillars, counts, cells)
        return heads

    # ---- the loop

    def _autocast(self) -> torch.autocast:
        precision = self.config.precision
        return torch.autocast(self.device.type, _DTYPES[precision], enabled=precision != "float32")

    def _begin(self) -> None:
        self._ahead = Ahead(self._batches.stream(self.position), self.config.prefetch)

    def _close(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
        self._batches.close()

    def _learn(self, lr: float) -> Step:
        begun = time.perf_counter()
        config = self.config
        assert self._ahead is not None
        batch = self._ahead.get()
        waited = time.perf_counter()
        self._set_rate(lr)
        self.net.train()
        for norm, momentum in self._norms:  # plain means at first: one hundredth a step would keep the initial 1 for long
            norm.momentum = max(momentum, 1 / (self.step + 1))
        pillars, counts, cells, scan, labels, at, residuals, bins = (
            torch.from_numpy(array).to(self.device, non_blocking=True) for array in batch[:8]
        )
        inputs, targets = Inputs(pillars, counts, cells, scan, config.batch), BatchTargets(labels, at, residuals, bins)
        losses = self._losses(inputs, targets)
        values = self._finite(losses, "a smaller lr, or precision float32?")
        computed = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(losses[0]).backward()
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.net.parameters(), config.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.position = batch.position
        spent_s = (waited - begun, computed - waited, time.perf_counter() - computed)
        return Step(values, len(batch.at), (*(1e3 * s for s in spent_s), batch.read_ms, batch.make_ms, batch.assign_ms))

    # ---- every epoch

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
        rows = [(name, *(f"{value:.4f}" for value in score[:3]), score.objects) for name, score in self.scores.items()]
        self._score_rows(("class", "ap_2m", "recall", "precision", "objects"), rows)

    @torch.inference_mode()
    def _detect(self, scene: Scene, pillarize: Pillarizer, anchors: np.ndarray) -> Boxes3D:
        """Labels are the model's classes."""
        config = self.config
        pillars, counts, cells = (torch.from_numpy(np.array(part)).to(self.device) for part in pillarize(scene.points))
        with self._autocast():
            heads = self._final(pillars, counts.long(), cells.long())
        cls, box, direction = (head[0].float().cpu().numpy() for head in heads)
        labels, offset_rad = np.arange(len(config.model.class_names)), config.model.direction_offset_rad
        return decode(cls, box, direction, anchors, labels, DecodeConfig(), offset_rad=offset_rad)

    # ---- files

    def _parts(self) -> dict[str, Any]:
        return {**super()._parts(), "scaler": self.scaler}

    def _state(self) -> dict[str, Any]:
        scores = {name: list(score) for name, score in self.scores.items()}
        return {"position": self.position, "scores": scores, "random": torch.get_rng_state()}

    def _restore(self, saved: Mapping[str, Any]) -> None:
        super()._restore(saved)
        torch.set_rng_state(saved["random"])
        self.position = saved["position"]
        self.scores = {name: validate.ClassScore(*values) for name, values in saved["scores"].items()}

    def _facts(self) -> dict[str, str]:
        scores = {
            name: {"ap_2m": None if math.isnan(s.ap) else round(s.ap, 4), "objects": s.objects} for name, s in self.scores.items()
        }
        return {**super()._facts(), "scores": json.dumps(scores)}
