"""The graph as the page draws it: where boxes and edges stand. The page fills in the figures, which change while a run lives."""

from __future__ import annotations

from typing import Any

from pipeline.graph import draw
from pipeline.graph.spec import GraphSpec
from pipeline.runtime.runfile import kind_of

COLUMN_PX, LEAST_PX, FOOT_PX = 130, 150, 40
"""Room for the rate of an edge, and for two lines of figures in a node."""


def drawing(spec: GraphSpec) -> dict[str, Any]:
    """Pixels and names, ready for JSON."""
    made, faults = draw.arrange(spec, COLUMN_PX, LEAST_PX, FOOT_PX), draw.marks(spec)
    edges = []
    for edge, route in made.routes:
        path, (x, y) = draw.curve(edge, route)
        row = {"name": edge.name, "static": edge.static, "path": path, "x": x, "y": y}
        edges.append(row | {"faults": faults.get(edge.name, "")})
    return {
        "width": made.width,
        "height": made.height,
        "groups": [{"name": f.name, "x": f.x, "y": f.y, "width": f.width, "height": f.height} for f in made.frames],
        "nodes": [_node(box) for box in made.boxes],
        "edges": edges,
    }


def _node(box: draw.Box) -> dict[str, Any]:
    assert box.node is not None
    return {
        "name": box.node.name,
        "what": draw.subtitle(box.node),
        "kind": kind_of(box.node),
        "x": box.x,
        "y": box.y,
        "width": box.width,
        "height": box.height,
        "inputs": [[name, *box.port(name, "in")] for name in box.inputs],
        "outputs": [[name, *box.port(name, "out")] for name in box.outputs],
    }
