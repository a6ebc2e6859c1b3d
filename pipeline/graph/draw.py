"""Draw a graph: Mermaid text for Markdown, SVG for everything else. No layout program is needed.

SVG: a node stands in the column after its last input, ordered in its column by where its inputs stand. An edge across
several columns gets a lane in each, so that it passes between the nodes. Injected faults stand on their edges, as `! drop`.
The nodes of an included graph have rows of their own, in a frame with its name.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from html import escape

from pipeline.graph.spec import Edge, GraphSpec, NodeSpec

CHAR_PX, ROW_PX, HEAD_PX, GAP_PX, COLUMN_PX, MARGIN_PX = 7, 18, 44, 26, 90, 20
FRAME_PX, NAME_PX = 8, 20
"""Room around the nodes of an included graph, and above them for its name."""
FILL = {"source": "#e6f4ea", "operator": "#eef2fb", "sink": "#fdf1e3"}
LINE = {"source": "#2e7d4f", "operator": "#3b5ba5", "sink": "#b5691a"}
EDGE, FAULT, FRAME = "#6b7280", "#c62828", "#b6bcc6"
Group = tuple[str, ...]
"""Names of the included graphs around a node: ("front",) of front.cam, () of a node of the graph itself."""


def kind(node: NodeSpec) -> str:
    return "source" if node.is_source else "sink" if node.is_sink else "operator"


def group_of(names: list[str]) -> Group:
    """That all these nodes have in common."""
    parts = zip(*(name.split(".")[:-1] for name in names), strict=False)
    return tuple(same[0] for same in itertools.takewhile(lambda same: len(set(same)) == 1, parts))


def marks(spec: GraphSpec) -> dict[str, str]:
    """Edge -> its injected faults, `! noise ! drop`."""
    found: dict[str, list[str]] = {}
    for injection in spec.faults:
        for target in injection.targets:
            found.setdefault(target.edge, []).append(f"! {injection.fault}")
    return {edge: " ".join(faults) for edge, faults in found.items()}


def mermaid(spec: GraphSpec) -> str:
    """Flowchart text. Static edges are dotted, shared processes are boxes around their nodes."""
    ids = {name: f"n{i}" for i, name in enumerate(spec.nodes)}  # a node may be called "end", which is a keyword of Mermaid
    lines = ["flowchart LR", *_mermaid_group(spec, ids, (), "  ")]
    faults = marks(spec)
    for edge in spec.edges():
        label = edge.src_port if edge.src_port == edge.dst_port else f"{edge.src_port} → {edge.dst_port}"
        label += f" {faults[edge.name]}" if edge.name in faults else ""
        arrow = f'-. "{label}" .->' if edge.static else f'-- "{label}" -->'
        lines.append(f"  {ids[edge.src_node]} {arrow} {ids[edge.dst_node]}")
    return "\n".join(lines) + "\n"


def _mermaid_group(spec: GraphSpec, ids: dict[str, str], inside: Group, pad: str) -> list[str]:
    """The nodes of an included graph, then the graphs that it includes in boxes of their own."""
    shapes = {"source": ("([", "])"), "operator": ("[", "]"), "sink": ("[[", "]]")}
    lines: list[str] = []
    inner: dict[Group, str] = {}  # group -> its first node
    for place, names in spec.places().items():
        group = group_of(names)
        if group != inside:
            if group[: len(inside)] == inside:
                inner.setdefault(group[: len(inside) + 1], names[0])
            continue
        shared = len(names) > 1
        lines += [f'{pad}subgraph p{ids[names[0]]}["{place}"]'] if shared else []
        for name in names:
            node = spec.nodes[name]
            left, right = shapes[kind(node)]
            what = _mermaid_text(node.driver or node.op or "")
            lines.append(f'{pad}{"  " if shared else ""}{ids[name]}{left}"{name}<br/>{what}"{right}')
        lines += [f"{pad}end"] if shared else []
    for group, first in inner.items():
        lines += [f'{pad}subgraph {"g" * len(group)}{ids[first]}["{".".join(group)}"]']
        lines += [*_mermaid_group(spec, ids, group, f"{pad}  "), f"{pad}end"]
    return lines


def _mermaid_text(text: str) -> str:
    return text.replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")


@dataclass
class Box:
    """A node, or the lane of an edge that passes a column (node None), in the rows of a group."""

    column: int
    group: Group
    node: NodeSpec | None = None
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    width: int = 0
    height: int = 0
    x: float = 0.0
    y: float = 0.0

    def port(self, name: str, side: str) -> tuple[float, float]:
        """The point where an edge meets the box."""
        if self.node is None:
            return self.x + (self.width if side == "out" else 0), self.y + self.height / 2
        row = (self.outputs if side == "out" else self.inputs).index(name)
        return self.x + (self.width if side == "out" else 0), self.y + HEAD_PX + (row + 0.5) * ROW_PX


@dataclass(frozen=True)
class Frame:
    """Around the nodes of an included graph."""

    name: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Drawing:
    """Where everything stands, in pixels. routes: of each edge, the boxes that it passes, both ends included."""

    width: float
    height: float
    boxes: list[Box]
    frames: list[Frame]
    routes: list[tuple[Edge, list[Box]]]


def arrange(spec: GraphSpec, column_px: int = COLUMN_PX, least_px: int = 0, foot_px: int = 0) -> Drawing:
    """column_px: between two columns; least_px: width of a node; foot_px: room in each node below its ports."""
    boxes = {name: _box(spec, name) for name in spec.order()}
    for box in boxes.values():
        box.width, box.height = max(box.width, least_px), box.height + foot_px
    routes = [_route(edge, boxes) for edge in spec.edges()]
    columns: dict[int, list[Box]] = {}
    for box in [*boxes.values(), *(lane for route in routes for lane in route[1:-1])]:
        columns.setdefault(box.column, []).append(box)
    _place(columns, routes, _gaps(spec, boxes, marks(spec), column_px), column_px)
    deepest = max(len(box.group) for box in boxes.values())
    width = max(b.x + b.width for b in boxes.values()) + MARGIN_PX + deepest * FRAME_PX
    height = max(b.y + b.height for column in columns.values() for b in column) + MARGIN_PX + deepest * FRAME_PX
    frames = _frames(list(boxes.values()), deepest)
    return Drawing(width, height, list(boxes.values()), frames, list(zip(spec.edges(), routes, strict=True)))


def svg(spec: GraphSpec) -> str:
    drawing, faults = arrange(spec), marks(spec)
    width, height = drawing.width, drawing.height
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="system-ui, sans-serif" font-size="12">',
        f"<title>{escape(spec.name)}</title>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
    ]
    out += [_svg_frame(frame) for frame in drawing.frames]
    out += [_svg_edge(edge, route, faults.get(edge.name, "")) for edge, route in drawing.routes]
    out += [_svg_node(box) for box in drawing.boxes]
    return "\n".join([*out, "</svg>"]) + "\n"


def _box(spec: GraphSpec, name: str) -> Box:
    node = spec.nodes[name]
    inputs, outputs = list(node.inputs), list(node.outputs)
    rows = max(len(inputs), len(outputs))
    ports_px = max((len(i) for i in inputs), default=0) + max((len(o) for o in outputs), default=0)
    chars = max(len(name) + 2, len(subtitle(node)), ports_px + 4)
    return Box(_column(spec, name), group_of([name]), node, inputs, outputs, chars * CHAR_PX + 16, HEAD_PX + rows * ROW_PX + 6)


def subtitle(node: NodeSpec) -> str:
    what = node.driver or node.op or ""
    return what if node.place == node.name else f"{what} in {node.place}"


def _column(spec: GraphSpec, name: str) -> int:
    return max((1 + _column(spec, i.source_node) for i in spec.nodes[name].inputs.values()), default=0)


def _route(edge: Edge, boxes: dict[str, Box]) -> list[Box]:
    start, end = boxes[edge.src_node], boxes[edge.dst_node]
    return [start, *(Box(c, start.group, height=ROW_PX) for c in range(start.column + 1, end.column)), end]


def _gaps(spec: GraphSpec, boxes: dict[str, Box], faults: dict[str, str], least_px: int) -> dict[int, int]:
    """Column -> pixels before it, where the faults of the edges that end in it need more than least_px."""
    gaps: dict[int, int] = {}
    for edge in spec.edges():
        if edge.name in faults:
            column = boxes[edge.dst_node].column
            gaps[column] = max(gaps.get(column, least_px), len(faults[edge.name]) * CHAR_PX + 2 * MARGIN_PX)
    return gaps


def _place(columns: dict[int, list[Box]], routes: list[list[Box]], gaps: dict[int, int], column_px: int) -> None:
    """Columns go left to right, each as wide as its widest node. Boxes of a column are ordered and centred by their inputs; the
    groups lie below each other, the graph's own nodes, which read those of the others, below all of them."""
    groups = sorted({box.group for column in columns.values() for box in column}, key=lambda group: (not group, group))
    deepest = max(map(len, groups))
    before: dict[int, list[Box]] = {}
    for route in routes:
        for a, b in itertools.pairwise(route):
            before.setdefault(id(b), []).append(a)
    top = float(MARGIN_PX)
    for group in groups:
        top += deepest * (NAME_PX + FRAME_PX) if deepest else 0
        rows = [[box for box in column if box.group == group] for _, column in sorted(columns.items())]
        for row in rows:
            _stack(row, before, top)
        top = max(box.y + box.height for row in rows for box in row) + GAP_PX + deepest * FRAME_PX
    x = float(MARGIN_PX + deepest * FRAME_PX)
    for number, column in sorted(columns.items()):
        x += gaps.get(number, column_px) if number else 0
        widest = max(box.width for box in column)
        for box in column:
            box.x, box.width = x, box.width if box.node is not None else widest
        x += widest


