"""A process's part of the plan -> runners, ports and edges. The same for a worker and for `--place inline`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline import settings
from pipeline.flow.ledger import Log
from pipeline.flow.ports import Arrived, Clock, EdgeSpec, InEdge, OutEdge, OutPort
from pipeline.flow.shm import Board, BoardShape, Mapping, PortLayout
from pipeline.flow.sync import Joiner
from pipeline.graph import lookup
from pipeline.operator import Resume, Source
from pipeline.runtime import digests, poison
from pipeline.runtime.digests import Trace
from pipeline.runtime.runner import OperatorRunner, SourceRunner, TapRunner, make_logger
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


def build(part: dict[str, Any], *, on_full: Callable[[], None], on_room: Callable[[], None], inline: bool = False) -> Built:
    """Map the memory, import the operators, make the runners; local edges are connected, the others are the caller's."""
    board = Board(part["board"][0], BoardShape(*part["board"][1]))
    built = Built(board, Log(board, part["process"], on_full), Clock())
    own = {node["name"] for node in part["nodes"]}
    specs = {spec["index"]: _edge_spec(spec, part["epochs"]) for *_, spec in part["edges"]}
    writable = {n: Mapping(fds[0], fds[2], write=True) for n, fds in part["pools"].items() if n in own}
    readable = {n: Mapping(fds[1], fds[2], write=False) for n, fds in part["pools"].items()}
    places = {(node, port): (index, PortLayout(**place), edges) for index, node, port, place, edges in part["ports"]}
    ends = {spec["index"]: (sn, sp, dn, dp) for sn, sp, dn, dp, spec in part["edges"]}

    for told in part["nodes"]:
        name = told["name"]
        cls = lookup.class_by_ref(told["cls"], told["file"])
        node = cls()
        node.name, node.threads, node.log = name, told["threads"], make_logger(name)
        node.config = settings.build(cls.Config, told["config"], settings.Where(part["graph"]))
        node.out_dir = Path(part["out"]) / name
        node.resume = Resume(**told["resume"]) if told["resume"] else None
        outputs: dict[str, OutPort] = {}
        epoch = node.resume.restarts if node.resume else 0
        declared = declared_ports(cls.outputs_of(node.config), name)
        for port, spec in declared.items():
            index, place, edges = places[(name, port)]
            out = OutPort(name, port, spec.schema, index, place, writable.get(name) or _NO_MEMORY, part["verify"], epoch, on_room)
            for e in edges:
                built.out_edges[e] = OutEdge(specs[e], out, board, built.log, built.clock)
                out.edges.append(built.out_edges[e])
            out.ready()
            outputs[port] = out
            built.ports.append(out)
        common = {
            "board": board, "log": built.log, "clock": built.clock, "on_error": told["on_error"], "inline": inline,
        }  # fmt: skip
        if isinstance(node, Source):
            static = {p: s for p, s in declared.items() if s.static}
            built.sources.append(SourceRunner(node, told["index"], part["sources"].index(name), outputs, static, **common))
            _trace(built.sources[-1], part)
            continue
        node.kinds = told["kinds"]
        inputs: dict[str, InEdge] = {}
        statics: dict[str, InEdge] = {}
        for e, (src_node, src_port, dst_node, dst_port) in ends.items():
            if dst_node == name:
                _, place, _ = places[(src_node, src_port)]
                edge = InEdge(
                    specs[e], dst_port, place, readable.get(src_node) or _NO_MEMORY, board, part["sources"], part["verify"]
                )
                built.in_edges[e] = edge
                (statics if specs[e].static else inputs)[dst_port] = edge
        inputs = {p: inputs[p] for p in told["streams"]}
        sync = told["sync"]
        joiner = None
        if sync is not None:
            joiner = Joiner(
                told["streams"], told["trigger"], sync["policy"], sync["tolerance_ns"], sync["offset_ns"],
                sync["timeout_ns"], frozenset(sync["optional"]), part["live"],
            )  # fmt: skip
        make = TapRunner if node.tap else OperatorRunner
        built.runners.append(
            make(
                node,
                told["index"],
                inputs,
                statics,
                outputs,
                declared_ports(cls.inputs_of(node.config), name),
                joiner,
                told["trigger"],
                None if node.tap else Path(part["out"]) / poison.FOLDER,
                not part["live"] and not node.tap,
                _age_check(built.clock),
                **common,
            )
        )
        _trace(built.runners[-1], part)
    for e, (src_node, _, dst_node, _) in ends.items():
        if src_node in own and dst_node in own:
            built.out_edges[e].local = built.in_edges[e]
            built.in_edges[e].local = built.out_edges[e]
            built.out_edges[e].up = True
    return built


def _trace(runner: OperatorRunner | SourceRunner, part: dict[str, Any]) -> None:
    if part["digests"]:
        runner.trace = Trace(Path(part["out"]) / "logs" / digests.FOLDER, runner.node.name)


def _edge_spec(told: dict[str, Any], epochs: dict[int, tuple[int, int]]) -> EdgeSpec:
    spec = EdgeSpec(**told)
    spec.writer_epoch, spec.reader_epoch = epochs[spec.index]
    return spec


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


def configure_logging(node_label: str) -> None:
    """Plain lines on stderr; a worker's stderr is its log file."""
    logging.basicConfig(format=f"%(asctime)s {node_label} %(levelname)s %(message)s", level=logging.INFO, force=True)
