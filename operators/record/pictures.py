"""The size of a packed picture, from its first bytes: before a library takes memory for it."""

from __future__ import annotations

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}  # markers SOFn of JPEG
_BARE = {0x01, *range(0xD0, 0xD9)}  # markers without a length


def size(codec: str, data: bytes) -> tuple[int, int]:
    """Rows, columns of a picture packed as png or jpeg. Raises ValueError if it is none."""
    if codec == "png" and data.startswith(_PNG) and data[12:16] == b"IHDR" and len(data) >= 24:
        return int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")
    at = 2
    while codec == "jpeg" and data.startswith(_JPEG) and at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _FRAMES:
            return int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
        at += 1 if marker == 0xFF else 2 if marker in _BARE else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise ValueError(f"it is no {codec} picture")
