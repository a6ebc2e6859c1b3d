"""Frames that made an operator raise: saved with all arguments of `process`, to run the call again alone.

DIR/poison/NODE-SOURCE-FRAME.npz: an array PORT/NAME for each array of each input (latched ones included), and `pipe`, JSON: the
node, its config, the error, and per port header and metadata. No pickle, so a saved frame is safe to share.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import outputs, settings
from pipeline.errors import FrameError, RunError
from pipeline.frame import Header
from pipeline.operator import Operator, attach, prepare
from pipeline.outside import open_file, parse_json, unpacked_limit
from pipeline.runtime import threads
from pipeline.schema import Port, ports

if TYPE_CHECKING:
    from pipeline.graph.spec import GraphSpec, NodeSpec

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
        arrays["pipe"] = np.frombuffer(json.dumps(description, default=repr).encode(), np.uint8)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.node}-{header.source}-{header.frame_id}.npz"
        while path.exists():  # names of nodes may hold "-": a-b of c and a of b-c
            path = path.with_name(f"{path.stem}-again.npz")
        try:
            np.savez(path, **arrays)  # type: ignore[arg-type]
        except OSError:
            path.unlink(missing_ok=True)  # half a file is useless and takes space on a full disk
            raise
        return path

    @classmethod
    def load(cls, path: Path) -> Poison:
        """Raises RunError if the file is no saved frame."""
        try:
            arrays = _arrays(path)
            description = parse_json(arrays.pop("pipe").tobytes())
            poison = cls(**{key: _checked(key, description[key], kind) for key, kind in _KINDS.items()})
            poison.headers = {port: _header(port, fields) for port, fields in poison.headers.items()}
            poison.meta = {port: _checked(f"meta of {port}", facts, dict) for port, facts in poison.meta.items()}
            poison.missing = tuple(poison.missing)
            poison.headers[poison.trigger]
        except Exception as error:  # any bytes: numpy and zipfile raise a dozen kinds
            text = " ".join(str(error).split())
            raise RunError(f"{path}: needs a frame saved in DIR/poison, got {type(error).__name__}: {text}") from None
        for name, array in arrays.items():
            port, _, inner = name.partition("/")
            array.flags.writeable = False  # as in the run
            poison.arrays.setdefault(port, {})[inner] = array
        return poison


_KINDS: dict[str, type] = {
    "node": str, "trigger": str, "headers": dict, "meta": dict, "missing": list, "config": dict, "error": str,
}  # fmt: skip
"""Fields of the description, as JSON has them."""


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file. Raises anything for a file that is none, and ValueError before it takes much memory."""
    import zipfile  # not for workers

    with os.fdopen(open_file(path), "rb") as file, zipfile.ZipFile(file) as saved:
        members = saved.infolist()
        claimed, limit = sum(member.file_size for member in members), unpacked_limit(os.fstat(file.fileno()).st_size)
        if claimed > limit:
            raise ValueError(f"it claims {claimed} bytes, at most {limit} are unpacked")
        out = {}
        for member in members:
            data = io.BytesIO(saved.read(member))
            version = np.lib.format.read_magic(data)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(data)
            if dtype.hasobject or math.prod(shape) * dtype.itemsize > member.file_size:
                raise ValueError(f"{member.filename} is no array of numbers that is all there")
            data.seek(0)
            out[member.filename.removesuffix(".npy")] = np.lib.format.read_array(data, allow_pickle=False)
        return out


def _checked(name: str, value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{name} needs to be a {kind.__name__}, got {settings.show(value)}")
    return value


def _header(port: str, fields: Any) -> Header:
    kinds = {"source": str, "frame_id": int, "item": str, "stamp_ns": int, "recv_ns": int}
    fields = _checked(f"header of {port}", fields, dict)
    return Header(**{name: _checked(f"{name} of {port}", fields[name], kind) for name, kind in kinds.items()})


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
    values = {port: _value(poison, node, port, spec) for port, spec in ports(node.cls.inputs, node.name).items()}
    with threads.limit(node.threads):
        operator.open()
        try:
            result = operator.process(**values)
            _check(graph, node.name, result)
        finally:
            operator.close()
    return result


def _value(poison: Poison, node: NodeSpec, port: str, spec: Port) -> Any:
    """The argument for one port, checked: the file may be of another operator. Raises RunError or FrameError."""
    arrays = poison.arrays.get(port)
    if arrays is None:
        given = port in node.inputs and port not in poison.missing and not spec.optional
        if given and not (node.sync is not None and port in node.sync.optional):
            raise RunError(f"{node.name}.{port}: needs its value in the saved frame, got none; is the frame of this graph?")
        return None
    lacking = [name for name in spec.schema.arrays if name not in arrays]
    if lacking:
        raise RunError(f"{node.name}.{port}: needs arrays {', '.join(spec.schema.arrays)} in the saved frame, lacks {lacking[0]}")
    spec.schema.check(arrays, f"{node.name}.{port}")
    return spec.schema.pack(arrays)


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
