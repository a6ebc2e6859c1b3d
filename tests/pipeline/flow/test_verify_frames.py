"""--verify-frames: the writer's checksum of a slot, and the reader that finds it changed."""

import numpy as np
import pytest
from local_edges import edge_spec

from pipeline.checksum import crc32
from pipeline.errors import FrameError
from pipeline.flow.slot import GENERATION_CRC
from pipeline.graph.layout import SLOT_HEADER


def checksum(local, slot):
    return GENERATION_CRC.unpack_from(local.memory.view, local.place.offset + slot * local.place.stride)[1]


def test_without_verify_there_is_no_checksum(make):
    local = make(edge_spec())
    (sent,) = local.send()
    assert checksum(local, sent.slot) == 0
    local.memory.view[local.place.offset + SLOT_HEADER] = 9
    edge = local.readers[0]
    assert edge.views(edge.take())["data"].tolist() == [9], "nobody looked"


def test_a_frame_changed_after_it_was_published(make):
    local = make(edge_spec(), verify=True)
    local.write({"a": np.arange(3, dtype=np.uint8), "b": np.arange(3)}, item="x" * 500)
    edge = local.readers[0]
    frame = edge.take()
    payload = local.place.offset + SLOT_HEADER
    crc = crc32(local.memory.view[payload : payload + frame.used])
    assert checksum(local, 0) == crc != 0
    assert edge.views(frame)["a"].tolist() == [0, 1, 2]
    edge.verify(frame)
    local.memory.view[payload + 64 + 8] = 77
    got = crc32(local.memory.view[payload : payload + frame.used])
    with pytest.raises(FrameError) as error:
        edge.verify(frame)
    assert str(error.value) == (
        f"src.out->r0.in: frame src:0 changed after it was published: checksum {crc:08x}, got {got:08x}; who still writes to it?"
    )


def test_a_frame_without_bytes_has_the_checksum_of_nothing(make):
    local = make(edge_spec(), verify=True)
    local.write({"data": np.zeros((0, 4))})
    edge = local.readers[0]
    assert edge.views(edge.take())["data"].shape == (0, 4)
    assert checksum(local, 0) == crc32(b"")
