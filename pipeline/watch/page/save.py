"""Writes DIR/run.html after the end of a run. Nothing that fails here fails the run: it is one warning."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.errors import explain
from pipeline.options import Outcome
from pipeline.runtime.session import Session

NAME = "run.html"
MOST_BYTES = 5 << 20


def save(session: Session, outcome: Outcome, warn: Callable[[str], None]) -> Mapping[str, Any] | None:
    """Returns the content of the page; None if it could not be written, or if there is nothing to show: no step of any node."""
    if not session.options.page or not any(book.steps for book in session.node_books.values()):
        return None
    path = session.options.out / NAME
    temporary = path.with_name(f".{NAME}.part")
    try:
        from pipeline.runtime.snapshot import snapshot
        from pipeline.watch.page.content import content
        from pipeline.watch.page.html import page

        made = content(session.graph, session.options.out, snapshot(session), outcome.report, outcome.errors)
        data = page(made).encode("utf-8", "replace")
        if len(data) > MOST_BYTES:
            cuts = [*made["cuts"], "frames: the page has no room for them"]
            made |= {"stories": {"frames": [], "slow": []}, "cuts": cuts}
            data = page(made).encode("utf-8", "replace")
        temporary.write_bytes(data)
        os.replace(temporary, path)
        return made
    except Exception as error:
        warn(f"{path}: needs to be written, got: {explain(error)}; report.json and logs/ have the figures")
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        return None
