"""The plan of a process -> runners, ports and edges. The same for a worker and for `--place inline`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline import settings
from pipeline.flow.log import Log
from pipeline.flow.ports import Arrived, Clock, InEdge, OutEdge, OutPort
from pipeline.flow.shm import Board, Mapping
from pipeline.flow.sync import Joiner
from pipeline.graph import lookup
from pipeline.operator import Source, prepare
from pipeline.runtime import digests, poison
from pipeline.runtime.digests import Trace
from pipeline.runtime.messages import ProcessPlan
from pipeline.runtime.runner import OperatorRunner, SourceRunner, TapRunner
from pipeline.schema import ports as declared_ports


@dataclass
class Built:
    """Everything that runs in one process."""

    board: Board
    log: Log
    clock: Clock
    runners: list[OperatorRunner] = field(default_factory=list)
    sources: list[SourceRunner] = field(default_factory=list)
    out_edges: dict[int, OutEdge] = field(default_factory=dict)
    in_edges: dict[int, InEdge] = field(default_factory=dict)
    ports: list[OutPort] = field(default_factory=list)

    @property
    def all(self) -> list[OperatorRunner | SourceRunner]:
        return [*self.sources, *self.runners]


def build(plan: ProcessPlan, *, on_full: Callable[[], None], on_room: Callable[[], None], inline: bool = False) -> Built:
    """Map the memory, import the operators, make the runners; local edges are connected, the others are the caller's."""
    board = Board(plan.board_fd, plan.board)
    built = Built(board, Log(board, plan.process, on_full), Clock())
    own = {node.name for node in plan.nodes}
    specs = {edge.spec.index: edge.spec for edge in plan.edges}
    writable = {n: Mapping(pool.write_fd, pool.size, write=True) for n, pool in plan.pools.items() if n in own}
    readable = {n: Mapping(pool.read_fd, pool.size, write=False) for n, pool in plan.pools.items()}
    ports = {(port.node, port.port): port for port in plan.ports}
    ends = {e.spec.index: (e.src_node, e.src_port, e.dst_node, e.dst_port) for e in plan.edges}

    for node_plan in plan.nodes:
        name = node_plan.name
        cls = lookup.class_by_ref(node_plan.cls, node_plan.file)
        node = prepare(
            cls(),
            name,
            settings.build(cls.Config, node_plan.config, settings.Where(plan.graph)),
            threads=node_plan.threads,
            out_dir=Path(plan.out) / name,
            resume=node_plan.resume,
            kinds=node_plan.kinds,
        )
        outputs: dict[str, OutPort] = {}
        epoch = node.resume.restarts if node.resume else 0
        declared = declared_ports(cls.outputs_of(node.config), name)
        for port, spec in declared.items():
            planned = ports[(name, port)]
            memory = writable.get(name) or _NO_MEMORY
            out = OutPort(name, port, spec.schema, planned.index, planned.layout, memory, plan.verify, epoch, on_room)
            for e in planned.edges:
                built.out_edges[e] = OutEdge(specs[e], out, board, built.log, built.clock)
                out.edges.append(built.out_edges[e])
            out.ready()
            outputs[port] = out
            built.ports.append(out)
        common = {
            "board": board, "log": built.log, "clock": built.clock, "on_error": node_plan.on_error, "inline": inline,
        }  # fmt: skip
        if isinstance(node, Source):
            static = {p: s for p, s in declared.items() if s.static}
            built.sources.append(SourceRunner(node, node_plan.index, plan.sources.index(name), outputs, static, **common))
            _trace(built.sources[-1], plan)
            continue
        inputs: dict[str, InEdge] = {}
        statics: dict[str, InEdge] = {}
        for e, (src_node, src_port, dst_node, dst_port) in ends.items():
            if dst_node == name:
                place, memory = ports[(src_node, src_port)].layout, readable.get(src_node) or _NO_MEMORY
                edge = InEdge(specs[e], dst_port, place, memory, board, list(plan.sources), plan.verify)
                built.in_edges[e] = edge
                (statics if specs[e].static else inputs)[dst_port] = edge
        inputs = {p: inputs[p] for p in node_plan.streams}
        sync, trigger = node_plan.sync, node_plan.trigger
        assert trigger is not None
        joiner = None
        if sync is not None:
            joiner = Joiner(
                list(node_plan.streams), trigger, sync.policy, sync.tolerance_ns, sync.offset_ns,
                sync.timeout_ns, frozenset(sync.optional), plan.live,
            )  # fmt: skip
        make = TapRunner if node.tap else OperatorRunner
        built.runners.append(
            make(
                node,
                node_plan.index,
                inputs,
                statics,
                outputs,
                declared_ports(cls.inputs_of(node.config), name),
                joiner,
                trigger,
                None if node.tap else Path(plan.out) / poison.FOLDER,
                not plan.live and not node.tap,
                _age_check(built.clock),
                **common,
            )
        )
        _trace(built.runners[-1], plan)
    for e, (src_node, _, dst_node, _) in ends.items():
        if src_node in own and dst_node in own:
            built.out_edges[e].local = built.in_edges[e]
            built.in_edges[e].local = built.out_edges[e]
            built.out_edges[e].up = True
    return built


def _trace(runner: OperatorRunner | SourceRunner, plan: ProcessPlan) -> None:
    if plan.digests:
        runner.trace = Trace(Path(plan.out) / "logs" / digests.FOLDER, runner.node.name)


def _age_check(clock: Clock) -> Callable[[Arrived], bool]:
    def too_old(frame: Arrived) -> bool:
        limit = frame.edge.spec.max_age_ns
        if limit is None or not clock.live:
            return False
        now = clock.stamp_now()
        return now is not None and now - frame.header.stamp_ns > limit

    return too_old


_NO_MEMORY: Any = None
"""For ports to which nothing is connected: nothing is ever written there."""
