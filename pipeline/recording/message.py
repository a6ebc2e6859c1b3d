"""A recorded frame is one message: other tools read it by its schema, and it holds the frame's exact bytes.

A message is a protocol buffer of a known schema (foxglove.PointCloud, ...) with three more fields, which a reader of that schema
skips:

    15000   bytes            first in the message: the frame's header, and where the bytes of each array are
    15001   repeated bytes   arrays that are not yet in the message (a cloud's or picture's `data` is)
    15002   bytes            last in the message: CRC-32 of each array, 4 bytes

So a cloud is stored once, a frame is there as a whole or not at all, and no software of ours is needed to look at it.

The header is msgpack: [version, source, frame_id, item, stamp_ns, recv_ns, bound, meta, has 15002, arrays]; an array is
[name, dtype, shape, codec, offset from the end of the header field, bytes]. No later frame of the port has a stamp below `bound`.
For a static port: frame_id = number of the value, bound = count of values, stamp_ns = from_ns.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

import msgpack
import numpy as np

from pipeline.checksum import crc32
from pipeline.frame import FOREVER, NEVER, Header
from pipeline.outside import parse_json, unpacked_limit
from pipeline.recording import protowire as wire
from pipeline.recording.mcapfile import Buffer
from pipeline.schema import Port, Schema

VERSION = 1
MAX_FRAME_ID = (1 << 48) - 1
"""Frames are numbered from 0; the ledger has 48 bits for a number."""
MAX_ARRAYS, MAX_DIMS = 64, 32
"""Of a contract. numpy has no more dimensions."""
HEAD_FIELD, ARRAY_FIELD, SUM_FIELD = 15000, 15001, 15002
MAX_HEAD = 1 << 20
RAW = ""
"""Codec of an array that is stored unchanged."""

_HEAD_TAG = wire.tag(HEAD_FIELD, wire.LEN)
_KINDS = "biufc"  # of dtypes: numbers only, never objects


class MessageSchema(NamedTuple):
    """A schema of the file: name, encoding "protobuf", and a FileDescriptorSet."""

    name: str
    data: bytes


@dataclass(slots=True)
class Body:
    """A message without our fields.

    pieces  its fields, in order; a large one may be a view of the frame
    placed  array -> (index of the piece that holds its bytes, codec); the engine appends all other arrays
    extra   suffix -> a message for the channel TOPIC/suffix
    """

    pieces: list[Buffer]
    placed: dict[str, tuple[int, str]] = field(default_factory=dict)
    extra: dict[str, bytes] = field(default_factory=dict)


class Encoder:
    """Makes messages of the frames of one port. `extra`: suffix -> schema of the further channels."""

    schema: MessageSchema
    extra: Mapping[str, MessageSchema] = {}

    def encode(self, header: Header, arrays: Mapping[str, np.ndarray]) -> Body:
        raise NotImplementedError(f"{type(self).__name__}.encode")


class Format:
    """Makes messages for one kind of tool. Formats lie outside the engine: operators/record/foxglove.py."""

    log_schema: MessageSchema

    def encoder(self, name: str, port: Port, images: str) -> Encoder | None:
        """The encoder of port NODE.PORT; None = this format has no schema for it. images: raw | png | jpeg."""
        return None

    def log(self, stamp_ns: int, name: str, message: str) -> bytes:
        """A warning as a message of `log_schema`."""
        raise NotImplementedError(f"{type(self).__name__}.log")

    def decode(self, codec: str, data: bytes, shape: tuple[int, ...]) -> np.ndarray:
        """The array that `encoder` stored under this codec. Raises ValueError for other bytes, and before memory is taken for
        an array of another shape."""
        raise NotImplementedError(f"{type(self).__name__}.decode")


class AnyFrame(Encoder):
    """For ports without a schema in the format: source, time and a description of the arrays, which are bytes."""

    schema = MessageSchema(
        "pipe.Frame",
        wire.descriptor(
            "pipe",
            {
                "Frame": {
                    "timestamp": "1 google.protobuf.Timestamp",
                    "source": "2 string",
                    "frame_id": "3 int64",
                    "item": "4 string",
                    "arrays": "5 string",
                    "pipe_header": f"{HEAD_FIELD} bytes",
                    "pipe_arrays": f"{ARRAY_FIELD} repeated bytes",
                }
            },
            "Frame",
        ),
    )

    def encode(self, header: Header, arrays: Mapping[str, np.ndarray]) -> Body:
        described = _described(tuple((name, array.shape, array.dtype) for name, array in arrays.items()))
        frame = wire.timestamp(1, header.stamp_ns) + wire.text(2, header.source) + wire.number_(3, header.frame_id)
        return Body([frame + wire.text(4, header.item) + described])


@lru_cache(maxsize=64)
def _described(arrays: tuple[tuple[str, tuple[int, ...], np.dtype[Any]], ...]) -> bytes:
    """A description of the arrays; cached, because numpy takes longer to name a dtype than the rest takes."""
    return wire.text(5, ", ".join(f"{name} {shape} {dtype}" for name, shape, dtype in arrays))


@dataclass(slots=True)
class Packed:
    """A whole message in pieces. sums: index of a piece that is an array -> its CRC-32 (empty: no trailer)."""

    pieces: list[Buffer]
    sums: dict[int, int]


def pack(header: Header, bound: int, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray], body: Body, crc: bool) -> Packed:
    """The message of a frame: our header, the body's fields, the arrays that are not in it, and with `crc` a trailer."""
    pieces = [b"", *body.pieces]
    rows: list[tuple[str, np.ndarray, int, str]] = []
    for name, array in arrays.items():
        if name in body.placed:
            at, codec = body.placed[name]
            at += 1
        else:
            data = raw(array)
            pieces += [wire.head(ARRAY_FIELD, len(data)), data]
            at, codec = len(pieces) - 1, RAW
        rows.append((name, array, at, codec))
    starts = [0, *accumulate(map(len, pieces))]
    described = [[name, array.dtype.str, array.shape, codec, starts[at], len(pieces[at])] for name, array, at, codec in rows]
    head = msgpack.packb(
        [VERSION, header.source, header.frame_id, header.item, header.stamp_ns, header.recv_ns, bound, meta, crc, described]
    )
    pieces[0] = _HEAD_TAG + wire.varint(len(head)) + head
    sums = [crc32(pieces[at]) for _, _, at, _ in rows] if crc else []
    known = {at: made for (_, _, at, _), made in zip(rows, sums, strict=False)}
    if sums:
        pieces.append(trailer(sums))
    return Packed(pieces, known)


