"""What the supervisor and a worker say to each other: one class for each kind of message.

    worker                       supervisor
    Hello                   ->
                            <-   ProcessPlan     (when everything of its predecessor is settled)
    Ready, or Failed        ->
                            <-   Start           (when all are ready; to a successor at once)
    NodeDone, for each node ->
                            <-   Exit            (when all nodes of all processes are done)

The death of a process is told to the process at the other end of each of its edges: answered by EdgeDownOk; then
EdgeUp when there is a successor, EdgeGone (to a writer) or EdgeEnd (to a reader) when there will be none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.graph.layout import BoardShape, EdgeSpec, PortLayout
from pipeline.operator import Resume
from pipeline.runtime import wire


# -- the plan of one process --------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class PoolPlan:
    """The frame memory of one node. The descriptors are inherited; write_fd is -1 where the process only reads."""

    write_fd: int
    read_fd: int
    size: int


@dataclass(frozen=True, slots=True)
class PortPlan:
    """An output port of a node in this process, or of one that it reads from. edges: all edges that start here."""

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
    cls     `module:Class`, which lies in file (None: no matter); config: its configuration as plain data
    streams connected inputs that are not static, in file order; kinds: connected input -> kind of its frames
    sync    None where nothing is joined
    resume  None in the first life of the process
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


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """All that one process needs to build its nodes, and nothing else.

    process  index of the process on the board
    bells    index -> descriptor, of this process's threads and of those at the other ends of its edges
    pools    node -> its frame memory, for the nodes of this process and those it reads from
    sources  names of all sources of the graph, in the order of their indices
    inject   `--inject` as given: for all processes
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


# -- from the supervisor ------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Start:
    """The graph clock, and where sources end. limits: source -> how many readings; horizon_ns: of `--rate step`."""

    anchor_mono_ns: int
    anchor_stamp_ns: int | None
    rate: float | None
    live: bool
    limits: dict[str, int]
    last_stamp_ns: int | None
    horizon_ns: int | None


@dataclass(frozen=True, slots=True)
class EdgeUp:
    """The other end of a static edge has a successor: connect at the address of these epochs."""

    edge: int
    writer_epoch: int
    reader_epoch: int


@dataclass(frozen=True, slots=True)
class EdgeGone:
    """The reader of an edge was given up: nothing waits for it."""

    edge: int


@dataclass(frozen=True, slots=True)
class EdgeEnd:
    """The writer of an edge was given up: nothing more will come."""

    edge: int


@dataclass(frozen=True, slots=True)
class Horizon:
    """`--rate step`: sources may emit up to this stamp."""

    stamp_ns: int


@dataclass(frozen=True, slots=True)
class End:
    """No source emits anything after this stamp."""

    stamp_ns: int


@dataclass(frozen=True, slots=True)
class Exit:
    """All is done: go."""


# -- from a worker ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Hello:
    """First words. started_ns: when the interpreter ran our code, CLOCK_MONOTONIC."""

    pid: int
    started_ns: int


@dataclass(frozen=True, slots=True)
class Ready:
    """All nodes of the process are open."""

    imported_ns: int
    opened_ns: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A node failed and the run is to stop. text: for the user, one line; details: a traceback."""

    node: str
    text: str
    details: str


@dataclass(frozen=True, slots=True)
class AtHorizon:
    """`--rate step`: the next reading of a source lies after the horizon."""

    source: str
    stamp_ns: int


@dataclass(frozen=True, slots=True)
class NodeDone:
    """A node has ended. digest: of what a sink was given."""

    node: str
    digest: str | None


@dataclass(frozen=True, slots=True)
class Nudge:
    """The ring of events is full: read it."""


ToWorker = ProcessPlan | Start | EdgeUp | EdgeGone | EdgeEnd | Horizon | End | Exit
FromWorker = Hello | Ready | Failed | AtHorizon | NodeDone | Nudge

_TO_WORKER = {kind.__name__: kind for kind in (ProcessPlan, Start, EdgeUp, EdgeGone, EdgeEnd, Horizon, End, Exit)}
_FROM_WORKER = {kind.__name__: kind for kind in (Hello, Ready, Failed, AtHorizon, NodeDone, Nudge)}


def pack(message: ToWorker | FromWorker) -> bytes:
    return wire.pack(message)


def to_worker(data: bytes) -> ToWorker:
    """What the supervisor said. Raises RunError where it is no message of its."""
    message: ToWorker = wire.unpack(data, _TO_WORKER)
    return message


def from_worker(data: bytes) -> FromWorker:
    """What a worker said. Raises RunError where it is no message of a worker."""
    message: FromWorker = wire.unpack(data, _FROM_WORKER)
    return message
