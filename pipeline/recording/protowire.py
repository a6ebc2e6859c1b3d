"""Protocol Buffers, as far as recordings need them: encoding of fields, and the descriptor by which others read them.

A message is a sequence of fields, `tag | value`, in any order; a reader skips fields that it does not know. So a message of a
foreign schema can carry a frame's exact bytes (see message.py).
Encoding: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

VARINT, FIXED64, LEN, FIXED32 = 0, 1, 2, 5
_TYPES = {"double": 1, "int64": 3, "int32": 5, "fixed32": 7, "bool": 8, "string": 9, "message": 11, "bytes": 12, "enum": 14}
_DOUBLE, _U32 = struct.Struct("<d"), struct.Struct("<I")

Schema = Mapping[str, Mapping[str, str]]
"""Message -> field -> "NUMBER TYPE" or "NUMBER repeated TYPE"; TYPE is a scalar, or the name of a message or enum of the schema.
An enum is a message name that starts with "enum ", its fields are its values: {"enum Level": {"INFO": "2"}}. An enum within a
message is called "enum Message.Name"."""


def varint(value: int) -> bytes:
    """A number >= 0: seven bits per byte, low bits first."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, offset behind it). Raises ValueError if it is cut off."""
    value = shift = 0
    for i in range(at, min(at + 10, len(data))):
        value |= (data[i] & 0x7F) << shift
        if data[i] < 0x80:
            return value, i + 1
        shift += 7
    raise ValueError("a number is cut off")


@cache
def tag(number: int, kind: int) -> bytes:
    return varint(number << 3 | kind)


def head(number: int, nbytes: int) -> bytes:
    """Tag and length before the `nbytes` bytes of a string, bytes or message field."""
    return tag(number, LEN) + varint(nbytes)


def bytes_(number: int, value: bytes) -> bytes:
    return head(number, len(value)) + value


def text(number: int, value: str) -> bytes:
    return bytes_(number, value.encode())


def number_(number: int, value: int) -> bytes:
    """A varint field >= 0: int32, int64, bool, enum."""
    return tag(number, VARINT) + varint(value)


def double(number: int, value: float) -> bytes:
    return tag(number, FIXED64) + _DOUBLE.pack(value)


def fixed32(number: int, value: int) -> bytes:
    return tag(number, FIXED32) + _U32.pack(value)


def doubles(number: int, values: Iterable[float]) -> bytes:
    """A repeated double, packed."""
    packed = b"".join(map(_DOUBLE.pack, values))
    return bytes_(number, packed)


def timestamp(number: int, ns: int) -> bytes:
    """google.protobuf.Timestamp; times before 1970 become 1970, because they cannot be encoded."""
    seconds, nanos = divmod(max(0, ns), 1_000_000_000)
    return bytes_(number, number_(1, seconds) + number_(2, nanos))


def descriptor(package: str, schema: Schema, root: str) -> bytes:
    """A serialized FileDescriptorSet with `root` of `package` and the messages to which it refers.

    Timestamp and Duration of google.protobuf are known; a type "google.protobuf.Timestamp" needs no entry in the schema.
    """
    used = _used(schema, root)
    files = []
    for name in ("Timestamp", "Duration"):
        if any(f"google.protobuf.{name}" in kind for m in used for kind in schema[m].values()):
            body = _message(name, {"seconds": "1 int64", "nanos": "2 int32"}, {}, "google.protobuf")
            files.append(_file(f"google/protobuf/{name.lower()}.proto", "google.protobuf", [], [body]))
    messages = [_message(m, schema[m], schema, package) for m in used]
    names = [f.partition(b".proto")[0][2:].decode() + ".proto" for f in files]
    files.append(_file(f"{package}/{root}.proto", package, names, messages))
    return b"".join(bytes_(1, file) for file in files)


def _used(schema: Schema, root: str) -> list[str]:
    """`root` and all messages to which its fields refer, directly or not; referred ones first."""
    out: list[str] = []

    def visit(name: str) -> None:
        for kind in schema[name].values():
            inner = kind.split()[-1]
            if inner in schema and inner not in out and inner != name:
                visit(inner)
        if name not in out:
            out.append(name)

    visit(root)
    return out


def _file(name: str, package: str, needs: list[str], messages: list[bytes]) -> bytes:
    """A FileDescriptorProto."""
    body = text(1, name) + text(2, package) + b"".join(text(3, n) for n in needs)
    return body + b"".join(bytes_(4, m) for m in messages) + text(12, "proto3")


def _message(name: str, fields: Mapping[str, str], schema: Schema, package: str) -> bytes:
    """A DescriptorProto."""
    body = text(1, name)
    for field, spec in fields.items():
        number, *repeated, kind = spec.split()
        entry = text(1, field) + number_(3, int(number)) + number_(4, 3 if repeated else 1)
        if kind in _TYPES:
            entry += number_(5, _TYPES[kind])
        else:
            is_enum = f"enum {name}.{kind}" in schema
            full = kind if kind.startswith("google.") else f"{package}.{name}.{kind}" if is_enum else f"{package}.{kind}"
            entry += number_(5, _TYPES["enum" if is_enum else "message"]) + text(6, f".{full}")
        body += bytes_(2, entry)
    for key, values in schema.items():
        owner, dot, enum = key.removeprefix("enum ").partition(".")
        if key.startswith("enum ") and dot and owner == name:
            members = b"".join(bytes_(2, text(1, v) + number_(2, int(n))) for v, n in values.items())
            body += bytes_(4, text(1, enum) + members)
    return body


def fields(data: bytes) -> list[tuple[int, Any]]:
    """(number, value) of every field: int for varint and fixed fields, else bytes. Raises ValueError if a field is cut off."""
    out: list[tuple[int, Any]] = []
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        kind = key & 7
        if kind == VARINT:
            value, at = read_varint(data, at)
            out.append((key >> 3, value))
            continue
        if kind == LEN:
            size, at = read_varint(data, at)
        else:
            size = {FIXED64: 8, FIXED32: 4}.get(kind, -1)
        if size < 0 or at + size > len(data):
            raise ValueError("a field is cut off")
        raw = data[at : at + size]
        out.append((key >> 3, raw if kind == LEN else int.from_bytes(raw, "little")))
        at += size
    return out
