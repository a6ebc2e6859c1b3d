"""Operator and Source: the base classes of a user's nodes. No event loop, no dispatch on ids, no registry.

    @operator(inputs={"points": POINTS}, outputs={"points": POINTS})
    def crop(points, max_m: float = 40.0):
        return points[points[:, 0] < max_m]

A class holds state:

    class Count(Operator):
        Config, inputs, outputs = CountConfig, {"points": POINTS}, {"count": COUNT}

        def process(self, points):
            self.seen += len(points)
"""

from __future__ import annotations

import dataclasses
import inspect
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np

from pipeline.errors import GraphError
from pipeline.frame import Header, Reading, Static
from pipeline.schema import Port, Schema


@dataclass(frozen=True, slots=True)
class NoConfig:
    """For operators without settings."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a node continues that was restarted after a crash.

    restarts   number of restarts of this node in this run, from 1
    frame_id   of the last frame that counts: published by a source, delivered to a sink; -1 = none
    item       of that frame
    steps      number of the node's steps that count, in all its lives
    """

    restarts: int
    frame_id: int
    item: str
    steps: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """What a source will read, known before any process starts.

    frames        number of readings, None = endless or unknown
    rate_hz       of the stream, None = unknown
    stamps_ns     stamp of each reading, if known without reading (file drivers, generators): pacing and `--frames` use it
    parts         names of the sequences, drives, ... that are read one after another; each can be read alone, by its name in
                  the config key `parts_key` (`pipe batch --items auto` runs a graph once for each)
    """

    frames: int | None = None
    rate_hz: float | None = None
    stamps_ns: np.ndarray | None = None
    parts: tuple[str, ...] = ()
    parts_key: str = ""


class Taken(NamedTuple):
    """A frame that a tap receives. bound: no later frame of its port has a smaller stamp; meta: facts from its producer."""

    port: str
    header: Header
    bound: int
    meta: Mapping[str, Any]
    value: Any


class Level(NamedTuple):
    """A way of an operator to compute with less. The controller weighs `loss` against the time saved: docs/decisions/033.

    name     in logs and the report: "coarse"
    about    what is left out
    loss     of quality against the best level, 0..1, judged or measured by the author
    cost     compute time as a share of that at the best level; readers: the same for the operators that read its outputs. The
             controller corrects both by what it measures
    """

    name: str
    about: str
    loss: float
    cost: float = 1.0
    readers: float = 1.0


BEST = "full"
"""Name of level 0, at which every operator starts."""


