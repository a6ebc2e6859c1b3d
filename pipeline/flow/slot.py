"""The header of a slot, before its arrays: everything a reader needs to know of the frame, written once for all edges.

    generation | crc | who | stamp_ns | recv_ns | bound | made_ns | used | text_at | lengths      ten int64
    text: item (UTF-8), arrays (msgpack of [[name, dtype, shape, offset], ...]), meta (msgpack of a map, empty when there is none)

who is source index << 48 | frame_id. Generation 0 = being written. The text follows the ten words, or, if it does not fit
into the header, the arrays. `lengths` holds its three lengths, 20 bits each.
"""

from __future__ import annotations

import struct

from pipeline.graph.layout import SLOT_HEADER

WORDS = struct.Struct("<10q")
GENERATION = struct.Struct("<q")
GENERATION_CRC = struct.Struct("<qq")
TEXT_AT = WORDS.size
TEXT_BYTES = SLOT_HEADER - TEXT_AT
"""Room for the text in the header."""
MAX_TEXT = (1 << 20) - 1
"""Longest item, description or meta [bytes]."""

ID_BITS = 48
ID_MASK = (1 << ID_BITS) - 1


def who(source: int, frame_id: int) -> int:
    """One number for the source (its index) and its frame."""
    return source << ID_BITS | frame_id & ID_MASK


def whose(number: int) -> tuple[int, int]:
    """The inverse of `who`: index of the source, frame_id."""
    return number >> ID_BITS, number & ID_MASK
