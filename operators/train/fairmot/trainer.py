"""Train FairMOT. All frames are read before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import nn

from operators.detect.peaks import Peaks, peaks
from operators.nets.fairmot import Fairmot, Identities
from operators.nets.fairmot_config import FAIRMOT
from operators.train.base import NetTrainer, Step
from operators.train.fairmot.clips import Clips, batch
from operators.train.fairmot.config import FairmotTrainConfig
from operators.train.fairmot.losses import Losses, Wanted, Weighting, fairmot_loss
from operators.train.fairmot.validate import LEAST_SCORE, Score, judge
from pipeline import training

_MAX_BOXES = 128


class FairmotTrainer(NetTrainer):
    Config = FairmotTrainConfig
    architecture = FAIRMOT
    columns = (Losses._fields, "objects", ())

    def __init__(self, spec: training.TrainSpec, options: training.TrainOptions) -> None:
        super().__init__(spec, options)
        config: FairmotTrainConfig = self.config
        self.clips = Clips(*self._data, config.data, config)
        self.valid = None if config.valid is None or self._valid is None else Clips(*self._valid, config.valid, config)
        net = Fairmot(config.model)
        self.classify = Identities(config.model.embedding, self.clips.num_identities).to(self.device)
        self.weighting = Weighting().to(self.device)
        self._start_with(net, self.classify, self.weighting)
        self.score: Score | None = None
        if self._saved is not None:
            self._restore(self._saved)

    def _learn(self, lr: float) -> Step:
        config = self.config
        self._set_rate(lr)
        self.net.train()
        drawn = batch(self.clips, config, self.step)
        images, *wanted = (torch.from_numpy(np.ascontiguousarray(array)).to(self.device) for array in drawn)
        losses = fairmot_loss(self.net(images), Wanted(*wanted), self.classify, self.weighting)
        values = self._finite(losses, "a smaller lr?")
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        parameters = chain(self.net.parameters(), self.classify.parameters(), self.weighting.parameters())
        nn.utils.clip_grad_norm_(parameters, config.clip)
        self.optimizer.step()
        return Step(values, len(drawn.where))

    @torch.inference_mode()
    def detect(self, image: np.ndarray) -> Peaks:
        maps = self.average(torch.from_numpy(np.ascontiguousarray(image))[None].to(self.device))
        return peaks(maps, 0, _MAX_BOXES, LEAST_SCORE)

    def _validate(self) -> None:
        assert self.valid is not None
        self.score = judge(self.valid.frames, self.detect)
        self._score_rows(Score._fields, [[f"{v:.4f}" if isinstance(v, float) else v for v in self.score]])

    def _summary(self) -> str:
        if self.score is None:
            return "not validated"
        ap50, mota, idf1, switches, objects = self.score
        return f"AP50 {ap50:.3f} (of {objects}), MOTA {mota:.3f}, IDF1 {idf1:.3f}, IDS {switches}"

    # ---- files

    def _parts(self) -> dict[str, Any]:
        return {**super()._parts(), "classify": self.classify, "weighting": self.weighting}

    def _state(self) -> dict[str, Any]:
        return {"score": None if self.score is None else list(self.score)}

    def _restore(self, saved: Mapping[str, Any]) -> None:
        super()._restore(saved)
        self.score = None if saved["score"] is None else Score(*saved["score"])

    def _facts(self) -> dict[str, str]:
        return {**super()._facts(), "score": self._summary()}
