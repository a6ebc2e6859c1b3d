import numpy as np
import pytest
from cloud_files import lzf
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.kernels.lzf import unpack


def unpacked(packed, size):
    """The bytes, or None if they are damaged."""
    out = np.full(size + 8, 7, np.uint8)
    got = unpack(np.frombuffer(packed, np.uint8), out[:size])
    assert (out[size:] == 7).all()
    return None if got < 0 else out[:got].tobytes()


@pytest.mark.parametrize(
    ("packed", "expected"),
    [
        (b"", b""),
        (b"\0a", b"a"),
        (b"\x02abc", b"abc"),
        (b"\0a\x20\0", b"aaaa"),  # a reference of 3 bytes, 1 back: it overlaps what it writes
        (b"\1ab\xe0\0\1", b"ab" + b"ab" * 4 + b"a"),  # of 9 bytes, 2 back
        (b"\0a\xe0\xff\0", b"a" * 265),
    ],
)
def test_what_the_bytes_mean(packed, expected):
    assert unpacked(packed, len(expected)) == expected


@pytest.mark.parametrize(
    ("packed", "size"),
    [
        (b"\x05ab", 10),  # a run beyond the end
        (b"\x20", 10),  # a reference without its distance
        (b"\0a\xe0", 300),  # without its length
        (b"\0a\x20\1", 10),  # to before the beginning
        (b"\0a\x20\0", 3),  # more bytes than there is room for
        (b"\x02abc", 2),
    ],
)
def test_damaged(packed, size):
    assert unpacked(packed, size) is None


def test_a_reference_gives_at_most_88_times_its_bytes():
    assert len(unpacked(b"\0a" + b"\xe0\xff\0" * 100, 1 << 16)) == 1 + 264 * 100


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.binary(min_size=1, max_size=6), st.integers(1, 400)), max_size=20))
def test_what_was_packed_comes_back(parts):
    data = b"".join(text * times for text, times in parts)
    assert unpacked(lzf(data), len(data)) == data


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 2000))
def test_any_bytes_stay_in_their_room(packed, size):
    unpacked(packed, size)
