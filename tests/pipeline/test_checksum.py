"""Checksums: the same numbers with and without the fast package, over any data, in pieces or whole."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.checksum import combine, crc32


@given(st.binary(max_size=300), st.integers(0, 2**32 - 1))
def test_as_zlib(data, start):
    assert crc32(data) == zlib.crc32(data)
    assert crc32(data, start) == zlib.crc32(data, start)


@pytest.mark.parametrize("size", [0, 1, 1 << 16, 6_220_800])
def test_views_of_any_length(size):
    array = np.random.default_rng(0).integers(0, 256, size + 3, np.uint8)
    assert crc32(array[3:].data) == zlib.crc32(array[3:].tobytes())


def test_without_the_package():
    """The same number comes from zlib."""
    code = "import sys; sys.modules['isal'] = None; from pipeline import checksum; print(checksum.FAST, checksum.crc32(b'pipe'))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told == f"False {zlib.crc32(b'pipe')}\n"


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_combine_two_checksums(a, b):
    assert combine(zlib.crc32(a), zlib.crc32(b), len(b)) == zlib.crc32(a + b)


@pytest.mark.parametrize("size", [1 << 16, 6_220_800, 10**7 + 1])
def test_combine_large_pieces(size):
    data = os.urandom(1000) * (size // 1000 + 1)
    assert combine(zlib.crc32(b"head"), zlib.crc32(data[:size]), size) == zlib.crc32(b"head" + data[:size])
