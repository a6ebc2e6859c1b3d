"""One HTML text from the page's data. Script and style are allowed by their hashes, everything else from elsewhere is refused."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FINISHED, LIVE = ("draw.js", "page.js", "start.js"), ("draw.js", "page.js", "film.js", "live.js")


def page(data: dict[str, Any], scripts: Sequence[str] = FINISHED) -> str:
    """The whole file."""
    script, style = "(() => {\n" + "".join(map(_part, scripts)) + "})();\n", _part("page.css")
    parts = {
        "policy": _policy(script, style),
        "title": escape(f"{data['snapshot']['graph']}: run {data['snapshot']['run']}"),
        "style": style,
        "script": script,
        "data": embedded(data),
    }
    before, *rest = _part("page.html").split("{{")
    out = [before]
    for piece in rest:
        name, _, text = piece.partition("}}")
        out += [parts[name], text]
    return "".join(out)


def embedded(data: Any) -> str:
    """JSON that may stand inside a script element: nothing in it begins or ends an element or a comment."""
    try:
        text = json.dumps(data, separators=(",", ":"), allow_nan=False, default=str)
    except ValueError:
        text = json.dumps(finite(data), separators=(",", ":"), allow_nan=False, default=str)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def finite(value: Any) -> Any:
    """JSON has no inf and no nan: they become text. Containers are returned as copies."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def _policy(script: str, style: str) -> str:
    """Values have no quotes that end the attribute. `file:`: the page and its pictures are opened from a folder."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src 'self' data: blob: file:; "
        "media-src 'self' blob: file:; connect-src 'self'; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    """Of the text between the tags, as Content-Security-Policy has it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(b"\n" + text.encode()).digest()).decode()


@cache
def _part(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
