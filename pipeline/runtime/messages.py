"""The messages between the supervisor and a worker: one class per kind.

    worker                       supervisor
    Hello                   ->
                            <-   ProcessPlan     (when all frames of its predecessor are settled)
    Ready, or Failed        ->
                            <-   Start           (when all are ready; to a successor at once)
    NodeDone, for each node ->
                            <-   Exit            (when all nodes of all processes are done)

After the death of a process, the processes at the other ends of its edges get EdgeUp (static edges: it has a successor),
EdgeGone (to a writer: there will be none) or EdgeEnd (to a reader: there will be none).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.graph.fault import EdgeFault
from pipeline.graph.layout import BoardShape, EdgeSpec, PortLayout
from pipeline.operator import Resume
from pipeline.runtime import wire


# -- the plan of one process --------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class PoolPlan:
    """The frame memory of one node. The descriptors are inherited; write_fd is -1 if the process only reads."""

    write_fd: int
    read_fd: int
    size: int


@dataclass(frozen=True, slots=True)
class PortPlan:
    """An output port of a node in this process or of a node that it reads from. edges: all edges that start here."""

    index: int
    node: str
    port: str
    layout: PortLayout
    edges: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EdgePlan:
    """An edge with an end in this process, and the bells of the threads at its ends."""

    src_node: str
    src_port: str
    dst_node: str
    dst_port: str
    spec: EdgeSpec
    writer_bell: int
    writer_io_bell: int
    reader_bell: int


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """How a node joins its streams; see `sync.Joiner`."""

    policy: str
    tolerance_ns: int
    offset_ns: dict[str, int]
    timeout_ns: int | None
    optional: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodePlan:
    """One node of this process.

    index   of the node on the board; bell: of the thread that runs it
    cls     `module:Class`, defined in `file` (None: any file); config: its configuration as plain data
    streams connected inputs that are not static, in file order; kinds: connected input -> kind of its frames
    sync    None if the node does not join
    resume  None in the first life of the process
    configuring  number of the change (`pipe set`) that is in `config` and not confirmed yet, 0 = none
    """

    name: str
    index: int
    bell: int
    cls: str
    file: str | None
    config: dict[str, Any]
    threads: int
    on_error: str
    cpus: tuple[int, ...] | None
    nice: int | None
    streams: tuple[str, ...]
    kinds: dict[str, str]
    trigger: str | None
    sync: SyncPlan | None
    resume: Resume | None
    configuring: int = 0


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """All that one process needs to build its nodes, and nothing else.

    process  index of the process on the board
    bells    index -> descriptor, of this process's threads and of those at the other ends of its edges
    pools    node -> its frame memory, for the nodes of this process and those that it reads
    sources  names of all sources of the graph, in the order of their indices
    inject   steps of `--inject` as given: for all processes; faults: on edges of this process
    """

    graph: str
    out: str
    process: int
    main_bell: int
    io_bell: int
    bells: dict[int, int]
    live: bool
    verify: bool
    digests: bool
    inject: tuple[str, ...]
    board_fd: int
    board: BoardShape
    sources: tuple[str, ...]
    pools: dict[str, PoolPlan]
    ports: tuple[PortPlan, ...]
    edges: tuple[EdgePlan, ...]
    nodes: tuple[NodePlan, ...]
    faults: tuple[EdgeFault, ...] = ()


# -- from the supervisor ------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Start:
    """The graph clock, and the end of the sources. limits: source -> number of readings; horizon_ns: of `--rate step`;
    wall_ns: see `Clock.start`."""

    anchor_mono_ns: int
    anchor_stamp_ns: int | None
    rate: float | None
    live: bool
    limits: dict[str, int]
    last_stamp_ns: int | None
    horizon_ns: int | None
    wall_ns: int | None = None


@dataclass(frozen=True, slots=True)
class EdgeUp:
    """The other end of a static edge has a successor: connect at the address of these epochs."""

    edge: int
    writer_epoch: int
    reader_epoch: int


@dataclass(frozen=True, slots=True)
class EdgeGone:
    """The reader of an edge was given up: stop sending to it."""

    edge: int


@dataclass(frozen=True, slots=True)
class EdgeEnd:
    """The writer of an edge was given up: no frame follows."""

    edge: int


@dataclass(frozen=True, slots=True)
class Horizon:
    """`--rate step`: sources may emit up to this stamp."""

    stamp_ns: int


@dataclass(frozen=True, slots=True)
class End:
    """No source emits a reading after this stamp."""

    stamp_ns: int


@dataclass(frozen=True, slots=True)
class Configure:
    """`pipe set`: from its next frame on a node has this configuration, as plain data."""

    node: str
    number: int
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Exit:
    """All nodes are done: exit."""


# -- from a worker ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Hello:
    """First message. started_ns: when the interpreter began to run our code, CLOCK_MONOTONIC."""

    pid: int
    started_ns: int


@dataclass(frozen=True, slots=True)
class Ready:
    """All nodes of the process are open."""

    imported_ns: int
    opened_ns: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A node failed and the run must stop. text: for the user, one line; the traceback is in the log of the process."""

    node: str
    text: str


@dataclass(frozen=True, slots=True)
class AtHorizon:
    """`--rate step`: the next reading of a source lies after the horizon."""

    source: str
    stamp_ns: int


@dataclass(frozen=True, slots=True)
class NodeDone:
    """A node has ended. digest: of a sink's input."""

    node: str
    digest: str | None


@dataclass(frozen=True, slots=True)
class Configured:
    """A `Configure` holds from this frame on. error: why the node keeps the configuration that it had, None = it does not."""

    node: str
    number: int
    source: str
    frame_id: int
    error: str | None


@dataclass(frozen=True, slots=True)
class Nudge:
    """The ring of events is full: read it."""


ToWorker = ProcessPlan | Start | EdgeUp | EdgeGone | EdgeEnd | Horizon | End | Configure | Exit
FromWorker = Hello | Ready | Failed | AtHorizon | NodeDone | Configured | Nudge

_TO_WORKER = {kind.__name__: kind for kind in (ProcessPlan, Start, EdgeUp, EdgeGone, EdgeEnd, Horizon, End, Configure, Exit)}
_FROM_WORKER = {kind.__name__: kind for kind in (Hello, Ready, Failed, AtHorizon, NodeDone, Configured, Nudge)}


def pack(message: ToWorker | FromWorker) -> bytes:
    return wire.pack(message)


def to_worker(data: bytes) -> ToWorker:
    """Decode a message of the supervisor. Raises RunError if it is none."""
    message: ToWorker = wire.unpack(data, _TO_WORKER)
    return message


def from_worker(data: bytes) -> FromWorker:
    """Decode a message of a worker. Raises RunError if it is none."""
    message: FromWorker = wire.unpack(data, _FROM_WORKER)
    return message
