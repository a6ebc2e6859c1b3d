"""Fields encoded by hand, compared with Google's package."""

import pytest
from google.protobuf import descriptor_pb2, timestamp_pb2
from hypothesis import given
from hypothesis import strategies as st

from pipeline.recording import protowire as wire


@given(st.integers(0, 2**63 - 1), st.binary(max_size=5))
def test_varint_and_back(value, rest):
    data = wire.varint(value) + rest
    assert wire.read_varint(b"x" + data, 1) == (value, 1 + len(data) - len(rest))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80" * 11])
def test_varint_cut_off(data):
    with pytest.raises(ValueError, match="a number is cut off"):
        wire.read_varint(data, 0)


@given(st.integers(0, 2**62))
def test_timestamp(ns):
    field = wire.timestamp(1, ns)
    made = timestamp_pb2.Timestamp.FromString(field[2:])
    assert made.ToNanoseconds() == ns


def test_timestamp_before_1970_is_1970():
    assert timestamp_pb2.Timestamp.FromString(wire.timestamp(1, -5)[2:]).ToNanoseconds() == 0


def test_fields_as_google_reads_them():
    data = wire.text(1, "name") + wire.number_(3, 300) + wire.number_(4, 1) + wire.number_(5, 11) + wire.text(6, ".a.B")
    made = descriptor_pb2.FieldDescriptorProto.FromString(data)
    assert (made.name, made.number, made.label, made.type, made.type_name) == ("name", 300, 1, 11, ".a.B")


def test_a_descriptor_of_what_the_root_refers_to():
    schema = {
        "Leaf": {"x": "1 double"},
        "Other": {"x": "1 double"},
        "enum Top.Kind": {"A": "0", "B": "1"},
        "Top": {"leaves": "2 repeated Leaf", "kind": "3 Kind", "at": "4 google.protobuf.Timestamp"},
    }
    files = descriptor_pb2.FileDescriptorSet.FromString(wire.descriptor("pkg", schema, "Top")).file
    assert [f.name for f in files] == ["google/protobuf/timestamp.proto", "pkg/Top.proto"]
    assert files[1].syntax == "proto3" and list(files[1].dependency) == [files[0].name]
    leaf, top = files[1].message_type
    assert (leaf.name, top.name) == ("Leaf", "Top")
    assert [(f.name, f.number, f.label, f.type, f.type_name) for f in top.field] == [
        ("leaves", 2, 3, 11, ".pkg.Leaf"),
        ("kind", 3, 1, 14, ".pkg.Top.Kind"),
        ("at", 4, 1, 11, ".google.protobuf.Timestamp"),
    ]
    assert [(v.name, v.number) for v in top.enum_type[0].value] == [("A", 0), ("B", 1)]
