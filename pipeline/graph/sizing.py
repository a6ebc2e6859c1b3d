"""How many frames each edge and each pool must hold, and how many bytes these are.

A join keeps a frame while a frame that decides about it may still come. In stream time: a frame of port e with stamp x arrives at
x + delay(e) and counts as a(x) = x + offset(e).

- A trigger waits until every other port q has shown a stamp beyond its tolerance: q's frame with a >= a(x) + tolerance
  arrives at the latest at x + offset(e) - offset(q) + tolerance + period(q) + disorder(q) + delay(q).
- Another port's frame waits for the first trigger beyond it, the same sum with the trigger as q, and then until that
  trigger is decided.

The join holds up to hold(e) times the rate of e. (While frames come regularly, the first one at or after a trigger decides
it and the tolerance adds nothing; the tolerance is the slack for jitter.) Live, a trigger waits for a silent port until the
timeout. `delay` is the waiting time of joins upstream. Each additional operator on the path of another input adds one frame,
which is on its way.
"""

from __future__ import annotations

import math

from pipeline.graph.fault import TIMED
from pipeline.graph.spec import Edge, GraphSpec, NodeSpec, Queue
from pipeline.schema import ports

UNKNOWN_RATE_HZ = 30.0
DEFAULT_TIMEOUT_S = 0.2
QUEUE_SIZE = {"block": 4, "latest": 1, "drop_oldest": 4}


def queue(spec: GraphSpec, node: str, port: str) -> Queue:
    """The resolved queue of an input: policy and size are never None."""
    declared = spec.nodes[node].inputs[port].queue
    policy = declared.policy or ("latest" if spec.live else "block")
    return Queue(policy, declared.size or QUEUE_SIZE[policy], declared.max_age_ms)


def is_spare(spec: GraphSpec, edge: Edge) -> bool:
    """Does the reader work without this edge? True for an optional static input, and for a stream that `sync` calls optional."""
    node = spec.nodes[edge.dst_node]
    if edge.static:
        return ports(node.cls.inputs_of(node.config), node.name)[edge.dst_port].optional
    return node.sync is not None and edge.dst_port in node.sync.optional


def wanted(spec: GraphSpec, node: str) -> tuple[frozenset[str], frozenset[str]]:
    """The connected ports of a source, and those of them that an operator requires: `wanted` and `needed` of `Source`."""
    edges = [edge for port in spec.nodes[node].outputs for edge in spec.edges_from(node, port)]
    required = [edge for edge in edges if not (spec.nodes[edge.dst_node].is_tap or is_spare(spec, edge))]
    return frozenset(edge.src_port for edge in edges), frozenset(edge.src_port for edge in required)


def holds(spec: GraphSpec, edge: Edge) -> int:
    """How many processed frames' views the reader may keep, as its class declares."""
    return int(spec.nodes[edge.dst_node].cls.holds.get(edge.dst_port, 0))


def window(spec: GraphSpec, edge: Edge) -> int:
    """Frames that the reader may hold at once: the credit of the edge.

    queue (only `block`: the others queue at the sender) + 1 in `process()` + join buffer + declared `holds`
    """
    resolved = queue(spec, edge.dst_node, edge.dst_port)
    assert resolved.size is not None
    return (resolved.size if resolved.policy == "block" else 0) + 1 + sync_buffer(spec, edge) + holds(spec, edge)


def slots(spec: GraphSpec, node: str, port: str) -> int:
    """Slots of an output's pool; 0 if nothing is connected, and for static ports.

    1 being written + 1 when live (a sensor never waits for a slot) + per edge its window and, for `latest` and
    `drop_oldest`, the queue at the sender (a tap has none).
    """
    pool = spec.nodes[node].pool.get(port)
    needed = sum(slot_terms(spec, node, port).values())
    return pool.slots if pool and pool.slots and needed else needed


def slot_terms(spec: GraphSpec, node: str, port: str) -> dict[str, int]:
    """The summands of `slots`: name of the part -> slots."""
    edges = spec.edges_from(node, port)
    if not edges or spec.nodes[node].outputs[port].static:
        return {}
    terms = {"being written": 1}
    if spec.live:
        terms["live"] = 1
    for edge in edges:
        resolved = queue(spec, edge.dst_node, edge.dst_port)
        queued = resolved.size if resolved.size and resolved.policy != "block" and not spec.nodes[edge.dst_node].is_tap else 0
        terms[f"{edge.dst_node}.{edge.dst_port}"] = window(spec, edge) + queued
        late = late_s(spec, edge)
        if late:
            terms[f"held back for {edge.dst_node}.{edge.dst_port}"] = 1 + math.ceil(late * (spec.rate(node) or UNKNOWN_RATE_HZ))
    return terms


