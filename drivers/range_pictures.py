"""Scans of another driver as pictures with panoptic truth: for training of nets that take pictures, such as segment.efficientps.

out  image           (H, W, 3) uint8  range, z and intensity of each pixel (operators/lidar/range_picture.py)
     panoptic_truth  PANOPTIC         of its pixels: each shows its nearest point (operators/lidar/range_truth.py)
     facts           class_names, things, of the truth

`driver` has the ports points and point_classes_truth, point_ids_truth or point_ids, and optionally point_rings, which are then
the rows. Items, stamps and order are its own. A scan without truth has no picture. Empty scan: black, all void.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from operators.lidar.range_image import Projection, RangeImageConfig
from operators.lidar.range_picture import RangePictureConfig, as_picture
from operators.lidar.range_truth import learnt_picture
from operators.streams import CLASS_NAMES, IMAGE, MAX_CLASSES, MAX_INSTANCES, PANOPTIC, names_of, things_of
from pipeline import settings
from pipeline.errors import InputError
from pipeline.frame import Reading
from pipeline.graph import lookup
from pipeline.operator import Found, Source, prepare

_CLASSES = "point_classes_truth"


@dataclass(frozen=True, slots=True)
class RangePicturesConfig:
    driver: str = "synthetic.world"
    config: dict[str, Any] = field(default_factory=dict)  # of that driver
    projection: RangeImageConfig = field(default_factory=RangeImageConfig)
    picture: RangePictureConfig = field(default_factory=RangePictureConfig)


def inner(config: RangePicturesConfig) -> tuple[type[Source], Any, frozenset[str]]:
    """The driver, its config, the ports that are read. Raises GraphError, InputError."""
    cls = lookup.driver_class(config.driver)
    own = settings.build(cls.Config, config.config, settings.Where(f"range_pictures: config of {config.driver}"))
    there = cls.outputs_of(own)
    ids = next((port for port in ("point_ids_truth", "point_ids") if port in there), "point_ids")
    needed = {"points", _CLASSES, ids}
    if missing := sorted(needed - set(there)):
        raise InputError(
            f"range_pictures: config.driver: needs a driver with points, {_CLASSES} and point_ids, got {config.driver} without "
            f"{', '.join(missing)}"
        )
    return cls, own, frozenset(needed | ({"point_rings"} & set(there)))


class RangePictures(Source):
    Config, outputs = RangePicturesConfig, {"image": IMAGE, "panoptic_truth": PANOPTIC}

    @classmethod
    def slot_bytes(cls, config: RangePicturesConfig) -> dict[str, int]:
        pixels = config.projection.beams * config.projection.columns
        return {"image": -(-3 * pixels // 64) * 64, "panoptic_truth": 4 * pixels + 20 * (MAX_INSTANCES + MAX_CLASSES) + 5 * 64}

    @classmethod
    def find(cls, config: RangePicturesConfig) -> Found:
        source, own, _ = inner(config)
        return source.find(own)

    @classmethod
    def check_ports(cls, name: str, config: RangePicturesConfig, wanted: frozenset[str], needed: frozenset[str]) -> None:
        source, own, ports = inner(config)
        source.check_ports(f"{name} ({config.driver})", own, ports, ports)

    def open(self, start: int = 0) -> None:
        source, own, self._ports = inner(self.config)
        self._scans = prepare(source(), self.name, own, threads=self.threads, log=self.log, wanted=self._ports)
        self._scans.open(start)
        self.max_disorder_ms = self._scans.max_disorder_ms
        self.project = Projection(self.config.projection)

    def read(self) -> Reading | None:
        reading = self._scans.read()
        if reading is None:
            return None
        values, facts = reading.values, reading.meta.get(_CLASSES, {})
        made = Reading({}, reading.item, reading.stamp_ns, reading.recv_ns)
        ids = next(port for port in self._ports if port.startswith("point_ids"))
        if not {"points", _CLASSES, ids} <= set(values):
            return made
        names = names_of(facts)
        things = [number for number, name in enumerate(names) if name in things_of(facts)]
        scan = np.ascontiguousarray(values["points"]), values[_CLASSES], values[ids]
        try:
            image, truth = learnt_picture(self.project, *scan, things, rings=values.get("point_rings"))
        except ValueError as error:
            raise InputError(f"{self.name}: {reading.item}: {error}") from None
        if "image" in self.wanted:
            made.values["image"] = self.put("image", "image", as_picture(image, self.config.picture))
        if "panoptic_truth" in self.wanted:
            made.values["panoptic_truth"] = truth
            made.meta["panoptic_truth"] = {**facts, CLASS_NAMES: list(names)}
        return made

    def close(self) -> None:
        self._scans.close()
