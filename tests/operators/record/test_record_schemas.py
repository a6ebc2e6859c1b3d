"""Our table of Foxglove's schemas compared with those that its SDK embeds in files (tests/golden/foxglove_schemas.py)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

from operators.record.schemas import SCHEMAS, well_known

OFFICIAL = json.loads((Path(__file__).parents[2] / "golden" / "foxglove_schemas.json").read_text())


@pytest.mark.parametrize("root", OFFICIAL)
def test_as_the_sdk_has_it(root):
    made = well_known(root)
    assert made.name == f"foxglove.{root}"
    got = {}
    for file in FileDescriptorSet.FromString(made.data).file:
        for message in file.message_type:
            name = f"{file.package}.{message.name}"
            got[name] = {f.name: [f.number, f.type, f.label, f.type_name] for f in message.field}
            got |= {f"enum {name}.{e.name}": {v.name: v.number for v in e.value} for e in message.enum_type}
    assert got == OFFICIAL[root]


@pytest.mark.parametrize("root", OFFICIAL)
def test_google_builds_it(root):
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(well_known(root).data).file:
        pool.Add(file)
    assert pool.FindMessageTypeByName(f"foxglove.{root}").full_name == f"foxglove.{root}"


def test_nothing_else_is_in_the_table():
    used = {name.rpartition("foxglove.")[2] for root in OFFICIAL.values() for name in root}
    assert {name.removeprefix("enum ") for name in SCHEMAS} <= used
