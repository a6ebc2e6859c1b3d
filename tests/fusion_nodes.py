"""A sink for the graphs of fuse.gate, named in graphs as `fusion_nodes:Weighed`."""

import zlib

from pipe_nodes import Notes

from operators.streams import BOXES2D, HEALTH, MODALITIES, REASONS, WEIGHTS, Boxes2D
from pipeline.schema import optional


class Weighed(Notes):
    """Writes per frame: weights by modality, what is not usable and why, checksums of the boxes and of those of other nodes."""

    inputs = {
        "boxes2d": BOXES2D,
        "weights": WEIGHTS,
        "health": optional(HEALTH),
        "image_alone": optional(BOXES2D),
        "thermal_alone": optional(BOXES2D),
    }

    def process(self, boxes2d, weights, health=None, image_alone=None, thermal_alone=None):
        facts = self.meta.get("health", {})
        self.note(
            weights=dict(zip(self.meta["weights"][MODALITIES], weights.tolist(), strict=True)),
            dead=[] if health is None else [n for n, ok in zip(facts[MODALITIES], health.usable, strict=True) if not ok],
            reasons=facts.get(REASONS, []),
            boxes2d=checksum(boxes2d),
            image_alone=checksum(image_alone),
            thermal_alone=checksum(thermal_alone),
        )


def checksum(boxes: Boxes2D | None) -> int | None:
    return None if boxes is None else zlib.crc32(b"".join(array.tobytes() for array in boxes))


class Judged(Notes):
    """Writes per frame why a modality is not healthy."""

    inputs = {"health": HEALTH}

    def process(self, health):
        self.note(reasons=self.meta["health"][REASONS])
