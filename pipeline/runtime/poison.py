"""Frames that made an operator raise: saved with all arguments of `process`, to run the call again alone.

DIR/poison/NODE-SOURCE-FRAME.npz: an array PORT/NAME for each array of each input (latched ones included), and `pipe`, JSON: the
node, its config, the error, and per port header and metadata. No pickle, so a saved frame is safe to share.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import outputs, settings
from pipeline.errors import FrameError, RunError
from pipeline.frame import Header
from pipeline.operator import Operator, attach, prepare
from pipeline.runtime import threads
from pipeline.schema import ports

if TYPE_CHECKING:
    from pipeline.graph.spec import GraphSpec

FOLDER = "poison"


@dataclass
class Poison:
    """The arguments of one call of `process`. trigger: the port whose header the outputs carry."""

    node: str
    trigger: str
    headers: dict[str, Header]
    meta: dict[str, dict[str, Any]]
    missing: tuple[str, ...]
    config: dict[str, Any]
    error: str
    arrays: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    def save(self, folder: Path) -> Path:
        """Raises OSError."""
        header = self.headers[self.trigger]
        path = folder / f"{self.node}-{header.source}-{header.frame_id}.npz"
        description = {
            "node": self.node,
            "trigger": self.trigger,
            "headers": {port: h._asdict() for port, h in self.headers.items()},
            "meta": self.meta,
            "missing": list(self.missing),
            "config": self.config,
            "error": self.error,
        }
        arrays = {f"{port}/{name}": array for port, group in self.arrays.items() for name, array in group.items()}
        arrays["pipe"] = np.frombuffer(json.dumps(description).encode(), np.uint8)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            np.savez(path, **arrays)  # type: ignore[arg-type]
        except OSError:
            path.unlink(missing_ok=True)  # half a file is useless and takes space on a full disk
            raise
        return path

    @classmethod
    def load(cls, path: Path) -> Poison:
        """Raises RunError if the file is no saved frame."""
        from zipfile import BadZipFile

        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
                arrays = {name: saved[name] for name in saved.files}
            description = json.loads(arrays.pop("pipe").tobytes())
            headers = {port: Header(**h) for port, h in description["headers"].items()}
            poison = cls(
                description["node"],
                description["trigger"],
                headers,
                description["meta"],
                tuple(description["missing"]),
                description["config"],
                description["error"],
            )
            poison.headers[poison.trigger]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, BadZipFile) as error:
            raise RunError(f"{path}: needs a frame saved in DIR/poison, got {type(error).__name__}: {error}") from None
        for name, array in arrays.items():
            port, _, inner = name.partition("/")
            array.flags.writeable = False  # as in the run
            poison.arrays.setdefault(port, {})[inner] = array
        return poison


def changes(poison: Poison, config: Any) -> list[str]:
    """`max_points was 32 when the frame failed, is 8 now`: changes that may keep a frame from failing again."""
    now = settings.plain(config)
    keys = dict.fromkeys([*poison.config, *now])
    return [
        f"{poison.node}.config.{key} was {settings.show(poison.config.get(key))} when the frame failed, "
        f"is {settings.show(now.get(key))} now"
        for key in keys
        if json.dumps(poison.config.get(key)) != json.dumps(now.get(key))
    ]


def rerun(graph: GraphSpec, poison: Poison, out: Path) -> Any:
    """Call the operator on the frame in this process; returns the result of `process`, checked as the engine does.

    The operator is new: it has no state of earlier frames (a tracker's). Exceptions of the operator pass through.
    """
    node = graph.nodes[poison.node]
    operator: Operator = prepare(node.cls(), node.name, node.config, threads=node.threads, out_dir=out)
    operator.headers, operator.header = poison.headers, poison.headers[poison.trigger]
    operator.meta, operator.missing = poison.meta, poison.missing
    attach(operator, alloc=outputs.heap(node.cls.outputs, node.name))
    values = {}
    for port, spec in ports(node.cls.inputs, node.name).items():
        arrays = poison.arrays.get(port)
        values[port] = None if arrays is None else spec.schema.pack(arrays)
    with threads.limit(node.threads):
        operator.open()
        try:
            result = operator.process(**values)
            _check(graph, node.name, result)
        finally:
            operator.close()
    return result


def _check(graph: GraphSpec, node: str, result: Any) -> None:
    """The engine's checks of a result of `process`."""
    from pipeline.graph import sizing  # not for workers

    declared = ports(graph.nodes[node].cls.outputs, node)
    for port, value in outputs.by_port(result, declared, node).items():
        if value is None:
            continue
        arrays = outputs.arrays_of(value, declared, port, node)
        needed, there = sum(-(-a.nbytes // 64) * 64 for a in arrays.values()), sizing.slot_bytes(graph, node, port)
        if there and needed > -(-there // 64) * 64:
            raise FrameError(f"{node}.{port}: frame needs {needed / 1e6:.3g} MB, its slot holds {there / 1e6:.3g} MB")


def debug(graph: GraphSpec, poison: Poison, out: Path, *, interactive: bool) -> Any:
    """`rerun`; if it raises on a terminal, the debugger opens at the line that raised, with all variables."""
    try:
        return rerun(graph, poison, out)
    except Exception as error:
        if interactive:
            import pdb
            import traceback

            traceback.print_exc()
            print(f"the debugger is at the line that raised; `u` goes up to {poison.node}.process, `q` leaves")
            pdb.post_mortem(error.__traceback__)
        raise


def as_config(config: Any) -> dict[str, Any]:
    """A config in its saved form."""
    return dict(settings.plain(config)) if dataclasses.is_dataclass(config) else {}
