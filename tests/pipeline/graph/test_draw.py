"""Drawings: complete Mermaid text; SVG well formed, complete, and without overlaps."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import NamedTuple

import pytest

from pipeline.graph import draw
from pipeline.graph import load as graph
from pipeline.operator import Operator, Source
from pipeline.schema import Array, Schema, static

NUMBER = Schema("NUMBER", {"data": Array("int64", (1,))})
SVG = "{http://www.w3.org/2000/svg}"


class Calibrated(Source):
    outputs = {"out": NUMBER, "calib": static(NUMBER)}


class Two(Operator):
    inputs = {"a": NUMBER, "out": NUMBER, "calib": static(NUMBER, optional=True)}


GRAPH = f"""
version: 1
nodes:
  end: {{driver: '{__name__}:Calibrated'}}
  b: {{op: test.noop, inputs: {{in: end.out}}, place: p}}
  c: {{op: test.noop, inputs: {{in: b.out}}, place: p}}
  far: {{op: '{__name__}:Two', inputs: {{a: c.out, out: end.out, calib: end.calib}}}}
  s: {{op: test.null, inputs: {{in: b.out}}}}
"""


class Box(NamedTuple):
    x: float
    y: float
    width: float
    height: float

    def overlaps(self, other: Box) -> bool:
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )

    def contains(self, x: float, y: float) -> bool:
        return self.x < x < self.x + self.width and self.y < y < self.y + self.height


def test_mermaid():
    assert draw.mermaid(graph.parse(GRAPH, "g.yaml")) == (
        "flowchart LR\n"
        f'  n0(["end<br/>{__name__}:Calibrated"])\n'
        '  subgraph pn1["p"]\n'
        '    n1["b<br/>test.noop"]\n'
        '    n2["c<br/>test.noop"]\n'
        "  end\n"
        f'  n3[["far<br/>{__name__}:Two"]]\n'
        '  n4[["s<br/>test.null"]]\n'
        '  n0 -- "out → in" --> n1\n'
        '  n1 -- "out → in" --> n2\n'
        '  n2 -- "out → a" --> n3\n'
        '  n0 -- "out" --> n3\n'
        '  n0 -. "calib" .-> n3\n'
        '  n1 -- "out → in" --> n4\n'
    )


def test_mermaid_of_one_node():
    spec = graph.parse("version: 1\nnodes:\n  a: {driver: test.counter}\n", "g.yaml")
    assert draw.mermaid(spec) == 'flowchart LR\n  n0(["a<br/>test.counter"])\n'


def parsed(text: str, name: str = "g.yaml") -> ElementTree.Element:
    return ElementTree.fromstring(draw.svg(graph.parse(text, name)))


def boxes(root: ElementTree.Element) -> dict[str, Box]:
    found = {}
    for group in root.iter(f"{SVG}g"):
        rect = group.find(f"{SVG}rect")
        if rect is not None:
            name = group.findtext(f"{SVG}text") or ""
            found[name] = Box(*(float(rect.get(k, "nan")) for k in ("x", "y", "width", "height")))
    return found


def test_svg_says_everything():
    root = parsed(GRAPH)
    texts = [t.text for t in root.iter(f"{SVG}text")]
    assert set(boxes(root)) == {"end", "b", "c", "far", "s"}
    assert sorted(texts) == sorted(
        [
            *("end", f"{__name__}:Calibrated", "out", "calib"),
            *("b", "test.noop in p", "in", "out"),
            *("c", "test.noop in p", "in", "out"),
            *("far", f"{__name__}:Two", "a", "out", "calib"),
            *("s", "test.null", "in"),
        ]
    )
    titles = [t.text for t in root.iter(f"{SVG}title")]
    assert titles == [
        "g",
        "end.out->b.in",
        "b.out->c.in",
        "c.out->far.a",
        "end.out->far.out",
        "end.calib->far.calib",
        "b.out->s.in",
    ]
    assert len(root.findall(f".//{SVG}path[@stroke-dasharray]")) == 1  # the static edge


FAULTS = GRAPH.replace("place: p}", "place: p, inject: [drop, 'in:delay=50']}", 1)


def test_faults_stand_on_their_edges():
    """Of the node's outputs, or of its input: in both forms of the drawing, and nowhere else."""
    marked = {"b.out->c.in": "! drop", "b.out->s.in": "! drop", "end.out->b.in": "! delay"}
    spec = graph.parse(FAULTS, "g.yaml")
    assert draw.marks(spec) == marked
    lines = draw.mermaid(spec).splitlines()
    assert [line for line in lines if "!" in line] == [
        '  n0 -- "out → in ! delay" --> n1',
        '  n1 -- "out → in ! drop" --> n2',
        '  n1 -- "out → in ! drop" --> n4',
    ]
    root = parsed(FAULTS)
    groups = {group.findtext(f"{SVG}title"): group for group in root.iter(f"{SVG}g") if group.find(f"{SVG}title") is not None}
    texts = {name: group.findtext(f"{SVG}text") for name, group in groups.items()}
    assert {name: text for name, text in texts.items() if text} == marked
    assert {name for name, group in groups.items() if group.get("stroke") == draw.FAULT} == set(marked)


