"""Writes foxglove_schemas.json: the fields of Foxglove's well-known schemas, as its own SDK embeds them in files.

    pip install foxglove-sdk==0.30.3 protobuf && python tests/golden/foxglove_schemas.py

A test compares operators/record/schemas.py with it. The tests do not need the SDK (MIT licence).
"""

from __future__ import annotations

import json
from pathlib import Path

from foxglove import messages
from google.protobuf.descriptor_pb2 import FileDescriptorSet

ROOTS = ("CameraCalibration", "CompressedImage", "FrameTransforms", "Log", "PointCloud", "RawImage", "SceneUpdate")


def told(data: bytes) -> dict[str, dict[str, list]]:
    """Message -> field -> [number, type, label, type name]; `enum NAME` -> value -> number."""
    files = FileDescriptorSet.FromString(data)
    out: dict[str, dict[str, list]] = {}
    for file in files.file:
        for message in file.message_type:
            name = f"{file.package}.{message.name}"
            out[name] = {f.name: [f.number, f.type, f.label, f.type_name] for f in message.field}
            for enum in message.enum_type:
                out[f"enum {name}.{enum.name}"] = {v.name: v.number for v in enum.value}
    return out


if __name__ == "__main__":
    path = Path(__file__).with_suffix(".json")
    roots = {root: told(getattr(messages, root).get_schema().data) for root in ROOTS}
    path.write_text(json.dumps(roots, sort_keys=True).replace("}, ", "},\n") + "\n")
