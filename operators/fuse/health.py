"""Is each camera of a pair fit for use?        Algorithm: sensor_faults.py, picture_facts.py

in   image    IMAGE   optional: the camera's picture, warped into the thermal frame (fuse.align)
     thermal  GREY    optional: the thermal picture
out  health   HEALTH  a row per connected input, image first: how surely it has each of SENSOR_FAULTS, 0..1; is it usable
     facts    modalities  names of the rows
              reasons     a line per fault that scores more than 0.5, such as `thermal: frozen for 5 frames`
`sync: optional` of the graph lets sets pass that lack one of the two: that one is missing. too_old compares the stamps in a set.
State: each modality's past, begun anew with each sequence.   Empty picture: blank.   Same input: same output.

    health:
      op: fuse.health
      inputs: {image: align.image, thermal: flir.thermal}
      sync: {policy: nearest, trigger: thermal, tolerance_ms: 300, optional: [image]}
      config: {max_age_ms: 150, usable: {noise: 0.9}}
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from operators.fuse.sensor_faults import HealthConfig, Judge, Seen
from operators.streams import GREY, HEALTH, IMAGE, MODALITIES, REASONS, SENSOR_FAULTS, Health
from pipeline.operator import Operator
from pipeline.schema import optional


class FuseHealth(Operator):
    Config = HealthConfig
    inputs, outputs = {"image": optional(IMAGE), "thermal": optional(GREY)}, {"health": HEALTH}
    tunable = tuple(field.name for field in fields(HealthConfig))

    def open(self) -> None:
        self.judge, self.sequence = Judge(self.config), ""
        self.reconfigured(self.config, self.config)
        for writeable in (True, False):  # compile before the first frame, for pictures as they come
            pictures = [np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32), np.uint8)]
            for picture in pictures:
                picture[::4] = 90
                picture.flags.writeable = writeable
            Judge(self.config).step({str(k): Seen(picture, 0, 0.0) for k, picture in enumerate(pictures)})

    def reconfigured(self, old: HealthConfig, new: HealthConfig) -> None:
        self.judge.config = new
        self.limits = np.array([getattr(new.usable, fault) for fault in SENSOR_FAULTS], np.float32)

    def process(self, image: np.ndarray | None = None, thermal: np.ndarray | None = None) -> Health:
        if self.header.sequence != self.sequence:
            self.judge, self.sequence = Judge(self.config), self.header.sequence
        given = {"image": image, "thermal": thermal}
        names = [name for name, picture in given.items() if picture is not None or name in self.missing]
        newest_ns = max((header.stamp_ns for header in self.headers.values()), default=self.header.stamp_ns)
        seen: dict[str, Seen | None] = {}
        for name in names:
            picture = given[name]
            header = self.headers.get(name, self.header)
            age_ms = (newest_ns - header.stamp_ns) / 1e6
            seen[name] = None if picture is None else Seen(picture, header.frame_id, age_ms)
        scores, reasons = self.judge.step(seen)
        usable = np.asarray((scores <= self.limits).all(axis=1))
        self.describe("health", **{MODALITIES: names, REASONS: reasons})
        return Health(scores, usable)
