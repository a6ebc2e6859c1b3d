"""Pictures from files: PNG and JPEG, told apart by their first bytes.

Size and completeness come from the file's own structure, before memory is taken and before OpenCV decodes: it fills what a cut
JPEG lacks with grey, and takes memory for any size that a header claims. A JPEG's EXIF orientation does not turn the picture, as
calibrations count its pixels as they are stored.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np

from operators import folders
from pipeline.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg")
_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xae\x42\x60\x82"
_JPEG = b"\xff\xd8\xff"
_HEAD_BYTES = 1 << 12
_SIZES_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_ALONE = {0x01, *range(0xD0, 0xD9)}
_SCAN = 0xDA
_END = b"\xff\xd9"
_GREY, _PALETTE = 0, 3
_LABEL_CHANNELS = {_GREY: 1, 2: 3, _PALETTE: 1, 6: 4}
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEFLATE_RATIO, _JPEG_PIXELS_PER_BYTE = 1032, 1024
"""More pixels than the formats can hold in the bytes of a file are claimed, not there."""


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) from the first bytes of the file. Raises InputError."""
    data = _read(path, _HEAD_BYTES)
    size = _size_and_start(path, data)[:2]
    if 0 in size:
        data = _read(path)  # a JPEG with large EXIF data
        size = _size_and_start(path, data)[:2]
    if 0 in size:
        raise _damaged(path, len(data))
    return size


def check_pictures(files: Iterable[Path]) -> None:
    """Raises InputError for a file whose first bytes are no picture's."""
    for path in files:
        picture_size(path)


def read_rgb(path: Path, alloc: Callable[[tuple[int, int, int]], np.ndarray]) -> np.ndarray:
    """A picture as (H, W, 3) uint8 RGB. Decoded in private memory, then converted from BGR into the array from `alloc`."""
    data, (width, height) = _whole(path)
    rgb = alloc((height, width, 3))
    cv2.cvtColor(_decode(path, data, cv2.IMREAD_COLOR, rgb.shape), cv2.COLOR_BGR2RGB, dst=rgb)
    return rgb


def read_grey(path: Path, alloc: Callable[[tuple[int, int]], np.ndarray]) -> np.ndarray:
    """A picture as (H, W) uint8 luminance."""
    data, (width, height) = _whole(path)
    grey = alloc((height, width))
    np.copyto(grey, _decode(path, data, cv2.IMREAD_GRAYSCALE, grey.shape))
    return grey


def read_labels(path: Path) -> np.ndarray:
    """A PNG of labels as stored: (H, W) uint8 or uint16, of a palette the index; (H, W, 3) uint8 RGB without its alpha."""
    data, (width, height) = _whole(path)
    if not data.startswith(_PNG):
        raise InputError(f"{path}: needs labels as PNG, got a JPEG, which does not keep them")
    bits, kind = data[24], data[25]
    if kind not in _LABEL_CHANNELS or (bits == 16 and kind != _GREY):
        raise InputError(f"{path}: needs labels in grey, RGB or a palette, got a PNG of type {kind} with {bits} bits per value")
    if kind == _PALETTE:
        data = _as_grey(data)
    channels = _LABEL_CHANNELS[kind]
    labels = _decode(path, data, cv2.IMREAD_UNCHANGED, (height, width, channels)[: 2 if channels == 1 else 3])
    if channels > 1:
        return np.ascontiguousarray(labels[:, :, 2::-1])
    return labels // np.uint8(255 // ((1 << bits) - 1)) if bits < 8 else labels  # OpenCV spreads few bits over 0..255


def _as_grey(data: bytes) -> bytes:
    """A PNG with a palette as one of grey values: OpenCV would put colours in the place of the indices."""
    out, at = [_PNG], len(_PNG)
    while at + 12 <= len(data):
        end = at + 12 + struct.unpack(">I", data[at : at + 4])[0]
        name = data[at + 4 : at + 8]
        if name == b"IHDR":
            head = data[at + 4 : at + 17] + bytes([_GREY]) + data[at + 18 : end - 4]
            out.append(data[at : at + 4] + head + struct.pack(">I", zlib.crc32(head)))
        elif name not in (b"PLTE", b"tRNS"):
            out.append(data[at:end])
        at = end
    return b"".join(out)


def _read(path: Path, most: int = -1) -> bytes:
    with folders.reading(path) as file:
        return file.read(most)


def _whole(path: Path) -> tuple[bytes, tuple[int, int]]:
    """The bytes of a complete file, and (width, height)."""
    data = _read(path)
    width, height, start = _size_and_start(path, data)
    if data.startswith(_PNG):
        whole = _png_ends(data) and width * height * _png_bits(data) <= 8 * _DEFLATE_RATIO * len(data)
    else:
        whole = data.rfind(_END, start) >= 0 and width * height <= _JPEG_PIXELS_PER_BYTE * len(data)
    if not width or not height or not whole:
        raise _damaged(path, len(data))
    return data, (width, height)


def _decode(path: Path, data: bytes, flags: int, shape: tuple[int, ...]) -> np.ndarray:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        image = None
    if image is None or image.shape != shape:
        raise _damaged(path, len(data))
    return image


def _damaged(path: Path, size: int) -> InputError:
    return InputError(f"{path}: needs a whole PNG or JPEG picture, got {size} bytes that do not decode; copied incompletely?")


def _size_and_start(path: Path, data: bytes) -> tuple[int, int, int]:
    """Width, height (0: not in these bytes), and of a JPEG the byte where its scan begins."""
    if data.startswith(_PNG):
        width, height = struct.unpack(">II", data[16:24]) if len(data) >= 24 and data[12:16] == b"IHDR" else (0, 0)
        return width, height, 0
    if not data.startswith(_JPEG):
        got = f"a file that starts with {data[:8]!r}" if data else "an empty file"
        raise InputError(f"{path}: needs a PNG or JPEG picture, got {got}")
    return _jpeg_frame(data)


def _jpeg_frame(data: bytes) -> tuple[int, int, int]:
    width = height = 0
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        kind = data[at + 1]
        if kind == 0xFF:  # a fill byte
            at += 1
        elif kind in _ALONE:
            at += 2
        elif kind == _SCAN:
            return width, height, at
        else:
            if kind in _SIZES_OF_FRAME and at + 9 <= len(data):
                height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return width, height, len(data)


def _png_bits(data: bytes) -> int:
    """Bits per pixel."""
    return data[24] * _CHANNELS.get(data[25], 1)


def _png_ends(data: bytes) -> bool:
    """Do whole chunks lead to IEND? Mostly it is the last one."""
    if data.endswith(_PNG_END):
        return True
    at = len(_PNG)
    while at + 12 <= len(data):
        length = struct.unpack(">I", data[at : at + 4])[0]
        if data[at + 4 : at + 8] == b"IEND":
            return True
        at += 12 + length
    return False