def late_s(spec: GraphSpec, edge: Edge) -> float:
    """How long the faults delay and jitter hold the frames of an edge back, at most; live only."""
    found = (t.fault for injection in spec.faults for t in injection.targets if t.edge == edge.name) if spec.live else ()
    return sum(fault.level * 1e-3 for fault in found if fault.name in TIMED)


def slot_bytes(spec: GraphSpec, node: str, port: str) -> int:
    """Bytes of the largest frame of an output; 0 if it has no slots. Raises GraphError if no limit is known."""
    if not slot_terms(spec, node, port):
        return 0
    owner = spec.nodes[node]
    pool = owner.pool.get(port)
    if pool and pool.max_mb:
        return int(pool.max_mb * 1e6)
    declared = owner.cls.slot_bytes(owner.config).get(port)
    if declared:
        return int(declared)
    limit = owner.outputs[port].schema.max_bytes()
    if limit is None:
        raise owner.where.error(
            f"needs the size of the largest frame of {port}, which {owner.cls.__name__} does not declare; "
            f"write pool: {{{port}: {{max_mb: ...}}}}"
        )
    return limit


def sync_buffer(spec: GraphSpec, edge: Edge) -> int:
    """Frames of `edge` that may wait in its reader's join: at least 1 in a join, else 0."""
    node = spec.nodes[edge.dst_node]
    if edge.static or not node.joins:
        return 0
    trigger = node.trigger
    assert trigger is not None
    hold_s = _wait_s(spec, node, trigger)
    if edge.dst_port != trigger:
        hold_s += _reach_s(spec, node, edge.dst_port, trigger)
    rate_hz = spec.rate(edge.src_node) or UNKNOWN_RATE_HZ
    depths = {port: _depth(spec, node.inputs[port].source_node) for port in node.streams}
    behind = max(depths.values()) - depths[edge.dst_port]
    # the small term makes 0.1 s x 10 Hz = 1.0000000000000002 count as 1
    return 1 + max(0, math.ceil(max(0.0, hold_s) * rate_hz - 1e-6)) + behind


def _reach_s(spec: GraphSpec, node: NodeSpec, port: str, other: str) -> float:
    """Time from the arrival of a frame of `port` to that of the first frame of `other` beyond its tolerance."""
    sync = node.sync
    assert sync is not None
    tolerance_ms = sync.tolerance_ms if sync.policy == "nearest" else 0.0
    offsets_ms = sync.offset_ms.get(port, 0.0) - sync.offset_ms.get(other, 0.0)
    period_s = 1.0 / (spec.rate(node.inputs[other].source_node) or UNKNOWN_RATE_HZ)
    return (offsets_ms + tolerance_ms) * 1e-3 + period_s + _arrival_s(spec, node, other) - _arrival_s(spec, node, port)


def _wait_s(spec: GraphSpec, node: NodeSpec, trigger: str) -> float:
    """How long a trigger waits for the other inputs."""
    assert node.sync is not None
    wait_s = max([0.0, *(_reach_s(spec, node, trigger, p) for p in node.streams if p != trigger)])
    timeout = timeout_s(spec, node)
    return wait_s if timeout is None or not spec.live else max(wait_s, timeout)


def timeout_s(spec: GraphSpec, node: NodeSpec) -> float | None:
    """How long a join waits for a silent input: as declared; live, by default 0.2 s or two periods of the slowest input."""
    if node.sync is not None and node.sync.timeout_ms is not None:
        return node.sync.timeout_ms * 1e-3
    if not spec.live:
        return None
    rates_hz = [spec.rate(node.inputs[port].source_node) for port in node.streams]
    return max([DEFAULT_TIMEOUT_S, *(2.0 / rate for rate in rates_hz if rate)])


def _delay_s(spec: GraphSpec, name: str) -> float:
    """How far a node's outputs lie behind its sources, in stream time."""
    node = spec.nodes[name]
    if node.is_source:
        return float(getattr(node.config, "max_disorder_ms", None) or node.cls.max_disorder_ms) * 1e-3
    if node.trigger is None:
        return 0.0
    waits_s = _wait_s(spec, node, node.trigger) if node.joins else 0.0
    return _arrival_s(spec, node, node.trigger) + waits_s


def _arrival_s(spec: GraphSpec, node: NodeSpec, port: str) -> float:
    """How far the frames of an input lie behind its sources when they arrive, in stream time."""
    late = sum(late_s(spec, e) for e in spec.edges() if (e.dst_node, e.dst_port) == (node.name, port)) if spec.faults else 0.0
    return _delay_s(spec, node.inputs[port].source_node) + late


def _depth(spec: GraphSpec, name: str) -> int:
    """Operators between the farthest source and a node's outputs."""
    node = spec.nodes[name]
    return 0 if node.is_source else 1 + max(_depth(spec, node.inputs[p].source_node) for p in node.streams)