def trailer(sums: list[int]) -> bytes:
    """The checksums of the arrays, in the order of the header, behind everything else."""
    return wire.bytes_(SUM_FIELD, struct.pack(f"<{len(sums)}I", *sums))


def raw(array: np.ndarray) -> Buffer:
    """The C-order bytes of an array; a view if the array is C-contiguous."""
    if not array.size:
        return b""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


class StoredArray(NamedTuple):
    """Where an array is stored. at: offset in the message's data; sum_at: offset of its CRC-32, 0 = none."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    codec: str
    at: int
    nbytes: int
    sum_at: int

    @property
    def size_bytes(self) -> int:
        """Bytes of the unpacked array."""
        return math.prod(self.shape) * self.dtype.itemsize


class Stored(NamedTuple):
    """A message's header, read back."""

    header: Header
    bound: int
    meta: dict[str, Any]
    arrays: list[StoredArray]


def unpack(read: Any, nbytes: int) -> Stored:
    """The header of a message of `nbytes`; `read(at, n)` returns bytes of it. Raises ValueError if it is foreign or damaged."""
    start = read(0, min(nbytes, 2048))
    if not start.startswith(_HEAD_TAG):
        raise ValueError("it does not begin with a frame's header")
    size, at = wire.read_varint(start, len(_HEAD_TAG))
    if size > MAX_HEAD or at + size > nbytes:
        raise ValueError(f"its header claims {size} bytes")
    data = start[at : at + size] if at + size <= len(start) else read(at, size)
    try:
        version, source, frame_id, item, stamp_ns, recv_ns, bound, meta, summed, described = msgpack.unpackb(
            data, strict_map_key=False
        )
        if version != VERSION:
            raise ValueError(f"its header is of version {version}, this engine reads {VERSION}")
        arrays, end = [], nbytes - (len(trailer([0] * len(described))) if summed and described else 0)
        for i, (name, dtype, shape, codec, offset, length) in enumerate(described):
            name, codec = _text("an array's name", name), _text("codec", codec)
            sizes = tuple(_number(f"a size of {name}", n, -FOREVER, FOREVER) for n in shape)
            sum_at = nbytes - 4 * (len(described) - i) if summed else 0
            array = StoredArray(name, number_dtype(dtype), sizes, codec, at + size + offset, length, sum_at)
            if min(array.shape, default=0) < 0 or array.at < at + size or length < 0 or array.at + length > end:
                raise ValueError(f"array {name} lies outside of it")
            if codec == RAW and array.size_bytes != length:
                raise ValueError(f"array {name} needs {array.size_bytes} bytes, got {length}")
            if array.size_bytes > unpacked_limit(length):
                raise ValueError(f"array {name} claims {array.size_bytes} bytes in {length}")
            arrays.append(array)
        return Stored(
            Header(
                _text("source", source),
                _number("frame_id", frame_id, 0, MAX_FRAME_ID),
                _text("item", item),
                _number("stamp_ns", stamp_ns, NEVER, -NEVER),
                _number("recv_ns", recv_ns, -FOREVER, FOREVER),
            ),
            _number("bound", bound, NEVER, FOREVER),
            {_text("a name in its meta", name): fact for name, fact in dict(meta).items()},
            arrays,
        )
    except (TypeError, KeyError, OverflowError, msgpack.UnpackException) as error:
        raise ValueError(f"its header cannot be read: {error}") from None


