import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from panoptic_files import label_png

from drivers.pictures import check_pictures, picture_size, read_grey, read_labels, read_rgb
from pipeline.errors import InputError

RGB = np.random.default_rng(3).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.fixture
def saved(tmp_path):
    def save(name, image=RGB, kind=None, *options):
        path = tmp_path / name
        path.write_bytes(cv2.imencode(kind or path.suffix.lower(), image[..., ::-1], options)[1].tobytes())
        return path

    return save


def whole(path, read=read_rgb):
    return read(path, lambda shape: np.empty(shape, np.uint8))


def flat(rgb, size=(8, 6)):
    return np.full((size[1], size[0], 3), rgb, np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.jpg", "a.JPEG"])
def test_pictures_are_rgb_in_the_given_memory(saved, name):
    slot = np.zeros((6, 8, 3), np.uint8)
    path = saved(name, flat((250, 100, 1)))
    assert read_rgb(path, lambda shape: slot) is slot
    assert np.abs(slot.astype(int) - (250, 100, 1)).max() <= (0 if "p" in name.lower()[:3] else 3)
    assert picture_size(path) == (8, 6)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_grey_is_luminance(saved, name):
    slot = np.zeros((6, 8), np.uint8)
    assert read_grey(saved(name, flat((77, 77, 77))), lambda shape: slot) is slot
    assert np.abs(slot.astype(int) - 77).max() <= 1


def test_the_content_decides_not_the_name(saved):
    path = saved("a.png", RGB, ".jpg")
    assert picture_size(path) == (64, 48) and whole(path).shape == RGB.shape


def test_png_is_exact_and_progressive_jpegs_are_read(saved):
    path = saved("a.png")
    assert np.array_equal(whole(path), RGB)
    path.write_bytes(path.read_bytes() + b"a camera's own bytes")
    assert np.array_equal(whole(path), RGB)
    assert whole(saved("a.jpg", RGB, None, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)).shape == RGB.shape


def test_exif_does_not_turn_the_picture(saved):
    """Calibrations count the pixels as they are stored. Orientation 6: a quarter turn."""
    path = saved("a.jpg")
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x112, 3, 1, 6, 0, 0)
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    assert picture_size(path) == (64, 48) and whole(path).shape == RGB.shape


def test_a_jpeg_with_much_before_its_size(saved):
    """And with the end mark of a thumbnail in it."""
    path = saved("a.jpg")
    data = path.read_bytes()
    block = b"\xff\xe2" + struct.pack(">H", 40002) + b"\xff\xd9" * 20000
    path.write_bytes(data[:2] + block * 3 + data[2:])
    assert picture_size(path) == (64, 48) and whole(path).shape == RGB.shape
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="needs a whole PNG or JPEG picture"):
        whole(path)


@pytest.mark.parametrize("read", [read_rgb, read_grey])
@pytest.mark.parametrize(("name", "options"), [("a.png", ()), ("a.jpg", ()), ("b.jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1))])
def test_a_picture_cut_anywhere_is_refused(saved, read, name, options):
    path = saved(name, RGB, None, *options)
    data = path.read_bytes()
    for size in [*range(0, len(data) - 1, 97), len(data) - 12, len(data) - 1]:
        path.write_bytes(data[:size])
        with pytest.raises(InputError, match=rf"{name}: needs a (whole )?PNG or JPEG picture, got"):
            whole(path, read)


def png(width, height, data=b"", depth=8, kind=2):
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(100_000, 100_000), (2**31 - 1, 2**31 - 1), (0, 5), (60_000, 60_000)])
def test_a_size_that_the_bytes_do_not_hold(tmp_path, size):
    """No memory is taken for it."""
    jpeg = bytearray(cv2.imencode(".jpg", RGB)[1].tobytes())
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", size[1] % 65536, size[0] % 65536)
    for name, data in (("a.png", png(*size)), ("a.jpg", bytes(jpeg))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match="needs a whole PNG or JPEG picture, got"):
            read_rgb(tmp_path / name, lambda shape: pytest.fail(f"asked for {shape}"))


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "an empty file"),
        (b"GIF89a", "a file that starts with b'GIF89a'"),
        (b"\xff\xd8\xff", None),
        (b"\x89PNG\r\n\x1a\n", None),
    ],
)
def test_something_else(tmp_path, content, got):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    text = rf"a\.png: needs a PNG or JPEG picture, got {got}" if got else "needs a whole PNG or JPEG picture, got"
    for call in (picture_size, whole, lambda path: check_pictures([path])):
        with pytest.raises(InputError, match=text):
            call(path)


def test_no_file(tmp_path):
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to("nothing")
    for name, text in (
        ("fifo", "needs a file, got a named pipe"),
        ("folder", "needs a file, got a folder"),
        ("link", "is a link to"),
    ):
        with pytest.raises(InputError, match=rf"{name}\.png: {text}"):
            picture_size(tmp_path / f"{name}.png")
    with pytest.raises(InputError, match=r"gone\.png: needs to be readable, got No such file"):
        whole(tmp_path / "gone.png")


# -- labels -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "bits"), [(0, 1), (0, 4), (0, 8), (0, 16), (3, 1), (3, 2), (3, 4), (3, 8), (2, 8), (6, 8)])
def test_labels_are_the_numbers_that_the_file_holds(tmp_path, kind, bits):
    """Of a palette the index, of few bits the bits, of colours with alpha the colours."""
    shape = {2: (7, 9, 3), 6: (7, 9, 4)}.get(kind, (7, 9))
    labels = np.random.default_rng(kind + bits).integers(0, 1 << bits, shape)
    label_png(tmp_path / "l.png", labels, kind, bits)
    found = read_labels(tmp_path / "l.png")
    np.testing.assert_array_equal(found, labels[:, :, :3] if labels.ndim == 3 else labels)
    assert found.dtype == (np.uint16 if bits == 16 else np.uint8)


def test_labels_are_no_jpeg_and_no_grey_with_alpha(tmp_path):
    cv2.imwrite(str(tmp_path / "l.jpg"), np.zeros((8, 8), np.uint8))
    with pytest.raises(InputError, match=r"l.jpg: needs labels as PNG, got a JPEG, which does not keep them"):
        read_labels(tmp_path / "l.jpg")
    label_png(tmp_path / "a.png", np.zeros((4, 4, 2), np.uint8), kind=4)
    with pytest.raises(InputError, match="needs labels in grey, RGB or a palette, got a PNG of type 4 with 8 bits per value"):
        read_labels(tmp_path / "a.png")
    label_png(tmp_path / "p.png", np.zeros((4, 4), np.uint8), kind=3)
    (tmp_path / "p.png").write_bytes((tmp_path / "p.png").read_bytes()[:-20])
    with pytest.raises(InputError, match="needs a whole PNG or JPEG picture"):
        read_labels(tmp_path / "p.png")
