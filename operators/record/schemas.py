"""The well-known Foxglove schemas that our streams use (https://docs.foxglove.dev/docs/sdk/schemas).

SCHEMAS   message -> field -> "NUMBER [repeated] TYPE", for `pipeline.recording.protowire.descriptor`
Names, numbers and types are Foxglove's; tests/operators/record/test_record_schemas.py checks them.
"""

from __future__ import annotations

from functools import cache

from pipeline.recording import protowire
from pipeline.recording.message import MessageSchema

_TIME, _DURATION = "google.protobuf.Timestamp", "google.protobuf.Duration"

SCHEMAS: dict[str, dict[str, str]] = {
    "Vector3": {"x": "1 double", "y": "2 double", "z": "3 double"},
    "Point3": {"x": "1 double", "y": "2 double", "z": "3 double"},
    "Quaternion": {"x": "1 double", "y": "2 double", "z": "3 double", "w": "4 double"},
    "Pose": {"position": "1 Vector3", "orientation": "2 Quaternion"},
    "Color": {"r": "1 double", "g": "2 double", "b": "3 double", "a": "4 double"},
    "KeyValuePair": {"key": "1 string", "value": "2 string"},
    "RawImage": {
        "timestamp": f"1 {_TIME}",
        "frame_id": "7 string",
        "width": "2 fixed32",
        "height": "3 fixed32",
        "encoding": "4 string",
        "step": "5 fixed32",
        "data": "6 bytes",
    },
    "CompressedImage": {"timestamp": f"1 {_TIME}", "frame_id": "4 string", "data": "2 bytes", "format": "3 string"},
    "CameraCalibration": {
        "timestamp": f"1 {_TIME}",
        "frame_id": "9 string",
        "width": "2 fixed32",
        "height": "3 fixed32",
        "distortion_model": "4 string",
        "D": "5 repeated double",
        "K": "6 repeated double",
        "R": "7 repeated double",
        "P": "8 repeated double",
    },
    "enum PackedElementField.NumericType": {
        "UNKNOWN": "0",
        "UINT8": "1",
        "INT8": "2",
        "UINT16": "3",
        "INT16": "4",
        "UINT32": "5",
        "INT32": "6",
        "FLOAT32": "7",
        "FLOAT64": "8",
    },
    "PackedElementField": {"name": "1 string", "offset": "2 fixed32", "type": "3 NumericType"},
    "PointCloud": {
        "timestamp": f"1 {_TIME}",
        "frame_id": "2 string",
        "pose": "3 Pose",
        "point_stride": "4 fixed32",
        "fields": "5 repeated PackedElementField",
        "data": "6 bytes",
    },
    "FrameTransform": {
        "timestamp": f"1 {_TIME}",
        "parent_frame_id": "2 string",
        "child_frame_id": "3 string",
        "translation": "4 Vector3",
        "rotation": "5 Quaternion",
    },
    "FrameTransforms": {"transforms": "1 repeated FrameTransform"},
    "enum Log.Level": {"UNKNOWN": "0", "DEBUG": "1", "INFO": "2", "WARNING": "3", "ERROR": "4", "FATAL": "5"},
    "Log": {
        "timestamp": f"1 {_TIME}",
        "level": "2 Level",
        "message": "3 string",
        "name": "4 string",
        "file": "5 string",
        "line": "6 fixed32",
    },
    "ArrowPrimitive": {
        "pose": "1 Pose",
        "shaft_length": "2 double",
        "shaft_diameter": "3 double",
        "head_length": "4 double",
        "head_diameter": "5 double",
        "color": "6 Color",
    },
    "CubePrimitive": {"pose": "1 Pose", "size": "2 Vector3", "color": "3 Color"},
    "SpherePrimitive": {"pose": "1 Pose", "size": "2 Vector3", "color": "3 Color"},
    "CylinderPrimitive": {
        "pose": "1 Pose",
        "size": "2 Vector3",
        "bottom_scale": "3 double",
        "top_scale": "4 double",
        "color": "5 Color",
    },
    "enum LinePrimitive.Type": {"LINE_STRIP": "0", "LINE_LOOP": "1", "LINE_LIST": "2"},
    "LinePrimitive": {
        "type": "1 Type",
        "pose": "2 Pose",
        "thickness": "3 double",
        "scale_invariant": "4 bool",
        "points": "5 repeated Point3",
        "color": "6 Color",
        "colors": "7 repeated Color",
        "indices": "8 repeated fixed32",
    },
    "TriangleListPrimitive": {
        "pose": "1 Pose",
        "points": "2 repeated Point3",
        "color": "3 Color",
        "colors": "4 repeated Color",
        "indices": "5 repeated fixed32",
    },
    "TextPrimitive": {
        "pose": "1 Pose",
        "billboard": "2 bool",
        "font_size": "3 double",
        "scale_invariant": "4 bool",
        "color": "5 Color",
        "text": "6 string",
    },
    "ModelPrimitive": {
        "pose": "1 Pose",
        "scale": "2 Vector3",
        "color": "3 Color",
        "override_color": "4 bool",
        "url": "5 string",
        "media_type": "6 string",
        "data": "7 bytes",
    },
    "enum SceneEntityDeletion.Type": {"MATCHING_ID": "0", "ALL": "1"},
    "SceneEntityDeletion": {"timestamp": f"1 {_TIME}", "type": "2 Type", "id": "3 string"},
    "SceneEntity": {
        "timestamp": f"1 {_TIME}",
        "frame_id": "2 string",
        "id": "3 string",
        "lifetime": f"4 {_DURATION}",
        "frame_locked": "5 bool",
        "metadata": "6 repeated KeyValuePair",
        "arrows": "7 repeated ArrowPrimitive",
        "cubes": "8 repeated CubePrimitive",
        "spheres": "9 repeated SpherePrimitive",
        "cylinders": "10 repeated CylinderPrimitive",
        "lines": "11 repeated LinePrimitive",
        "triangles": "12 repeated TriangleListPrimitive",
        "texts": "13 repeated TextPrimitive",
        "models": "14 repeated ModelPrimitive",
    },
    "SceneUpdate": {"deletions": "1 repeated SceneEntityDeletion", "entities": "2 repeated SceneEntity"},
}


@cache
def well_known(name: str) -> MessageSchema:
    """foxglove.NAME with its descriptor."""
    return MessageSchema(f"foxglove.{name}", protowire.descriptor("foxglove", SCHEMAS, name))
