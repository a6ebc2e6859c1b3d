"""The items of a batch, from `--items`: names, globs, or what a driver finds.

`--set` says where an item goes: `{item}` in a value is replaced by it. Each item has a folder in DIR, named like it.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import GraphError
from pipeline.graph import yamlfile
from pipeline.graph.load import load
from pipeline.names import FILE_BYTES, problem

PLACE = "{item}"
AUTO = "auto"
RESERVED = "_all"
"""The folder of what all items give together."""
_GLOB = re.compile(r"[*?\[]")
_UNSAFE = re.compile(r"[^\w.+=@-]")


@dataclass(frozen=True)
class Item:
    """name: what `{item}` stands for; folder: its name in DIR; named: the user has written it, no glob and no driver."""

    name: str
    folder: str
    named: bool = True


@dataclass(frozen=True)
class Settings:
    """The texts of `--set`, split: NODE.config.KEY and value, of which at least one has `{item}` in it."""

    pairs: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, sets: Sequence[str]) -> Settings:
        pairs = []
        for text in sets:
            target, equals, value = text.partition("=")
            if not equals:
                raise GraphError(f"--set {text}: needs NODE.config.KEY=VALUE, got no =")
            pairs.append((target.strip(), value))
        if not any(PLACE in value for _, value in pairs):
            raise GraphError(
                "--set: needs {item} in at least one value, or each item would be the same run; "
                "e.g. --set dets.config.sequences={item}"
            )
        return cls(tuple(pairs))

    def of(self, item: str) -> dict[str, Any]:
        """The overrides of one item. A value that is `{item}` alone is text as it stands, where YAML would not read it so."""
        out: dict[str, Any] = {}
        for target, value in self.pairs:
            if value.strip() == PLACE and not _plain(item):
                out[target] = item
            else:
                out[target] = yamlfile.read(value.replace(PLACE, item), f"--set {target}={value}")[0]
        return out

    def without_item(self) -> dict[str, Any]:
        return {target: yamlfile.read(value, f"--set {target}={value}")[0] for target, value in self.pairs if PLACE not in value}

    @property
    def targets(self) -> list[str]:
        """The keys whose whole value is an item."""
        return [target for target, value in self.pairs if value.strip() == PLACE]


def _plain(item: str) -> bool:
    """A name or number that YAML reads as it stands."""
    return re.fullmatch(r"[\w.+-]+", item) is not None


def items(text: str, graph: str, settings: Settings) -> list[Item]:
    """The items of `--items` in the order given; those of a glob and of `auto` sorted. Raises GraphError."""
    if text.strip() == AUTO:
        return _with_folders([(name, False) for name in _found(graph, settings)])
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise GraphError("--items: needs names (0002,0003), a glob ('rec/*.pcap') or auto, got none")
    names: list[tuple[str, bool]] = []
    for part in parts:
        if _GLOB.search(part) and not os.path.lexists(part):
            matches = sorted(glob.glob(os.path.expanduser(part), recursive=True))
            if not matches:
                raise GraphError(f"--items {part}: needs files or folders of this pattern, got none in {Path.cwd()}")
            names += [(match, False) for match in matches]
        else:
            names.append((part, True))
    return _with_folders(names)


def _found(graph: str, settings: Settings) -> list[str]:
    """What the driver finds that plays `{item}`: the names of its parts."""
    spec = load(graph, settings.without_item())
    reasons = []
    for target in settings.targets:
        node, dot, key = target.partition(".config.")
        if not dot or node not in spec.nodes or not spec.nodes[node].is_source:
            reasons.append(f"{target} is not the config of a driver")
            continue
        found = spec.find(node)
        if found.parts and key == found.parts_key:
            return list(dict.fromkeys(found.parts))
        who = spec.nodes[node].driver
        reasons.append(f"{who} lists its {found.parts_key}, not its {key}" if found.parts else f"{who} lists no parts")
    got = "; ".join(reasons) or "{item} is never a whole value"
    raise GraphError(f"--items auto: needs --set NODE.config.KEY={{item}} with a key whose values the driver lists, got: {got}")


def _with_folders(names: Sequence[tuple[str, bool]]) -> list[Item]:
    paths = [name for name, named in names if not named and os.sep in name]
    above = os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ""
    out: list[Item] = []
    by_name: set[str] = set()
    by_folder: dict[str, str] = {}
    for name, named in names:
        if name in by_name:
            raise GraphError(f"--items: needs each item once, got {name} again")
        short = os.path.relpath(name, above) if not named and os.sep in name and above else name
        folder = folder_of(short)
        if folder in by_folder:
            raise GraphError(
                f"--items: needs items whose folders differ, got {by_folder[folder]} and {name}, both for DIR/{folder}"
            )
        by_name.add(name)
        by_folder[folder] = name
        out.append(Item(name, folder, named))
    return out


def folder_of(name: str) -> str:
    """A name that a folder may have: letters, digits and . + = @ _ -; others become _, and a dot at the beginning too."""
    folder = _UNSAFE.sub("_", name.strip("/"))
    if folder.startswith("."):
        folder = "_" + folder[1:]
    wrong = problem(folder, FILE_BYTES)
    if not folder or wrong or folder in (RESERVED, "batch.json"):
        raise GraphError(f"--items: needs items that can name a folder, got {name[:FILE_BYTES]!a}{': ' + wrong if wrong else ''}")
    return folder


def variables(texts: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that the graph files name, with their values here: another machine has others."""
    named = {name for text in texts for name in re.findall(r"\$\{(\w+)", text)}
    return {name: environ[name] for name in sorted(named) if name in environ}
