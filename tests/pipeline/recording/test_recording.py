"""Any frame to a message and back to the same bytes; and refusals of foreign bytes."""

from __future__ import annotations

import zlib
from typing import NamedTuple

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.frame import Header
from pipeline.nodes.counts import COUNT
from pipeline.recording import protowire as wire
from pipeline.recording.message import (
    HEAD_FIELD,
    AnyFrame,
    Body,
    number_dtype,
    pack,
    port_from_text,
    port_to_text,
    unpack,
)
from pipeline.schema import ANY, Array, Port, Schema, static

HEADER = Header("cam", 7, "0000/000007", 12345, 67890)
DTYPES = st.sampled_from(["u1", "i1", "<u2", ">i4", "<i8", "<f4", ">f8", "?", "<c8"])
ARRAYS = st.dictionaries(
    st.text(min_size=1, max_size=5), hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, min_side=0, max_side=5))
)
META = st.dictionaries(st.text(max_size=4), st.integers(-(2**63), 2**63 - 1) | st.text(max_size=4) | st.floats(allow_nan=False))


def joined(packed) -> bytes:
    """As `mcapfile.Writer` joins them."""
    assert all(zlib.crc32(packed.pieces[i]) == known for i, known in packed.sums.items())
    return b"".join(bytes(p) for p in packed.pieces)


def back(data: bytes):
    """(stored, arrays) of a message."""
    stored = unpack(lambda at, n: data[at : at + n], len(data))
    arrays = {a.name: np.frombuffer(data[a.at : a.at + a.nbytes], a.dtype).reshape(a.shape) for a in stored.arrays}
    return stored, arrays


@given(ARRAYS, META, st.booleans())
def test_a_frame_and_back(arrays, meta, crc):
    data = joined(pack(HEADER, 12346, meta, arrays, AnyFrame().encode(HEADER, arrays), crc))
    stored, got = back(data)
    assert (stored.header, stored.bound, stored.meta) == (HEADER, 12346, meta)
    assert list(got) == list(arrays)
    for name, array in arrays.items():
        assert got[name].dtype == array.dtype and got[name].shape == array.shape
        assert got[name].tobytes() == array.tobytes()
    for a in stored.arrays:
        if crc:
            assert int.from_bytes(data[a.sum_at : a.sum_at + 4], "little") == zlib.crc32(arrays[a.name].tobytes())
        else:
            assert a.sum_at == 0


def test_no_array_at_all():
    stored, arrays = back(joined(pack(HEADER, 0, {}, {}, Body([b""]), True)))
    assert (stored.header, arrays) == (HEADER, {})


def test_a_placed_array_is_stored_once():
    image = np.arange(5000, dtype=np.uint16)
    body = Body([b"before", image.data.cast("B"), b"after"], {"image": (1, "")})
    data = joined(pack(HEADER, 0, {}, {"image": image, "more": np.ones(3)}, body, True))
    assert data.count(image.tobytes()) == 1 and len(data) < image.nbytes + 300
    _, arrays = back(data)
    assert np.array_equal(arrays["image"], image) and np.array_equal(arrays["more"], np.ones(3))


def test_others_may_read_what_is_not_contiguous():
    array = np.arange(24).reshape(4, 6)[::2, ::-1]
    _, arrays = back(joined(pack(HEADER, 0, {}, {"a": array}, Body([b""]), False)))
    assert np.array_equal(arrays["a"], array)


def changed(**what):
    """A message with a changed header."""
    told = ["a", "<f4", [2], "", 0, 8]
    fields = {"version": 1, "source": "s", "frame_id": 1, "item": "i", "stamp_ns": 1, "recv_ns": 1, "bound": 1}
    fields |= {"meta": {}, "summed": False}
    fields["arrays"] = [told]
    for key, value in what.items():
        if key in fields:
            fields[key] = value
        else:
            told[["name", "dtype", "shape", "codec", "at", "nbytes"].index(key)] = value
    head = msgpack.packb(list(fields.values()))
    return wire.head(HEAD_FIELD, len(head)) + head + bytes(8)


def test_the_message_that_is_changed_below_is_right_as_it_is():
    assert back(changed())[1]["a"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "it does not begin with a frame's header"),
        (b"\x0a\x03abc", "it does not begin with a frame's header"),
        (wire.head(HEAD_FIELD, 100) + b"short", "its header claims 100 bytes"),
        (wire.head(HEAD_FIELD, 1 << 40), "its header claims 1099511627776 bytes"),
        (wire.head(HEAD_FIELD, 3) + b"\xc1\xc1\xc1", "its header cannot be read"),
        (wire.head(HEAD_FIELD, 1) + b"\x01", "its header cannot be read"),
        (changed(version=2), "its header is of version 2, this engine reads 1"),
        (changed(meta=5), "its header cannot be read"),
        (changed(dtype="O"), "dtype 'O' is not of plain numbers"),
        (changed(dtype="f4,f4"), "is not of plain numbers"),
        (changed(dtype="nonsense"), "dtype 'nonsense' is none"),
        (changed(shape=[-1]), "array a lies outside of it"),
        (changed(at=1), "array a lies outside of it"),
        (changed(at=-20), "array a lies outside of it"),
        (changed(nbytes=9), "array a lies outside of it"),
        (changed(nbytes=4), "array a needs 8 bytes, got 4"),
        (changed(summed=True), "array a lies outside of it"),
        (changed(shape=[2**40, 2**40]), "array a needs 4835703278458516698824704 bytes, got 8"),
    ],
)
def test_what_is_none(data, text):
    with pytest.raises(ValueError, match=text):
        back(data)


@pytest.mark.parametrize("text", ["O", "M8[s]", "S3", "V4", "(2,)f4", ""])
def test_dtypes_that_are_no_numbers(text):
    with pytest.raises(ValueError, match=r"is not of plain numbers|is none"):
        number_dtype(text)


class Pair(NamedTuple):
    a: np.ndarray
    b: np.ndarray


ARRAYS_OF_PAIR = {"a": Array("float32", ("N", 3), "m", "about"), "b": Array("int8", (2,))}
PAIR = Schema("PAIR", ARRAYS_OF_PAIR, "velodyne", "logit", {"N": 9}, Pair)


@pytest.mark.parametrize("port", [Port(COUNT), static(PAIR), Port(ANY)])
def test_a_contract_and_back(port):
    again = port_from_text(port_to_text(port))
    assert again.static == port.static
    assert again.schema.plain() == port.schema.plain()
    assert again.schema.mismatch(port.schema) is None and port.schema.mismatch(again.schema) is None
    assert again.schema.max_bytes() == port.schema.max_bytes()


def test_a_contract_of_objects_is_refused():
    with pytest.raises(ValueError, match="not of plain numbers"):
        port_from_text(port_to_text(Port(Schema("X", {"a": Array("object", (1,))}))))
