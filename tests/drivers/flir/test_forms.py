"""Form of pictures from their first bytes, and pictures of 16-bit counts."""

import struct

import cv2
import numpy as np
import pytest

from drivers.flir.forms import check_image, check_raw, check_thermal, form, read_raw
from pipeline.errors import InputError

COUNTS = np.random.default_rng(1).integers(0, 1 << 16, (13, 17), np.uint16)
GREY = (COUNTS >> 8).astype(np.uint8)


def save(path, image, *options):
    path.write_bytes(cv2.imencode(path.suffix, image, options)[1].tobytes())
    return path


def whole(path):
    return read_raw(path, lambda shape: np.empty(shape, np.uint16))


@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_TIFF_COMPRESSION, 1), (cv2.IMWRITE_TIFF_COMPRESSION, 8)])
def test_counts_of_tiff(tmp_path, options):
    path = save(tmp_path / "a.tiff", COUNTS, *options)
    assert form(path) == (17, 13, 16, True, False)
    slot = np.zeros((13, 17), np.uint16)
    assert read_raw(path, lambda shape: slot) is slot and np.array_equal(slot, COUNTS)


def test_counts_of_png(tmp_path):
    assert np.array_equal(whole(save(tmp_path / "a.png", COUNTS)), COUNTS)


def test_big_endian_tiff(tmp_path):
    data = COUNTS.astype(">u2").tobytes()
    tags = [
        (256, 3, 17),
        (257, 3, 13),
        (258, 3, 16),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (278, 3, 13),
        (279, 4, len(data)),
    ]
    entries = b"".join(
        struct.pack(">HHI", tag, kind, 1) + (struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value))
        for tag, kind, value in tags
    )
    head = b"MM\0*" + struct.pack(">I", 8 + len(data))
    (tmp_path / "a.tif").write_bytes(head + data + struct.pack(">H", len(tags)) + entries + b"\0\0\0\0")
    assert form(tmp_path / "a.tif") == (17, 13, 16, True, False)
    assert np.array_equal(whole(tmp_path / "a.tif"), COUNTS)


@pytest.mark.parametrize("name", ["a.tiff", "a.png"])
def test_a_picture_cut_anywhere_is_refused(tmp_path, name):
    path = save(tmp_path / name, COUNTS)
    data = path.read_bytes()
    for size in [*range(40), *range(40, len(data) - 1, 23), len(data) - 13]:
        path.write_bytes(data[:size])
        with pytest.raises(InputError, match=rf"{name}: needs a "):
            whole(path)


def palette(path):
    """A PNG with a palette, grey values as numbers of colours."""
    import zlib

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows = b"".join(b"\0" + row.tobytes() for row in GREY)
    header = struct.pack(">IIBBBBB", 17, 13, 8, 3, 0, 0, 0)
    parts = (
        chunk(b"IHDR", header) + chunk(b"PLTE", bytes(range(256)) * 3) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


def test_wrong_forms(tmp_path):
    raw, grey = save(tmp_path / "raw.tiff", COUNTS), save(tmp_path / "grey.png", GREY)
    colour, deep = save(tmp_path / "colour.png", np.dstack([COUNTS] * 3)), save(tmp_path / "deep.png", COUNTS)
    cases = [
        (check_thermal, raw, "needs an 8-bit thermal picture, got 16 bits per value; 16-bit counts belong to port thermal_raw"),
        (check_thermal, deep, "needs an 8-bit thermal picture, got 16 bits"),
        (check_thermal, palette(tmp_path / "p.png"), "needs grey values, got a PNG with a palette, which is of colours"),
        (check_raw, grey, "needs 16-bit counts of a thermal camera, got 8 bits per value; 8-bit pictures .* port thermal"),
        (check_raw, save(tmp_path / "grey.tiff", GREY), "needs 16-bit counts of a thermal camera, got 8 bits"),
        (check_raw, colour, "needs 16-bit counts of a thermal camera, got colours"),
        (
            check_image,
            deep,
            "needs an 8-bit RGB picture, got 16 bits per value; counts of a thermal camera belong to port thermal_raw",
        ),
    ]
    for check, path, text in cases:
        with pytest.raises(InputError, match=f"{path}: {text}"):
            check(path)
    check_thermal(grey), check_image(grey), check_raw(raw), check_raw(deep)


@pytest.mark.parametrize("size", [(2**31 - 1, 2**31 - 1), (60_000, 60_000), (0, 5)])
def test_a_size_that_the_bytes_do_not_hold(tmp_path, size):
    """No memory is taken for it."""
    data = bytearray(save(tmp_path / "a.tiff", COUNTS, cv2.IMWRITE_TIFF_COMPRESSION, 1).read_bytes())
    at = struct.unpack_from("<I", data, 4)[0] + 2
    for entry in range(struct.unpack_from("<H", data, at - 2)[0]):
        start = at + 12 * entry
        tag = struct.unpack_from("<H", data, start)[0]
        if tag in (256, 257):
            data[start + 2 : start + 12] = struct.pack("<HII", 4, 1, size[tag - 256])
    (tmp_path / "a.tiff").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.tiff: needs a whole TIFF or PNG picture, got"):
        read_raw(tmp_path / "a.tiff", lambda shape: pytest.fail(f"asked for {shape}"))
