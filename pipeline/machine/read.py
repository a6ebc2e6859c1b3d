"""Small files of /proc and /sys, which may be absent, closed to this user, or of a device that does not answer."""

from __future__ import annotations

from pathlib import Path


def text(path: Path) -> str:
    """The stripped text of a file; "" where it cannot be read."""
    try:
        return path.read_text(errors="replace").replace("\0", " ").strip()
    except OSError:
        return ""


def number(path: Path) -> int | None:
    try:
        return int(text(path))
    except ValueError:
        return None


def listed(folder: Path, pattern: str) -> list[Path]:
    """Files of a folder that match, in the order of their numbers (hwmon2 before hwmon10)."""
    try:
        return sorted(folder.glob(pattern), key=lambda path: (len(path.name), path.name))
    except OSError:
        return []
