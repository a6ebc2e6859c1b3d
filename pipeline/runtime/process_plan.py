"""From the plan of a run to the plan of one of its processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline import settings
from pipeline.graph import lookup, sizing
from pipeline.graph.layout import EdgeSpec
from pipeline.graph.plan import Plan
from pipeline.graph.spec import Edge, NodeSpec
from pipeline.operator import Resume
from pipeline.runtime.messages import EdgePlan, NodePlan, PoolPlan, PortPlan, ProcessPlan, SyncPlan

Epochs = Mapping[int, tuple[int, int]]
"""Edge -> epochs (numbers of restarts) of its writer's and its reader's process."""


def process_plan(
    plan: Plan,
    nodes: list[str],
    process: int,
    board_fd: int,
    bell_fds: Sequence[int],
    pool_fds: Mapping[str, tuple[int, int]],
    epochs: Epochs,
    resume: Mapping[str, Resume],
) -> ProcessPlan:
    """`pool_fds`: node -> descriptors of its pool, writeable and read-only; `resume`: of the nodes of a restarted process."""
    graph, options, own = plan.graph, plan.options, set(nodes)
    edges = [e for e in plan.edges if e.src_node in own or e.dst_node in own]
    needed = own | {e.src_node for e in edges}
    specs = {e.id: replace(plan.edge_specs[e.id], writer_epoch=epochs[e.id][0], reader_epoch=epochs[e.id][1]) for e in edges}
    edge_plans = tuple(_edge_plan(plan, e, specs[e.id]) for e in edges)
    bells = needed_bells(plan, nodes, process)
    return ProcessPlan(
        graph=graph.name,
        out=str(options.out),
        process=process,
        main_bell=plan.main_bell(process),
        io_bell=plan.io_bell(process),
        bells={index: bell_fds[index] for index in sorted(bells)},
        live=graph.live,
        verify=options.verify,
        digests=options.digests,
        inject=options.inject,
        board_fd=board_fd,
        board=plan.board_shape,
        sources=tuple(plan.sources),
        pools={n: PoolPlan(*pool_fds[n], plan.pool_size[n]) for n in needed if plan.pool_size[n]},
        ports=tuple(PortPlan(p.index, p.node, p.port, p.layout, tuple(p.edges)) for p in plan.ports if p.node in needed),
        edges=edge_plans,
        nodes=tuple(_node_plan(plan, graph.nodes[n], resume.get(n)) for n in nodes),
        faults=tuple(fault for fault in plan.faults if fault.edge in specs),
    )


def needed_bells(plan: Plan, nodes: Sequence[str], process: int) -> set[int]:
    """Bells of the threads of a process and of those at the other ends of its edges."""
    own = set(nodes)
    bells = {plan.main_bell(process), plan.io_bell(process), *(plan.node_bell(n) for n in nodes)}
    for e in plan.edges:
        if e.src_node in own or e.dst_node in own:
            bells |= set(_bells_of(plan, e))
    return bells


def _bells_of(plan: Plan, e: Edge) -> tuple[int, int, int]:
    """Bells of an edge's writer, of the I/O thread of the writer's process, of the reader."""
    writer_io = plan.io_bell(plan.process_index[plan.place_of(e.src_node)])
    return plan.node_bell(e.src_node), writer_io, plan.node_bell(e.dst_node)


def _edge_plan(plan: Plan, e: Edge, spec: EdgeSpec) -> EdgePlan:
    return EdgePlan(e.src_node, e.src_port, e.dst_node, e.dst_port, spec, *_bells_of(plan, e))


def _node_plan(plan: Plan, node: NodeSpec, resume: Resume | None) -> NodePlan:
    sources = {port: (i.source_node, i.source_port) for port, i in node.inputs.items()}
    return NodePlan(
        name=node.name,
        index=plan.node_index[node.name],
        bell=plan.node_bell(node.name),
        cls=lookup.class_ref(node.cls),
        file=lookup.class_file(node.cls),
        config=settings.plain(node.config),
        threads=node.threads,
        on_error=plan.graph.on_error(node.name),
        cpus=node.cpus or None,
        nice=node.nice,
        streams=node.streams,
        kinds={port: plan.graph.nodes[source].outputs[name].schema.kind for port, (source, name) in sources.items()},
        trigger=node.trigger,
        sync=_sync_plan(plan, node) if node.joins else None,
        resume=resume,
    )


def _sync_plan(plan: Plan, node: NodeSpec) -> SyncPlan:
    timeout_s = sizing.timeout_s(plan.graph, node)
    timeout_ns = None if timeout_s is None else round(timeout_s * 1e9)
    sync = node.sync
    if sync is None:
        return SyncPlan("exact", 0, {}, timeout_ns, ())
    offset_ns = {port: round(ms * 1e6) for port, ms in sync.offset_ms.items()}
    return SyncPlan(sync.policy, round(sync.tolerance_ms * 1e6), offset_ns, timeout_ns, tuple(sync.optional))
