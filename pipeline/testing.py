"""Test an operator or a source like a function: list in, list out; no graph, no processes.

    outputs = run_operator(crop, [points, empty], {"max_m": 10})
    readings = run_source(Scans, {"root": tmp_path})

The checks are those of the engine: config as from YAML, dtype and shape of all inputs and outputs. Inputs are read-only,
outputs are copied before the next call. `ListSource` and `ListSink` do the same for a whole graph.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pipeline import outputs, settings
from pipeline.errors import GraphError
from pipeline.frame import Header, Reading
from pipeline.graph import project
from pipeline.operator import Found, Node, Operator, Resume, Source, attach, prepare
from pipeline.runtime.live_config import changed
from pipeline.schema import Port, ports

PERIOD_NS = 100_000_000
"""Distance of two stamps where a test gives none."""


def use_project(folder: Path) -> None:
    """Let tests import `operators.x` and `drivers.x` of a project, as graphs do; for its conftest.py."""
    project.use(folder.resolve())
    project.enter()


def header(frame_id: int, item: str | None = None, stamp_ns: int | None = None, source: str = "test") -> Header:
    """Header of frame 7: item "000007", 0.7 s."""
    item = f"{frame_id:06d}" if item is None else item
    return Header(source, frame_id, item, frame_id * PERIOD_NS if stamp_ns is None else stamp_ns)


def run_operator(
    cls: type[Operator],
    inputs: Sequence[Any],
    config: Any = None,
    *,
    statics: Mapping[str, Any] | None = None,
    headers: Sequence[Header] | None = None,
    meta: Sequence[Mapping[str, Mapping[str, Any]]] | None = None,
    name: str | None = None,
    out_dir: Path | None = None,
    resume: Resume | None = None,
    threads: int = 1,
    levels: Sequence[int] | None = None,
    changes: Mapping[int, Mapping[str, Any]] | None = None,
) -> list[Any]:
    """Open, `process` each set of inputs, close; returns one output per set, None where the operator emitted nothing.

    inputs   {port: value} per set, or bare values for an operator that needs one stream input. A port that is absent (or None) in
             this set and present in others is a missing optional input
    config   a dict as in YAML, an instance of `cls.Config`, or None for its defaults
    statics  static port -> its latched value
    headers  of the sets; else source "test", frame_id 0, 1, ..., stamps 100 ms apart
    meta     per set, port -> meta from its producer
    threads  of the node
    levels   of the sets (`Operator.set_level`); else the best one
    changes  number of a set -> live keys with the values that hold from this set on, as by `pipe set`
    out_dir  for sinks; else a temporary folder
    An exception of the operator is raised unchanged.
    """
    node = cls()
    name = name or cls.__name__.lower()
    declared = ports(cls.inputs, name)
    out_ports = ports(cls.outputs, name)
    latched = {port: _received(value, declared, port, name) for port, value in (statics or {}).items()}
    sets = [_by_port(item, declared, name) for item in inputs]
    connected = {port for values in sets for port, value in values.items() if value is not None}
    _complete(declared, connected, sets, latched, name)
    if headers is not None and len(headers) != len(sets):
        raise GraphError(f"{name}: needs a header for each of {len(sets)} sets of inputs, got {len(headers)}")
    with _prepared(node, name, config, out_ports, out_dir, resume=resume, threads=threads):
        node.open()
        results = []
        for i, values in enumerate(sets):
            head = headers[i] if headers is not None else header(i)
            if levels is not None and levels[i] != (levels[i - 1] if i else 0):
                node.set_level(levels[i])
            for key, value in (changes or {}).get(i, {}).items():
                node.reconfigure(changed(name, cls, node.config, key, value))
            given = {port: value for port, value in values.items() if value is not None}
            node.header, node.headers = head, dict.fromkeys(given, head)
            node.meta = {port: dict((meta[i] if meta else {}).get(port, {})) for port in given}
            node.missing = tuple(port for port in declared if port in connected and port not in given)
            received = dict.fromkeys(declared) | {port: _received(value, declared, port, name) for port, value in given.items()}
            results.append(_emitted(node.process(**received | latched), out_ports, name))
        return results


def run_source(
    cls: type[Source],
    config: Any = None,
    *,
    start: int = 0,
    frames: int | None = None,
    wanted: Sequence[str] | None = None,
    name: str | None = None,
) -> list[Reading]:
    """`find`, open at reading `start`, read at most `frames` (None = all), close. Values are checked and copied.

    wanted  ports to read; default: all
    """
    node = cls()
    name = name or cls.__name__.lower()
    out_ports = {port: spec for port, spec in ports(cls.outputs, name).items() if not spec.static}
    readings: list[Reading] = []
    with _prepared(node, name, config, out_ports, wanted=wanted):
        cls.find(node.config)
        cls.check_ports(name, node.config, node.wanted, node.needed)
        node.open(start)
        list(node.statics())
        while frames is None or len(readings) < frames:
            reading = node.read()
            if reading is None:
                break
            values = {port: _sent(value, out_ports, port, name) for port, value in reading.values.items() if value is not None}
            readings.append(Reading(values, reading.item, reading.stamp_ns, reading.recv_ns, dict(reading.meta)))
    return readings


def statics_of(cls: type[Source], config: Any = None) -> dict[str, Any]:
    """Static port -> its first value: ready to be `statics` of `run_operator`."""
    node = cls()
    name = cls.__name__.lower()
    out_ports = {port: spec for port, spec in ports(cls.outputs, name).items() if spec.static}
    found: dict[str, Any] = {}
    with _prepared(node, name, config, out_ports):
        node.open(0)
        for value in node.statics():
            found.setdefault(value.port, _sent(value.value, out_ports, value.port, name))
    return found


class ListSource(Source):
    """A source of the values in a list, for graphs in tests. Subclass it in a module that the graph can import:

        class Scans(ListSource):                # driver: test_mine:Scans
            outputs = {"points": POINTS}
            values = [first, second]            # one port: bare values; else {port: value}; or Readings

    Items, frame ids and stamps are made as in `run_operator`, unless a `Reading` brings its own.
    """

    values: ClassVar[Sequence[Any]] = ()

    @classmethod
    def readings(cls) -> list[Reading]:
        declared = ports(cls.outputs, cls.__name__)
        made = []
        for i, value in enumerate(cls.values):
            if not isinstance(value, Reading):
                value = Reading(_by_port(value, declared, cls.__name__), f"{i:06d}", i * PERIOD_NS)
            made.append(value)
        return made

    @classmethod
    def find(cls, config: Any) -> Found:
        stamps = np.array([r.stamp_ns for r in cls.readings()], np.int64)
        return Found(len(stamps), stamps_ns=stamps)

    def open(self, start: int = 0) -> None:
        self._left = self.readings()[start:]

    def read(self) -> Reading | None:
        return self._left.pop(0) if self._left else None


class ListSink(Operator):
    """Keeps a copy of all its inputs, for graphs in tests that run inline:

        class Kept(ListSink):                   # op: test_mine:Kept
            inputs = {"points": POINTS}

    Kept.received    [(Header, {port: value}), ...] of the latest run
    """

    received: ClassVar[list[tuple[Header, dict[str, Any]]]] = []

    def open(self) -> None:
        type(self).received = []  # of the subclass, not shared with others

    def process(self, **inputs: Any) -> None:
        values = {}
        for port, value in inputs.items():
            schema = ports(self.inputs, self.name)[port].schema
            values[port] = None if value is None else schema.pack(_copies(schema.unpack(value, port)))
        self.received.append((self.header, values))


class FakeClock:
    """A clock that moves only by `advance`. It has the functions of module `time` and replaces the module in a test:

    clock = FakeClock()
    monkeypatch.setattr("mypkg.watchdog.time", clock)
    clock.advance(1.5)
    """

    def __init__(self, start_ns: int = 1_000_000_000) -> None:
        self.now_ns = start_ns

    def advance(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError(f"advance: needs 0 s or more, got {seconds:g}; time does not go back")
        self.now_ns += round(seconds * 1e9)

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def time_ns(self) -> int:
        return self.now_ns

    def time(self) -> float:
        return self.now_ns * 1e-9

    monotonic_ns = perf_counter_ns = time_ns
    monotonic = perf_counter = time


# ---- between a test and a node, as the engine would


@contextlib.contextmanager
def _prepared(
    node: Node, name: str, config: Any, out_ports: Mapping[str, Port], out_dir: Path | None = None, **given: Any
) -> Iterator[None]:
    """The node as the engine prepares it; closed afterwards, also after an error, which is raised. given: see `prepare`"""
    if not isinstance(config, node.Config):
        config = settings.build(node.Config, config, settings.Where("test", {}, ("nodes", name, "config")))
    with tempfile.TemporaryDirectory(prefix="pipe-test-") as folder:
        prepare(node, name, config, out_dir=Path(folder) / name if out_dir is None else Path(out_dir), **given)
        attach(node, alloc=outputs.heap(out_ports, name))
        try:
            yield
        except BaseException:
            with contextlib.suppress(Exception):  # the first error is the one to see
                node.close()
            raise
        node.close()


def _by_port(item: Any, declared: Mapping[str, Port], name: str) -> dict[str, Any]:
    """{port: value}, or a bare value for the one stream port (or the one that is not optional)."""
    streams = [port for port, spec in declared.items() if not spec.static]
    if isinstance(item, Mapping) and set(item) <= set(streams):
        return dict(item)
    needed = [port for port in streams if not declared[port].optional]
    only = streams if len(streams) == 1 else needed
    if len(only) == 1 and (not isinstance(item, Mapping) or len(declared[only[0]].schema.arrays) != 1):
        return {only[0]: item}
    got = f"ports {', '.join(map(str, item))}" if isinstance(item, Mapping) else type(item).__name__
    raise GraphError(f"{name}: needs {{port: value}} with ports {', '.join(streams)}, got {got}")


def _complete(
    declared: Mapping[str, Port], connected: set[str], sets: list[dict[str, Any]], latched: Mapping[str, Any], name: str
) -> None:
    """Refuses a needed port without a value, as a graph would."""
    for port, spec in declared.items():
        if spec.optional or not sets:
            continue
        if spec.static and port not in latched:
            raise GraphError(f"{name}: needs a value for its static port {port}; pass statics={{{port!r}: ...}}")
        if not spec.static and port not in connected:
            raise GraphError(f"{name}: needs a value for its port {port}, got {', '.join(sorted(connected)) or 'none'}")


def _received(value: Any, declared: Mapping[str, Port], port: str, name: str) -> Any:
    """The value as a reader gets it: checked, C-contiguous, permanently read-only."""
    owned = _copies(outputs.arrays_of(value, declared, port, name, "input"))
    for array in owned.values():
        array.flags.writeable = False
    return declared[port].schema.pack({n: a.view() for n, a in owned.items()})


def _emitted(result: Any, out_ports: Mapping[str, Port], name: str) -> Any:
    """The result of `process` as readers would get it: one port's value, or {port: value}."""
    if result is None:
        return None
    values = outputs.by_port(result, out_ports, name)
    sent = {port: _sent(value, out_ports, port, name) for port, value in values.items() if value is not None}
    return next(iter(sent.values())) if len(out_ports) == 1 else sent


def _sent(value: Any, out_ports: Mapping[str, Port], port: str, name: str) -> Any:
    arrays = outputs.arrays_of(value, out_ports, port, name)
    return out_ports[port].schema.pack(_copies(arrays))


def _copies(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {n: np.array(a, order="C") for n, a in arrays.items()}
