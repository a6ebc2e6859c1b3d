"""A checked graph as numbers: an index for each process, node, edge, port and bell.

A `Plan` is made once per run. `runtime/process_plan.py` takes from it what one process needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from pipeline.graph import sizing
from pipeline.graph.fault import EdgeFault
from pipeline.graph.layout import BoardShape, EdgeSpec, PortLayout, layout, pool_bytes
from pipeline.graph.spec import Edge, GraphSpec
from pipeline.options import RunOptions


@dataclass
class PlannedPort:
    index: int
    node: str
    port: str
    layout: PortLayout
    edges: list[int]


@dataclass
class Plan:
    graph: GraphSpec
    options: RunOptions
    run_id: str
    places: dict[str, list[str]] = field(default_factory=dict)
    node_index: dict[str, int] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    edge_specs: list[EdgeSpec] = field(default_factory=list)
    ports: list[PlannedPort] = field(default_factory=list)
    pool_size: dict[str, int] = field(default_factory=dict)
    faults: list[EdgeFault] = field(default_factory=list)

    def __post_init__(self) -> None:
        graph = self.graph
        self.places = graph.places()
        order = [name for names in self.places.values() for name in names]
        self.node_index = {name: i for i, name in enumerate(order)}
        self.sources = [name for name in graph.nodes if graph.nodes[name].is_source]
        self.edges = graph.edges()
        by_name = {edge.name: edge for edge in self.edges}
        for bit, injection in enumerate(graph.faults):
            for target in injection.targets:
                if (edge := by_name.get(target.edge)) is not None:  # `frames` leaves nodes out
                    origin = self.node_index[graph.origin(edge.src_node)]
                    self.faults.append(replace(target.fault, edge=edge.id, bit=bit, origin=origin))
        for name in order:
            node = graph.nodes[name]
            streams = [port for port, spec in node.outputs.items() if not spec.static]
            slots = {port: sizing.slots(graph, name, port) for port in streams}
            sizes = [(port, slots[port], sizing.slot_bytes(graph, name, port) if slots[port] else 0) for port in streams]
            places = {p.port: p for p in layout(sizes)}
            self.pool_size[name] = pool_bytes(list(places.values()))
            for port in node.outputs:
                edges = [e.id for e in self.edges if (e.src_node, e.src_port) == (name, port)]
                place = places.get(port, PortLayout(port, 0, 0, 0))
                self.ports.append(PlannedPort(len(self.ports), name, port, place, edges))
        slots_of = {(p.node, p.port): p.layout.slots for p in self.ports}
        for edge in self.edges:
            holds = sizing.holds(graph, edge)
            tap, spare = graph.nodes[edge.dst_node].is_tap, sizing.is_spare(graph, edge)
            if edge.static:
                self.edge_specs.append(EdgeSpec(edge.id, edge.name, True, "block", 1, 1, 0, None, 0, tap, spare))
                continue
            queue = sizing.queue(graph, edge.dst_node, edge.dst_port)
            age = None if queue.max_age_ms is None else round(queue.max_age_ms * 1e6)
            assert queue.policy is not None and queue.size is not None
            self.edge_specs.append(
                EdgeSpec(
                    edge.id,
                    edge.name,
                    False,
                    queue.policy,
                    queue.size,
                    sizing.window(graph, edge) - holds,
                    holds,
                    age,
                    slots_of[(edge.src_node, edge.src_port)],
                    tap,
                    spare,
                )
            )

    @property
    def board_shape(self) -> BoardShape:
        return BoardShape(tuple(e.slots for e in self.edge_specs), len(self.node_index), len(self.places), self.bells)

    # -- bells: of each process's main thread and I/O thread, of each source's thread -------------------------------
    @property
    def bells(self) -> int:
        return 2 * len(self.places) + len(self.sources)

    def main_bell(self, process: int) -> int:
        return 2 * process

    def io_bell(self, process: int) -> int:
        return 2 * process + 1

    def node_bell(self, node: str) -> int:
        """The bell of the thread that runs a node."""
        if node in self.sources:
            return 2 * len(self.places) + self.sources.index(node)
        return self.main_bell(self.process_index[self.place_of(node)])

    @property
    def pool_bytes(self) -> int:
        return sum(self.pool_size.values())

    @property
    def process_index(self) -> dict[str, int]:
        return {place: i for i, place in enumerate(self.places)}

    def place_of(self, node: str) -> str:
        return self.graph.nodes[node].place

    def edges_of(self, place: str) -> list[Edge]:
        """Edges with at least one end in this process."""
        nodes = set(self.places[place])
        return [e for e in self.edges if e.src_node in nodes or e.dst_node in nodes]

    @property
    def rate(self) -> float | None:
        """Replay rate; live graphs made of files play at 1."""
        rate = self.options.rate
        if isinstance(rate, (int, float)):
            return float(rate)
        paced = any(n.live and not n.cls.live for n in self.graph.nodes.values())
        return 1.0 if rate is None and self.graph.live and paced else None