def _stack(column: list[Box], before: dict[int, list[Box]], top: float) -> None:
    """Boxes of one column and group, from `top` down; before: box -> those that it reads."""
    if column:
        middles = {}
        for i, box in enumerate(column):
            inputs = before.get(id(box), [])
            middles[id(box)] = sum(b.y + b.height / 2 for b in inputs) / len(inputs) if inputs else float(i)
        column.sort(key=lambda box: middles[id(box)])
        y = top
        for box in column:
            # as near to the middle of its inputs as the boxes above allow
            wanted = middles[id(box)] - box.height / 2 if before.get(id(box)) else y
            box.y = max(y, wanted)
            y = box.y + box.height + GAP_PX


def _frames(boxes: list[Box], deepest: int) -> list[Frame]:
    """Around the nodes of each included graph, the graphs inside of it with them."""
    out = []
    for group in sorted({box.group[:depth] for box in boxes for depth in range(1, len(box.group) + 1)}):
        inside = [box for box in boxes if box.group[: len(group)] == group]
        pad = FRAME_PX * (1 + deepest - len(group))
        above = pad + NAME_PX * (1 + max(len(box.group) for box in inside) - len(group))
        left, top = min(box.x for box in inside) - pad, min(box.y for box in inside) - above
        right, bottom = (
            max(ends) + pad for ends in zip(*((box.x + box.width, box.y + box.height) for box in inside), strict=True)
        )
        out.append(Frame(".".join(group), left, top, right - left, bottom - top))
    return out


