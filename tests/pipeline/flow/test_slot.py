"""The header of a slot: packing and unpacking are inverses, the words fit before the payload."""

import pytest

from pipeline.flow.slot import GENERATION, GENERATION_CRC, ID_BITS, MAX_TEXT, TEXT_AT, TEXT_BYTES, WORDS, who, whose
from pipeline.frame import FOREVER, NEVER
from pipeline.graph.layout import SLOT_HEADER


@pytest.mark.parametrize("source", [0, 1, 7, 2**15 - 1])
@pytest.mark.parametrize("frame_id", [0, 1, 4541, 2**40, 2**48 - 1])
def test_who_and_whose(source, frame_id):
    number = who(source, frame_id)
    assert whose(number) == (source, frame_id)
    assert 0 <= number < 2**63, "a word of the board is signed"


def test_numbers_of_one_source_are_ordered_like_its_frames():
    assert who(3, 0) < who(3, 1) < who(3, 2**48 - 1) < who(4, 0)
    assert who(0, 17) == 17


def test_a_frame_id_never_reaches_the_source():
    assert whose(who(2, 1 << ID_BITS)) == (2, 0)


def test_the_header_fits():
    assert TEXT_AT == WORDS.size == 80
    assert TEXT_AT + TEXT_BYTES == SLOT_HEADER
    assert TEXT_BYTES >= 400, "an item, a few arrays and facts"


def test_generation_and_checksum_are_the_first_words():
    data = WORDS.pack(5, 6, *range(8))
    assert GENERATION.unpack_from(data) == (5,)
    assert GENERATION_CRC.unpack_from(data) == (5, 6)


def test_words_hold_what_stamps_and_lengths_can_be():
    longest = MAX_TEXT | MAX_TEXT << 20 | MAX_TEXT << 40
    values = (1 << 40 | 1, 2**32 - 1, who(2**15 - 1, 2**48 - 1), NEVER, 0, FOREVER, 0, 2**40, SLOT_HEADER, longest)
    assert WORDS.unpack(WORDS.pack(*values)) == values