class Node:
    """Base class of operators and sources. The engine sets the attributes before `open()`.

    config    instance of `Config`
    name      the node's name in the graph
    out_dir   DIR/<node>/ of the run; create it before writing
    resume    None, or what to continue after a crash
    threads   number of threads that this node may use (graph key `threads`)
    """

    Config: ClassVar[type] = NoConfig
    outputs: ClassVar[Mapping[str, Schema | Port]] = {}

    config: Any
    name: str
    out_dir: Path
    resume: Resume | None = None
    threads: int = 1
    log: logging.Logger
    _alloc: Callable[[str, str, tuple[int, ...], Any], np.ndarray] | None = None
    _emit_meta: Callable[[str, dict[str, Any]], None] | None = None
    _show: Callable[[str], None] | None = None

    @classmethod
    def outputs_of(cls, config: Any) -> Mapping[str, Schema | Port]:
        """`outputs`; overridden by nodes that the engine adds to a graph, whose ports follow from the config."""
        return cls.outputs

    @classmethod
    def slot_bytes(cls, config: Any) -> dict[str, int]:
        """Port -> bytes of its largest frame, for ports whose limit depends on the config instead of the schema."""
        return {}

    @classmethod
    def memory_bytes(cls, config: Any) -> int | None:
        """Estimate of the memory that a node of this config takes while it runs, its process included: the graph's
        `memory_budget_mb` is held against it before the start. None: unknown."""
        return None

    @classmethod
    def multiply_adds(cls, config: Any) -> int | None:
        """Of the net that a node of this config computes for one frame; `pipe plan` predicts its time on a board from it, and
        may load torch for it. None: no net, or unknown."""
        return None

    def open(self) -> None:
        """Load, compile, create. May be slow (`hang_s` limits it); no frame flows before open() of every node has returned."""

    def close(self) -> None:
        """Finish files. Called once, at the end of the stream or on a stop; not after a kill."""

    def alloc(self, port: str, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """A writeable array inside the slot of this frame: fill it and return it (or a leading slice), without a copy.

        Uninitialised memory. Raises FrameError if the slot is too small; the message names the setting to raise.
        """
        if self._alloc is None:
            return np.empty(shape, dtype)
        return self._alloc(port, name, shape, dtype)

    def put(self, port: str, name: str, values: np.ndarray) -> np.ndarray:
        """Write `values` (a table read at `open`, for instance) into the slot of this frame, and return that array."""
        array = self.alloc(port, name, values.shape, values.dtype)
        array[...] = values
        return array

    def describe(self, port: str, **meta: Any) -> None:
        """Attach small facts (numbers, strings) to the frame that this step publishes on `port`; readers find them in `meta`."""
        if self._emit_meta is not None:
            self._emit_meta(port, meta)

    def status(self, text: str) -> None:
        """Show one short line below the table while the graph runs, in the summary at its end and in the report (`status` of the
        node). It is part of no result. Each line replaces the one before; it is cut at 255 bytes."""
        if self._show is not None:
            self._show(text)


class Operator(Node):
    """Frames in, frames out. A sink is an operator without outputs.

    header    of the trigger frame, while `process` runs
    headers   input port -> its own header (sync may pair frames of different stamps)
    meta      input port -> the facts its producer attached
    missing   optional inputs that this set lacks
    kinds     input port -> kind of the scores, from the schema of its producer; "" = not stated
    holds     input port -> number of earlier frames whose views the operator keeps after `process` has returned
    tap       True for an operator that only watches (a recorder, a viewer): no join; `process` is called for every frame of any
              input with this port alone. Offline it blocks like any sink. Live it holds at most one slot of a port, and
              frames that come meanwhile are dropped for it (`queue_full`): it slows nobody
    bound     of a tap: no later frame of the input has a smaller stamp
    batch     of a tap: how many frames, of 1 MB together, one call may get; if more than 1, `process_all` is called instead
              of `process`
    levels    cheaper ways to compute, best first, each cheaper and worse than the one before (graph key `quality`, live only)
    tunable   keys of the config that `pipe set` may change between two calls of `process`: those that decide neither ports,
              slots and levels nor what is loaded. A value that follows from one of them is made again in `reconfigured`
    journal_file  of a sink that scores: name of a file in `out_dir` with a line of JSON for each frame, [frame_id, item, value],
              which a restarted node reads in `open`. Config key `keep_journal`: the file stays at the end. `pipe batch` lets a
              node go on with the lines of all items, and so gets the scores of all items together
    """

    inputs: ClassVar[Mapping[str, Schema | Port]] = {}
    levels: ClassVar[tuple[Level, ...]] = ()
    holds: ClassVar[Mapping[str, int]] = {}
    tap: ClassVar[bool] = False
    batch: ClassVar[int] = 1
    tunable: ClassVar[tuple[str, ...]] = ()
    journal_file: ClassVar[str] = ""

    header: Header
    missing: tuple[str, ...] = ()
    kinds: Mapping[str, str] = {}
    bound: int

    # Two underscores: no attribute of a subclass has this name.
    __frames: Mapping[str, Any] = {}
    __headers: dict[str, Header] | None = None
    __meta: dict[str, dict[str, Any]] | None = None

    def _take(self, frames: Mapping[str, Any]) -> None:
        """The engine sets the frames of this set: port -> frame with `header` and `meta`, or None. Few operators read them."""
        self.__frames, self.__headers, self.__meta = frames, None, None

    @property
    def headers(self) -> dict[str, Header]:
        if self.__headers is None:
            self.__headers = {port: frame.header for port, frame in self.__frames.items() if frame is not None}
        return self.__headers

    @headers.setter
    def headers(self, headers: dict[str, Header]) -> None:
        self.__headers = headers

    @property
    def meta(self) -> dict[str, dict[str, Any]]:
        if self.__meta is None:
            self.__meta = {port: frame.meta for port, frame in self.__frames.items() if frame is not None}
        return self.__meta

    @meta.setter
    def meta(self, meta: dict[str, dict[str, Any]]) -> None:
        self.__meta = meta

    @classmethod
    def inputs_of(cls, config: Any) -> Mapping[str, Schema | Port]:
        """`inputs`; see `outputs_of`."""
        return cls.inputs

    @classmethod
    def levels_of(cls, config: Any) -> tuple[Level, ...]:
        """`levels`, or those of them that this config has."""
        return cls.levels

    def set_level(self, level: int) -> None:
        """From the next frame on: 0 = as configured, n = `levels_of(config)[n - 1]`. Called between two calls of `process`, so it
        must not load or compile: `open` prepares all levels."""
        raise NotImplementedError(f"{type(self).__name__}.set_level")

    def reconfigure(self, new: Any) -> None:
        """Put this config in place of the present one, which stays if `reconfigured` raises. Called by the engine."""
        old, self.config = self.config, new
        try:
            self.reconfigured(old, new)
        except BaseException:
            self.config = old
            raise

    def reconfigured(self, old: Any, new: Any) -> None:
        """`config` has another value of a `tunable` key: make what follows from it again. Called between two calls of `process`,
        so it must not load or compile. An exception refuses the value; raise it before anything has changed."""

    def latched(self, port: str, values: list[tuple[int, Any]]) -> None:
        """Of a tap: called once with all values of a static input, (valid from stamp, value), as soon as they are there."""

    def process(self, *args: Any, **inputs: Any) -> Any:
        """Takes one set of inputs, by port name. Returns the output port's value, {port: value} with several ports, or None."""
        raise NotImplementedError(f"{type(self).__name__}.process")

    def process_all(self, frames: Sequence[Taken]) -> None:
        """Of a tap with a `batch`: takes the frames that have come, oldest first. They are delivered together when this returns,
        and fail together when it raises."""
        raise NotImplementedError(f"{type(self).__name__}.process_all")


class Source(Node):
    """Everything foreign becomes ours here: units, axes, column order, clock.

    live             True for a sensor that cannot wait; `live: true` in the graph plays a file driver like one
    max_disorder_ms  how far a stamp may lie behind the largest one seen; `pipe check` and the buffers of joins use the config
                     key of this name (set the attribute to it in `open`)
    wanted           ports that are connected; others need not be read
    needed           the wanted ports that an operator requires; the others (connected to a recorder, to an optional static input,
                     to an input that `sync` calls optional) may be absent from the data
    ending           the other sources end: `read()` of a sensor returns what it has, or None, instead of waiting
    """

    live: ClassVar[bool] = False
    max_disorder_ms: float = 0.0
    ending: bool = False
    wanted: frozenset[str] = frozenset()
    needed: frozenset[str] = frozenset()

    @classmethod
    def find(cls, config: Any) -> Found:
        """Look without loading: is everything there, how much is it? Raises InputError naming file, line or key (exit 2)."""
        return Found()

    @classmethod
    def check_ports(cls, name: str, config: Any, wanted: frozenset[str], needed: frozenset[str]) -> None:
        """The graph is known: has each needed port data, are the files of the wanted ones right? Raises InputError (exit 2)."""

    def open(self, start: int = 0) -> None:
        """Prepare: the next `read()` returns reading number `start` (0 at first, more after a restart)."""

    def statics(self) -> Iterable[Static]:
        """All latched values (calibration), at most 1 MB each. Called once, after `open()`."""
        return ()

    def read(self) -> Reading | None:
        """The next reading; None at the end. May block until the sensor has one."""
        raise NotImplementedError(f"{type(self).__name__}.read")


AnyNode = TypeVar("AnyNode", bound=Node)


def prepare(
    node: AnyNode,
    name: str,
    config: Any = None,
    *,
    threads: int = 1,
    log: logging.Logger | None = None,
    out_dir: Path | None = None,
    resume: Resume | None = None,
    kinds: Mapping[str, str] | None = None,
    wanted: Collection[str] | None = None,
    needed: Collection[str] | None = None,
) -> AnyNode:
    """Set all attributes that a node has before `open()`, and return the node.

    config   an instance of `node.Config`; None: the defaults
    log      None: the logger `pipe.NAME`
    out_dir  None: none, for a node that writes no files
    kinds    of an operator; None: no producer names the kind of its scores
    wanted   of a source; None: all its ports
    needed   of a source; None: the wanted ones
    """
    node.name, node.threads, node.resume = name, threads, resume
    node.config = node.Config() if config is None else config
    node.log = logging.getLogger(f"pipe.{name}") if log is None else log
    if out_dir is not None:
        node.out_dir = out_dir
    if isinstance(node, Source):
        node.wanted = frozenset(node.outputs_of(node.config) if wanted is None else wanted)
        node.needed = node.wanted if needed is None else frozenset(needed)
    elif isinstance(node, Operator):
        node.kinds = {} if kinds is None else kinds
    return node


def attach(
    node: Node,
    *,
    alloc: Callable[[str, str, tuple[int, ...], Any], np.ndarray] | None = None,
    describe: Callable[[str, dict[str, Any]], None] | None = None,
    show: Callable[[str], None] | None = None,
) -> None:
    """Set what the node's `alloc`, `describe` and `status` call; None: they work without an engine."""
    node._alloc, node._emit_meta, node._show = alloc, describe, show


def operator(
    inputs: Mapping[str, Schema | Port], outputs: Mapping[str, Schema | Port] | None = None
) -> Callable[[Callable[..., Any]], type[Operator]]:
    """Make an operator of a function: parameters named like input ports are inputs; the others, with defaults, are its config."""

    def wrap(function: Callable[..., Any]) -> type[Operator]:
        fields: list[tuple[str, Any, Any]] = []
        for name, parameter in inspect.signature(function).parameters.items():
            if name in inputs:
                continue
            if parameter.default is inspect.Parameter.empty:
                raise GraphError(
                    f"{function.__module__}.{function.__name__}: parameter {name} is no input port and has no default"
                )
            kind = parameter.annotation if parameter.annotation is not inspect.Parameter.empty else type(parameter.default)
            fields.append((name, kind, dataclasses.field(default=parameter.default)))
        config = dataclasses.make_dataclass(f"{function.__name__.title()}Config", fields, frozen=True)
        config.__module__ = function.__module__
        names = [f[0] for f in fields]

        def process(self: Operator, **values: Any) -> Any:
            return function(**values, **{n: getattr(self.config, n) for n in names})

        body = {
            "Config": config,
            "inputs": dict(inputs),
            "outputs": dict(outputs or {}),
            "process": process,
            "function": staticmethod(function),
            "__doc__": function.__doc__,
            "__module__": function.__module__,
        }
        return type(function.__name__, (Operator,), body)

    return wrap