def _svg_frame(frame: Frame) -> str:
    return (
        f'<rect x="{frame.x:.0f}" y="{frame.y:.0f}" width="{frame.width:.0f}" height="{frame.height:.0f}" rx="8" fill="none" '
        f'stroke="{FRAME}" stroke-dasharray="6 4"/>'
        + _text(frame.x + 10, frame.y + 15, frame.name, "start", f' fill="{EDGE}" font-weight="600"')
    )


def curve(edge: Edge, route: list[Box]) -> tuple[str, tuple[float, float]]:
    """The path of an edge as SVG has it, and the point where it ends."""
    points = [route[0].port(edge.src_port, "out")]
    for lane in route[1:-1]:
        points += [lane.port("", "in"), lane.port("", "out")]
    points.append(route[-1].port(edge.dst_port, "in"))
    path = f"M{points[0][0]:.0f} {points[0][1]:.0f}"
    for i, ((x0, y0), (x1, y1)) in enumerate(itertools.pairwise(points)):
        middle = (x0 + x1) / 2
        path += f" L{x1:.0f} {y1:.0f}" if i % 2 else f" C{middle:.0f} {y0:.0f} {middle:.0f} {y1:.0f} {x1:.0f} {y1:.0f}"
    return path, points[-1]


def _svg_edge(edge: Edge, route: list[Box], faults: str) -> str:
    """faults: text beside the arrow's head, "" = none"""
    path, (x, y) = curve(edge, route)
    dash = ' stroke-dasharray="5 4"' if edge.static else ""
    color = FAULT if faults else EDGE
    label = _text(x - 10, y - 5, faults, "end", f' fill="{FAULT}" stroke="none"') if faults else ""
    return (
        f'<g stroke="{color}" fill="none"><title>{escape(edge.name)}</title><path d="{path}"{dash}/>'
        f'<path d="M{x - 7:.0f} {y - 4:.0f} L{x:.0f} {y:.0f} L{x - 7:.0f} {y + 4:.0f} Z" fill="{color}"/>{label}</g>'
    )


def _svg_node(box: Box) -> str:
    assert box.node is not None
    node, what = box.node, kind(box.node)
    out = [
        f'<g><rect x="{box.x:.0f}" y="{box.y:.0f}" width="{box.width}" height="{box.height}" rx="6" fill="{FILL[what]}" '
        f'stroke="{LINE[what]}"/>',
        _text(box.x + box.width / 2, box.y + 18, node.name, "middle", ' font-weight="600" font-size="14"'),
        _text(box.x + box.width / 2, box.y + 34, subtitle(node), "middle", ' fill="#6b7280"'),
    ]
    for names, side, anchor, shift in ((box.inputs, "in", "start", 8), (box.outputs, "out", "end", -8)):
        for name in names:
            x, y = box.port(name, side)
            out.append(_text(x + shift, y + 4, name, anchor, ""))
    return "\n".join([*out, "</g>"])


def _text(x: float, y: float, text: str, anchor: str, style: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}"{style}>{escape(text)}</text>'
