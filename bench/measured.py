"""Writes the sections of docs/measured.md that have results of record, and their plots: `python -m bench.measured [RESULTS]`.

A section stands between `<!-- NAME -->` and `<!-- /NAME -->`; NAME-*.json in bench/results (or the folder RESULTS), written by
`pipe bench NAME`, fills it. A section without results stays as it is.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from bench import sections
from bench.common import RESULTS

DOCS = Path(__file__).resolve().parents[1] / "docs"


def main(results: Path = RESULTS, docs: Path = DOCS) -> list[str]:
    """The names of the sections that were written."""
    page = docs / "measured.md"
    text, written = page.read_text(encoding="utf-8"), []
    for name, section in (("rivals", sections.rivals), ("scale", sections.scale)):
        files = sorted(results.glob(f"{name}-*.json"))
        if not files:
            continue
        body, plots = section(json.loads(files[-1].read_text(encoding="utf-8")))
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        found = mark.search(text)
        if not found:
            raise SystemExit(f"{page}: needs <!-- {name} --> and <!-- /{name} -->, got none")
        text = f"{text[: found.end(1)]}{body}\n{text[found.start(2) :]}"
        for file, drawn in plots.items():
            (docs / "plots").mkdir(exist_ok=True)
            (docs / "plots" / file).write_text(drawn, encoding="utf-8")
        written.append(name)
    page.write_text(text, encoding="utf-8")
    return written


if __name__ == "__main__":
    print("written: " + (", ".join(main(*map(Path, sys.argv[1:]))) or "nothing, no results"))
