"""Process plan -> runners, ports and edges. The same for a worker and for `--place inline`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline import settings
from pipeline.flow.bell import Bell, Silent
from pipeline.flow.board import Board
from pipeline.flow.clock import Clock
from pipeline.flow.edge import OutEdge
from pipeline.flow.injected import Active, Corruption, FaultyInEdge, FaultyOutEdge
from pipeline.flow.latched import StaticIn, StaticOut, StaticPort
from pipeline.flow.log import Log
from pipeline.flow.reader import InEdge
from pipeline.flow.shm import Mapping
from pipeline.flow.sync import Joiner
from pipeline.flow.writer import OutPort
from pipeline.frame import FOREVER
from pipeline.graph import lookup
from pipeline.graph.fault import TIMED, EdgeFault
from pipeline.operator import Operator, Source, prepare
from pipeline.runtime import digests, poison
from pipeline.runtime.digests import Trace
from pipeline.runtime.line import Line, TapLine, line
from pipeline.runtime.messages import EdgePlan, NodePlan, PortPlan, ProcessPlan
from pipeline.runtime.operator_runner import Asked, OperatorRunner
from pipeline.runtime.runner import Shared
from pipeline.runtime.source_runner import SourceRunner
from pipeline.runtime.tap_runner import TapRunner
from pipeline.schema import Port
from pipeline.schema import ports as declared_ports


@dataclass
class Built:
    """Everything that runs in one process. Edges are by index; bells: of this process's and its neighbours' threads."""

    log: Log
    clock: Clock
    bells: dict[int, Bell | Silent]
    runners: list[OperatorRunner] = field(default_factory=list)
    sources: list[SourceRunner] = field(default_factory=list)
    out_edges: dict[int, OutEdge] = field(default_factory=dict)
    in_edges: dict[int, InEdge] = field(default_factory=dict)
    static_outs: dict[int, StaticOut] = field(default_factory=dict)
    static_ins: dict[int, StaticIn] = field(default_factory=dict)
    late: list[FaultyOutEdge] = field(default_factory=list)  # edges that may hold frames back
    pools: list[Mapping] = field(default_factory=list)  # that nodes here read, each once

    def deliver(self) -> None:
        """Offer the frames that were held back and are due."""
        with self.log.lock:
            for edge in self.late:
                edge.deliver()

    @property
    def due_ns(self) -> int:
        """When the next one is due; FOREVER: there is none."""
        return min((edge.due_ns for edge in self.late), default=FOREVER)

    @property
    def all(self) -> list[OperatorRunner | SourceRunner]:
        return [*self.sources, *self.runners]


def build(plan: ProcessPlan, *, on_full: Callable[[], None], inline: bool = False, raises: bool = False) -> Built:
    """Map the memory, import the operators, make the runners. Static edges to other processes get their channels later."""
    return _Builder(plan, on_full, inline, raises).build()


class _Builder:
    def __init__(self, plan: ProcessPlan, on_full: Callable[[], None], inline: bool, raises: bool) -> None:
        self.plan = plan
        self.board = Board(plan.board_fd, plan.board)
        words, asleep = self.board.words, self.board.asleep
        bells: dict[int, Bell | Silent] = {i: Silent() if inline else Bell(fd, words, asleep(i)) for i, fd in plan.bells.items()}
        self.built = Built(Log(self.board, plan.process, on_full), Clock(), bells)
        self.shared = Shared(self.board, self.built.log, self.built.clock, inline, raises)
        self.own = {node.name for node in plan.nodes}
        self.ports = {(port.node, port.port): port for port in plan.ports}
        self.edges = {edge.spec.index: edge for edge in plan.edges}
        self.faults: dict[int, list[EdgeFault]] = {}
        for fault in plan.faults:
            self.faults.setdefault(fault.edge, []).append(fault)
        self.writable = {n: Mapping(p.write_fd, p.size, write=True) for n, p in plan.pools.items() if n in self.own}
        self.readable = {n: Mapping(p.read_fd, p.size, write=False) for n, p in plan.pools.items()}
        read = {edge.src_node for edge in plan.edges if edge.dst_node in self.own}
        self.built.pools = [memory for name, memory in self.readable.items() if name in read]

    def build(self) -> Built:
        for node_plan in self.plan.nodes:
            cls = lookup.class_by_ref(node_plan.cls, node_plan.file)
            node = prepare(
                cls(),
                node_plan.name,
                settings.build(cls.Config, node_plan.config, settings.Where(self.plan.graph)),
                threads=node_plan.threads,
                out_dir=Path(self.plan.out) / node_plan.name,
                resume=node_plan.resume,
                kinds=node_plan.kinds,
            )
            declared = declared_ports(cls.outputs_of(node.config), node_plan.name)
            runner: OperatorRunner | SourceRunner
            if isinstance(node, Source):
                runner = self._source(node, node_plan, declared)
            else:
                runner = self._operator(node, node_plan, declared)
            if self.plan.digests:
                runner.trace = Trace(Path(self.plan.out) / "logs" / digests.FOLDER, node_plan.name)
        for edge in self.plan.edges:
            self._join_ends(edge)
        return self.built

    # -- nodes ----------------------------------------------------------------------------------------------------
    def _source(self, node: Source, node_plan: NodePlan, declared: dict[str, Port]) -> SourceRunner:
        streams = {name: self._out_port(node_plan, name, port) for name, port in declared.items() if not port.static}
        statics = {name: self._static_port(node_plan, name, port) for name, port in declared.items() if port.static}
        index = self.plan.sources.index(node_plan.name)
        runner = SourceRunner(node, node_plan.index, index, streams, statics, self.shared, node_plan.on_error)
        self.built.sources.append(runner)
        return runner

    def _operator(self, node: Operator, node_plan: NodePlan, declared: dict[str, Port]) -> OperatorRunner:
        plan, built = self.plan, self.built
        inputs: dict[str, InEdge] = {}
        statics: dict[str, StaticIn] = {}
        for edge in plan.edges:
            if edge.dst_node == node_plan.name:
                if edge.spec.static:
                    statics[edge.dst_port] = built.static_ins[edge.spec.index] = StaticIn(edge.spec, edge.dst_port)
                else:
                    inputs[edge.dst_port] = built.in_edges[edge.spec.index] = self._in_edge(edge)
        inputs = {port: inputs[port] for port in node_plan.streams}
        outputs = {name: self._out_port(node_plan, name, port) for name, port in declared.items()}
        make = TapRunner if node.tap else OperatorRunner
        runner = make(
            node,
            node_plan.index,
            TapLine(inputs, built.log, built.clock) if node.tap else self._line(node_plan, inputs),
            statics,
            declared_ports(type(node).inputs_of(node.config), node_plan.name),
            outputs,
            self.shared,
            node_plan.on_error,
            None if node.tap else Path(plan.out) / poison.FOLDER,
            not plan.live and not node.tap,
        )
        if node_plan.configuring:
            runner.asked = Asked(node_plan.configuring, None)
        built.runners.append(runner)
        return runner

    def _line(self, node_plan: NodePlan, inputs: dict[str, InEdge]) -> Line:
        joiner, sync, trigger = None, node_plan.sync, node_plan.trigger or ""
        if sync is not None:
            joiner = Joiner(
                list(node_plan.streams), trigger, sync.policy, sync.tolerance_ns, sync.offset_ns, sync.timeout_ns,
                frozenset(sync.optional), self.plan.live,
            )  # fmt: skip
        return line(inputs, trigger, self.built.log, self.built.clock, joiner)

    # -- ports and edges ------------------------------------------------------------------------------------------
    def _out_port(self, node_plan: NodePlan, name: str, declared: Port) -> OutPort:
        planned: PortPlan = self.ports[(node_plan.name, name)]
        built = self.built
        port = OutPort(
            node_plan.name,
            name,
            declared.schema,
            planned.index,
            planned.layout,
            self.writable.get(node_plan.name) or _NO_MEMORY,
            built.log,
            node_plan.resume.restarts if node_plan.resume else 0,
            self.plan.verify,
            built.bells[node_plan.bell],
        )
        for index in planned.edges:
            edge = self.edges[index]
            out = self._out_edge(edge, port)
            built.out_edges[index] = out
            port.edges.append(out)
        port.ready()
        return port

    def _out_edge(self, edge: EdgePlan, port: OutPort) -> OutEdge:
        built = self.built
        ends = edge.spec, port, self.board, built.log, built.clock, built.bells[edge.reader_bell]
        faults = [fault for fault in self.faults.get(edge.spec.index, ()) if fault.cls is None]
        if not faults:
            return OutEdge(*ends)
        out = FaultyOutEdge(faults, self.board, built.bells[edge.writer_io_bell].ring, *ends)
        if any(fault.name in TIMED for fault in faults):
            built.late.append(out)
        return out

    def _static_port(self, node_plan: NodePlan, name: str, declared: Port) -> StaticPort:
        port = StaticPort(node_plan.name, name, declared.schema)
        for index in self.ports[(node_plan.name, name)].edges:
            edge = self.built.static_outs[index] = StaticOut(self.edges[index].spec, port)
            port.edges.append(edge)
        return port

    def _in_edge(self, edge: EdgePlan) -> InEdge:
        layout = self.ports[(edge.src_node, edge.src_port)].layout
        memory = self.readable.get(edge.src_node) or _NO_MEMORY
        ends = edge.spec, edge.dst_port, layout, memory, self.board, self.plan.sources, self.plan.verify
        faults = self.faults.get(edge.spec.index)
        if not faults:
            return InEdge(*ends)
        late = [Active(fault, self.board) for fault in faults if fault.name in TIMED]
        return FaultyInEdge([self._corruption(f, edge) for f in faults if f.cls is not None], late, self.plan.live, *ends)

    def _corruption(self, fault: EdgeFault, edge: EdgePlan) -> Corruption:
        cls = lookup.class_by_ref(fault.cls or "", fault.file)
        config = settings.build(cls.Config, fault.config, settings.Where(self.plan.graph))
        operator = prepare(cls(), f"{edge.dst_node}.{edge.dst_port}.{fault.name}", config)
        operator.open()
        return Corruption(fault, self.board, operator, edge.spec.name)

    def _join_ends(self, edge: EdgePlan) -> None:
        """Connect the two ends of an edge."""
        built, index = self.built, edge.spec.index
        here = edge.src_node in self.own
        if index in built.static_ins:
            if here:
                built.static_outs[index].local = built.static_ins[index]
        elif index in built.in_edges:
            if here:
                built.in_edges[index].give_credit = _locked(built.log, built.out_edges[index].rung)
            elif edge.spec.policy == "block":  # no queue at the sender: only the node itself waits
                built.in_edges[index].give_credit = built.bells[edge.writer_bell].wake
            else:
                built.in_edges[index].give_credit = built.bells[edge.writer_io_bell].ring


def _locked(log: Log, call: Callable[[], None]) -> Callable[[], None]:
    def locked() -> None:
        with log.lock:
            call()

    return locked


_NO_MEMORY: Any = None
"""For unconnected ports, which are never written to."""