def _number(name: str, value: Any, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name} needs to be a whole number of {low} to {high}, got {str(value)[:40]}")
    return value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} needs to be text, got {type(value).__name__}")
    return value


def number_dtype(text: Any) -> np.dtype[Any]:
    """The dtype that a file names, if it is of plain numbers. Raises ValueError."""
    try:
        dtype = np.dtype(str(text))
    except Exception:  # numpy parses the text
        raise ValueError(f"dtype {text!r} is none") from None
    if dtype.kind not in _KINDS or dtype.names is not None or dtype.subdtype is not None:
        raise ValueError(f"dtype {text!r} is not of plain numbers")
    return dtype


def port_to_text(port: Port) -> str:
    """A port's contract as JSON, as the file stores it."""
    return json.dumps({"static": port.static, **port.schema.plain()})


def port_from_text(text: str) -> Port:
    """The inverse of `port_to_text`. Raises ValueError, KeyError, TypeError or AttributeError if the text is no contract."""
    plain = parse_json(text)
    arrays = plain["arrays"]
    if len(arrays) > MAX_ARRAYS:
        raise ValueError(f"it has {len(arrays)} arrays, at most {MAX_ARRAYS} are possible")
    for array in arrays.values():
        number_dtype(array["dtype"])
        shape = array["shape"]
        if not isinstance(shape, list) or len(shape) > MAX_DIMS or not all(type(dim) in (int, str) for dim in shape):
            raise ValueError(f"the shape {str(shape)[:40]} is none")
    for text in (plain["name"], plain["frame"], plain["kind"], *(a[key] for a in arrays.values() for key in ("unit", "about"))):
        _text("a word of it", text)
    for dim, most in dict(plain["limits"]).items():
        _number(f"the limit of {dim}", most, 0, FOREVER)
    return Port(Schema.from_plain(plain), static=plain["static"] is True)
