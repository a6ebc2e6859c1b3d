"""Point labels as SemanticKITTI results: DIR/<node>/sequences/SS/predictions/NNNNNN.label, a file per scan.

in   point_classes  POINT_CLASSES  with the fact class_names
     point_ids      POINT_IDS      optional, of the same points; not connected: no instances
     points         POINTS         optional, of the same points: written beside, as velodyne/NNNNNN.bin
A label is instance << 16 | label, uint32 (operators/semantickitti.py). Classes are found by their names; `classes` gives the
name there of a class that has another one, such as Pedestrian: person. 255 and "unlabeled" become 0. Ids become instances
1, 2, .. in the order in which a sequence has them; instances.txt beside holds a line "instance id" of each.
Sequence and number come from the item ("08/000134"); items without a sequence go to 0000.
State: the ids of each sequence; a restart reads them from its files.   Empty scan: an empty file.   More than 65535 ids in a
sequence: refused. After a crash, the files of a frame that does not count are taken back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from operators import semantickitti as format
from operators import textfile
from operators.files import frame_number
from operators.streams import CLASS_NAMES, POINT_CLASSES, POINT_IDS, POINTS, VOID
from operators.write.folder import Folder, Write
from pipeline.errors import FrameError
from pipeline.operator import Operator
from pipeline.schema import optional


@dataclass(frozen=True, slots=True)
class SemanticKittiConfig:
    folder: Literal["predictions", "labels"] = "predictions"  # labels: as truth
    classes: dict[str, str] = field(default_factory=dict)  # name of the input -> name of SemanticKITTI, where they differ

    def __post_init__(self) -> None:
        if unknown := [name for name in self.classes.values() if name not in format.NAMES]:
            raise ValueError(f"classes: needs names of {', '.join(format.NAMES)}, got {', '.join(unknown)}")


def table_of(names: tuple[str, ...], renamed: dict[str, str]) -> np.ndarray:
    """Class numbers of an input with these names -> classes of SemanticKITTI, (256,) int64; -1: unknown."""
    table = np.full(VOID + 1, -1)
    table[VOID] = 0
    for number, name in enumerate(names):
        name = renamed.get(name, name)
        table[number] = format.NAMES.index(name) if name in format.NAMES else -1
    return table


class SemanticKitti(Operator):
    Config = SemanticKittiConfig
    inputs = {"point_classes": POINT_CLASSES, "point_ids": optional(POINT_IDS), "points": optional(POINTS)}

    def open(self) -> None:
        self.folder = Folder(self.name, self.out_dir, self.resume)
        self.instances: dict[str, dict[int, int]] = {}  # sequence -> id -> instance

    def process(self, point_classes: np.ndarray, point_ids: np.ndarray | None = None, points: np.ndarray | None = None) -> None:
        where = f"{self.name} at {self.header}"
        for port, other in (("point_ids", point_ids), ("points", points)):
            if other is not None and len(other) != len(point_classes):
                raise FrameError(f"{where}: needs {port} of the {len(point_classes)} points, got {len(other)}")
        names = tuple(self.meta.get("point_classes", {}).get(CLASS_NAMES, ()))
        classes = table_of(names, self.config.classes)[point_classes]
        if len(unknown := np.unique(point_classes[classes < 0])):
            got = ", ".join(names[number] if number < len(names) else str(number) for number in unknown.tolist())
            raise FrameError(f"{where}: needs classes of SemanticKITTI, got {got}; set config.classes: {{{got}: NAME}}")
        sequence = self.folder.sequence(self.header)
        base = f"sequences/{sequence}"
        number = f"{frame_number(self.header.item, self.header.frame_id):06d}"
        instances, lines = np.zeros(len(classes), np.int64), b""
        known = self._known(sequence)
        new: dict[int, int] = {}
        if point_ids is not None:
            there, first, row = np.unique(point_ids, return_index=True, return_inverse=True)
            for position in np.argsort(first).tolist():
                if (point_id := int(there[position])) >= 0 and point_id not in known:
                    new[point_id] = len(known) + len(new) + 1
            if len(known) + len(new) > format.MAX_INSTANCE:
                raise FrameError(f"{where}: needs at most {format.MAX_INSTANCE} ids in a sequence, got more in {sequence}")
            both = known | new
            numbers = np.array([both.get(point_id, 0) for point_id in there.tolist()], np.int64)
            instances = numbers[row.reshape(-1)] if len(there) else instances
            lines = "".join(f"{instance} {point_id}\n" for point_id, instance in new.items()).encode()
        writes = [Write(f"{base}/{self.config.folder}/{number}.label", format.packed(classes, instances), "new")]
        if points is not None:
            writes.append(Write(f"{base}/velodyne/{number}.bin", points.astype("<f4").tobytes(), "new"))
        if lines:
            writes.append(Write(f"{base}/instances.txt", lines, "append"))
        self.folder.write(self.header, writes)
        known.update(new)

    def close(self) -> None:
        self.folder.close()

    def _known(self, sequence: str) -> dict[int, int]:
        """id -> instance, of the frames that count."""
        if sequence not in self.instances:
            path = self.folder.at(f"sequences/{sequence}/instances.txt", self.header)
            rows = textfile.lines(path) if path.exists() else []
            self.instances[sequence] = {}
            for row in rows:
                instance, point_id = row.split()
                self.instances[sequence][int(point_id)] = int(instance)
        return self.instances[sequence]