def test_several_faults_of_an_edge_have_room():
    text = "version: 1\nnodes:\n  a: {driver: test.counter, inject: [drop, jitter, disconnect]}\n"
    root = parsed(text + "  b: {op: test.null, inputs: {in: a.out}}\n")
    (label,) = [text for text in root.iter(f"{SVG}text") if "!" in (text.text or "")]
    assert label.text == "! drop ! jitter ! disconnect"
    end, first = float(label.get("x", "nan")), boxes(root)["a"]
    assert end - len(label.text) * draw.CHAR_PX > first.x + first.width and end < boxes(root)["b"].x


def test_svg_names_are_escaped():
    root = parsed("version: 1\nnodes:\n  a: {driver: test.counter, place: x}\n", "a&<b>.yaml")
    assert root.findtext(f"{SVG}title") == "a&<b>"
    assert "test.counter in x" in [t.text for t in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("name", ["demo", "kitti_scans", "kitti_tracking", "kitti_camera_lidar", "made", "faulty"])
def test_svg_layout(name):
    """Nodes do not overlap, lie inside the drawing, come after their inputs, and no edge crosses a node."""
    if name == "demo":
        pytest.importorskip("torch", reason="the demo's detector needs torch")
    made = {"made": GRAPH, "faulty": FAULTS}
    spec = graph.parse(made[name], "g.yaml") if name in made else graph.load(name)
    root = ElementTree.fromstring(draw.svg(spec))
    found = boxes(root)
    assert set(found) == set(spec.nodes)
    page = Box(0, 0, float(root.get("width", "nan")), float(root.get("height", "nan")))
    for a, box in found.items():
        assert page.contains(box.x, box.y)
        assert page.contains(box.x + box.width, box.y + box.height)
        assert [b for b, other in found.items() if b != a and box.overlaps(other)] == []
    for edge in spec.edges():
        assert found[edge.src_node].x + found[edge.src_node].width < found[edge.dst_node].x
    for path in root.iter(f"{SVG}path"):
        for x, y in points_of(path.get("d", "")):
            assert [n for n, box in found.items() if box.contains(x, y)] == []


def points_of(path: str) -> list[tuple[float, float]]:
    """Points along a path of M, L, C and Z."""
    points: list[tuple[float, float]] = []
    for command, numbers in re.findall(r"([MLCZ])([^MLCZ]*)", path):
        n = [float(v) for v in numbers.split()]
        if command in "ML":
            start = points[-1] if points and command == "L" else (n[0], n[1])
            points += [(start[0] + (n[0] - start[0]) * t / 9, start[1] + (n[1] - start[1]) * t / 9) for t in range(10)]
        elif command == "C":
            p = [points[-1], *zip(n[::2], n[1::2], strict=True)]
            for i in range(31):
                t = i / 30
                weights = ((1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t * t, t**3)
                points.append(
                    (
                        sum(w * q[0] for w, q in zip(weights, p, strict=True)),
                        sum(w * q[1] for w, q in zip(weights, p, strict=True)),
                    )
                )
    return points
