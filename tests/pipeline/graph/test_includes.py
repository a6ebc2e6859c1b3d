"""`includes:` sub-graphs: names, messages, drawings, and a rig of two generated cameras and one LiDAR in every form of a run."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import pytest

from pipeline import api
from pipeline.errors import GraphError
from pipeline.graph import draw, files
from pipeline.graph.inject import with_faults
from pipeline.graph.load import load

CAMERA = """version: 1
nodes:
  cam:  {driver: "rig_nodes:Camera", place: eye}
  half: {op: "rig_nodes:Half", inputs: {image: cam.image}, place: eye}
"""
RIG = """version: 1
nodes:
  scans:    {driver: "rig_nodes:Lidar", place: together}
  together: {op: "rig_nodes:Together", inputs: {points: scans.points, front: front.half.image, rear: rear.half.image}}
  all:      {op: test.null, place: together, inputs: {in: together.out}, config: {write: true}}
includes:
  - {graph: camera.yaml, as: front, set: {cam.config.device: 1}}
  - {graph: camera.yaml, as: rear, set: {cam.config.device: 2}}
"""


@pytest.fixture
def rig(tmp_path):
    """rig(...) -> path of the graph; other files by name."""

    def write(text: str = RIG, **others: str):
        for name, content in {"camera": CAMERA, "rig": text, **others}.items():
            (tmp_path / f"{name}.yaml").write_text(content)
        return tmp_path / "rig.yaml"

    return write


def message(path, *sets) -> str:
    with pytest.raises(GraphError) as error:
        load(path, sets)
    return str(error.value).replace(f"{path.parent}/", "")


# ---- names


@pytest.mark.parametrize("text", ["includes: []\n", ""])
def test_none(rig, text):
    spec = load(rig("version: 1\nnodes: {a: {driver: test.counter}}\n" + text))
    assert list(spec.nodes) == ["a"]


def test_one_and_nothing_else(rig):
    spec = load(rig("version: 1\nincludes: [{graph: camera.yaml, as: front}]\n"))
    assert list(spec.nodes) == ["front.cam", "front.half"]
    half = spec.nodes["front.half"]
    assert (half.name, half.place, half.inputs["image"].source_node) == ("front.half", "front.eye", "front.cam")


def test_two_of_one_file_with_values_of_their_own(rig):
    spec = load(rig(), ["rear.cam.config.frames=3", "front.half.place=shared", "rear.half.place=shared"])
    assert list(spec.nodes) == ["scans", "together", "all", "front.cam", "front.half", "rear.cam", "rear.half"]
    assert [spec.nodes[f"{name}.cam"].config.device for name in ("front", "rear")] == [1, 2]
    assert [spec.nodes[f"{name}.cam"].config.frames for name in ("front", "rear")] == [5, 3]
    assert {node.name: node.place for node in spec.nodes.values() if not node.is_source and "." in node.name} == {
        "front.half": "front.shared",
        "rear.half": "rear.shared",
    }
    assert [edge.name for edge in spec.edges()] == [
        "scans.points->together.points",
        "front.half.image->together.front",
        "rear.half.image->together.rear",
        "together.out->all.in",
        "front.cam.image->front.half.image",
        "rear.cam.image->rear.half.image",
    ]


def test_included_graphs_include_others(rig):
    pair = (
        "version: 1\nincludes: [{graph: camera.yaml, as: left}, {graph: camera.yaml, as: right, set: {cam.config.device: 9}}]\n"
    )
    spec = load(rig("version: 1\nincludes: [{graph: pair.yaml, as: head, set: {left.cam.config.device: 7}}]\n", pair=pair))
    assert list(spec.nodes) == ["head.left.cam", "head.left.half", "head.right.cam", "head.right.half"]
    assert [spec.nodes[f"head.{side}.cam"].config.device for side in ("left", "right")] == [7, 9]
    assert "# head.left.* " in spec.text and spec.text.startswith("version: 1\nincludes:"), "a recording keeps all files"


def test_a_shipped_graph_by_its_name_and_a_folder_beside(rig, tmp_path, monkeypatch):
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped/eye.yaml").write_text(CAMERA)
    monkeypatch.setattr(files, "SHIPPED", tmp_path / "shipped")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/far.yaml").write_text("version: 1\nincludes: [{graph: ../camera.yaml, as: c}]\n")
    spec = load(rig("version: 1\nincludes: [{graph: eye, as: a}, {graph: parts/far.yaml, as: b}, {graph: eye.yaml, as: c}]\n"))
    assert [name for name in spec.nodes if name.endswith("cam")] == ["a.cam", "b.c.cam", "c.cam"]


def test_faults_of_nodes_with_dots(rig):
    spec = with_faults(load(rig()), ["front.cam:drop=0.1", "rear.half.image:delay=5"])
    assert [(i.node, [t.edge for t in i.targets]) for i in spec.faults] == [
        ("front.cam", ["front.cam.image->front.half.image"]),
        ("rear.half", ["rear.half.image->together.rear"]),
    ]
    inside = load(rig(camera=CAMERA.replace("half: {", "half: {inject: ['image:drop'], ")))
    assert [i.node for i in inside.faults] == ["front.half", "rear.half"]
    with pytest.raises(GraphError, match=r"needs a node of the graph \(scans, .*rear.half\), got front.cm"):
        with_faults(load(rig()), ["front.cm.image:drop"])


# ---- messages


CAM_SET = "{{graph: camera.yaml, as: a, set: {{{}: 1}}}}"


def entry(text: str) -> str:
    return f"version: 1\nincludes:\n  - {text}\n"


ONE = "needs a name that no other node or included graph has, got"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version: 1\nincludes: camera.yaml\n", "2: includes: needs a list such as [{graph: one_camera.yaml, as: front}], got"),
        ("version: 1\nincludes:\n", "2: includes: needs a list such as [{graph: one_camera.yaml, as: front}], got none"),
        (entry("camera.yaml"), "3: includes[0]: needs a mapping with graph: and as:, got 'camera.yaml'"),
        (entry("{graph: camera.yaml}"), "3: includes[0].as: needs a name of at most 100 letters"),
        (entry("{graph: camera.yaml, as: a.b}"), "3: includes[0].as: needs a name of at most 100 letters"),
        (entry("{as: front}"), "3: includes[0].graph: needs the path or name of a graph, got none"),
        (entry("{graph: camera.yaml, as: a, sets: {}}"), "3: includes[0].sets: unknown key; did you mean set?"),
        (entry("{graph: camera.yaml, as: a, set: []}"), "3: includes[0].set: needs a mapping such as"),
        (entry("{graph: nothing.yaml, as: a}"), "3: includes[0].graph: nothing.yaml: no such graph file"),
        (entry("{graph: sub/nothing.yaml, as: a}"), "3: includes[0].graph: sub/nothing.yaml: no such graph file"),
        (
            entry("{graph: rig.yaml, as: a}"),
            "3: includes[0].graph: needs a graph that does not include this one, got rig.yaml -> rig",
        ),
        (
            entry(CAM_SET.format("cam.config.devise")),
            "3: includes[0].set: a.cam.config.devise: unknown key; did you mean device?",
        ),
        (entry(CAM_SET.format("came.config.device")), "3: includes[0].set: no node a.came; did you mean cam?"),
        (entry(CAM_SET.format("cam")), "3: includes[0].set: needs NODE.config.KEY=VALUE"),
        (entry(CAM_SET.format("budget.latency_ms")), "3: includes[0].set: no node a.budget"),
        (RIG.replace("as: rear", "as: front"), f"8: includes[1].as: {ONE} front"),
        (RIG.replace("as: rear", "as: scans"), f"8: includes[1].as: {ONE} scans"),
        (
            RIG.replace("front.half.image", "front.hlf.image"),
            "4: together.inputs.front: no node front.hlf; did you mean front.half?",
        ),
        (RIG.replace("front.half.image", "front.half.picture"), "4: together.inputs.front: front.half has no output picture"),
        (RIG.replace("front.half.image", "front.half"), "4: together.inputs.front: no node front"),
    ],
)
def test_what_is_wrong_in_the_outer_file(rig, text, expected):
    assert message(rig(text)).startswith(f"rig.yaml:{expected}")


def test_no_nodes_at_all(rig):
    assert message(rig("version: 1\nincludes: []\n")) == "rig.yaml:1: nodes: needs at least one node, got none"


@pytest.mark.parametrize(
    ("camera", "expected"),
    [
        (
            CAMERA.replace("cam.image}, place", "cam.image}, palce"),
            "camera.yaml:4: front.half.palce: unknown key; did you mean place?",
        ),
        (CAMERA.replace("cam.image", "cm.image"), "camera.yaml:4: front.half.inputs.image: no node front.cm"),
        (
            CAMERA.replace('Camera"', 'Camera", config: {frames: x}'),
            "camera.yaml:3: front.cam.config.frames: needs int, got 'x'",
        ),
        (CAMERA.replace("version: 1", "version: 2"), "camera.yaml:1: version: needs 1, got 2"),
        ("nodes: {}\n", "camera.yaml: needs version: 1 at the top, got none"),
        ("version: 1\nnodes: [\n", "camera.yaml:3: not valid YAML"),
        (CAMERA.replace("half:", "b" * 101 + ":"), f"camera.yaml:4: front.{'b' * 101}: needs a name of at most 100 letters"),
    ],
)
def test_what_is_wrong_in_the_included_file(rig, camera, expected):
    assert message(rig(camera=camera)).splitlines()[0].startswith(expected)


def test_a_circle_of_three(rig):
    a, b = (f"version: 1\nincludes: [{{graph: {name}.yaml, as: {name}}}]\n" for name in ("b", "rig"))
    assert message(rig(entry("{graph: a.yaml, as: a}"), a=a, b=b)).endswith("got rig.yaml -> a.yaml -> b.yaml -> rig.yaml")


def test_files_that_stand_for_too_many(rig):
    many = ", ".join(f"{{graph: LOWER.yaml, as: a{i}}}" for i in range(10))
    levels = {f"l{k}": f"version: 1\nincludes: [{many.replace('LOWER', f'l{k + 1}')}]\n" for k in range(3)}
    path = rig(f"version: 1\nincludes: [{many.replace('LOWER', 'l0')}]\n", **levels, l3="version: 1\nnodes: {}\n")
    assert "needs at most 1000 included graphs in all, got more" in message(path)


def test_set_of_a_node_that_is_not_there(rig):
    path = rig()
    assert message(path, "fornt.cam.config.device=1") == "--set fornt.cam.config.device=1: no node fornt; did you mean front?"
    assert message(path, "front.cm.config.device=1") == "--set front.cm.config.device=1: no node front.cm; did you mean cam?"
    assert message(path, "front.cam.config.devise=1").startswith(
        "--set front.cam.config.devise=1: front.cam.config.devise: unknown"
    )


# ---- drawings


def test_mermaid_has_a_box_for_each(rig):
    lines = draw.mermaid(load(rig())).splitlines()
    assert lines[6:12] == [
        '  subgraph gn3["front"]',
        '    subgraph pn3["front.eye"]',
        '      n3(["front.cam<br/>rig_nodes:Camera"])',
        '      n4["front.half<br/>rig_nodes:Half"]',
        "    end",
        "  end",
    ]
    assert lines[12:14] == ['  subgraph gn5["rear"]', '    subgraph pn5["rear.eye"]']
    assert '  n4 -- "image → front" --> n1' in lines


def test_svg_has_a_frame_around_each_and_nothing_else_in_it(rig):
    pair = "version: 1\nincludes: [{graph: camera.yaml, as: left}, {graph: camera.yaml, as: right}]\n"
    text = RIG.replace("rear.half", "rear.left.half").replace(
        "{graph: camera.yaml, as: rear, set: {cam.config.device: 2}}", "{graph: pair.yaml, as: rear}"
    )
    root = ElementTree.fromstring(draw.svg(load(rig(text, pair=pair))))
    svg = "{http://www.w3.org/2000/svg}"

    def box(rect):
        x, y, width, height = (float(rect.get(key)) for key in ("x", "y", "width", "height"))
        return x, y, x + width, y + height

    nodes = {
        group.findtext(f"{svg}text"): box(group.find(f"{svg}rect"))
        for group in root.iter(f"{svg}g")
        if group.find(f"{svg}rect") is not None
    }
    frames, rects = {}, root.findall(f"{svg}rect[@stroke-dasharray]")
    names = [t.text for t in root.findall(f"{svg}text")]
    assert names == ["front", "rear", "rear.left", "rear.right"]
    for name, rect in zip(names, rects, strict=True):
        frames[name] = box(rect)
        x0, y0, x1, y1 = frames[name]
        for node, (left, top, right, bottom) in nodes.items():
            inside = x0 < left and y0 < top and right < x1 and bottom < y1
            apart = right < x0 or left > x1 or bottom < y0 or top > y1
            assert inside if node.startswith(f"{name}.") else apart, (name, node)
    assert frames["rear"][1] < frames["rear.left"][1] and frames["rear.left"][3] < frames["rear.right"][1] < frames["rear"][3]
    assert frames["rear"][3] < float(root.get("height"))


# ---- runs


def test_a_rig_in_one_process_in_processes_and_from_a_recording(rig, pipe, tmp_path):
    """Folders, edges, logs, digests and recorded ports have the long names; all forms give one digest."""
    path = rig()
    ended = pipe.run(path, "--record", str(tmp_path / "rig.mcap"))
    assert ended.code == 0, ended.stderr
    assert len(ended.ids("all")) == 5
    assert set(ended.report["nodes"]) == {
        "scans",
        "together",
        "all",
        "front.cam",
        "front.half",
        "rear.cam",
        "rear.half",
        "_record",
    }
    assert ended.report["edges"]["front.half.image->together.front"]["delivered"] == 5
    assert (ended.out / "rear.half/half.txt").read_text().splitlines()[4] == "rear.cam 4"
    assert (ended.out / "logs/front.eye.log").exists()
    inline = api.run(path, out=tmp_path / "inline", place="inline")
    again = api.replay(tmp_path / "rig.mcap", path, out=tmp_path / "again", place="inline")
    other = api.run(path, {"rear.cam.config.device": 1}, out=tmp_path / "other", place="inline")
    digests = [made["digest"]["all"] for made in (ended.report, inline.report, again.report, other.report)]
    assert digests[0] == digests[1] == digests[2] != digests[3]
    with pytest.raises(GraphError, match=r"front.cam is played from .*; its config has no effect"):
        api.replay(tmp_path / "rig.mcap", path, ["front.cam.config.device=3"], out=tmp_path / "no", place="inline")


def test_frames_of_a_node_with_a_dot(rig):
    found = list(api.frames(rig(), "front.half.image", frames=2))
    assert [(header.source, image.shape) for header, image in found] == [("front.cam", (4, 6, 3))] * 2


def test_a_frame_that_fails_is_saved_under_the_long_name(rig, pipe, tmp_path):
    path = rig()
    outcome = api.run(path, {"front.half.config.bad": 2, "front.half.on_error": "skip"}, out=tmp_path / "out", place="inline")
    assert outcome.report["nodes"]["front.half"]["errors"] == 1
    (saved,) = (tmp_path / "out/poison").glob("*.npz")
    assert saved.name.startswith("front.half-front.cam-2")
    again = pipe.refused("run", str(path), "--only", "front.half", "--frame", str(saved), "--set", "front.half.config.bad=2")
    assert again.code == 1 and "a bad picture" in again.stderr


def test_drops_name_the_long_edge(rig, tmp_path):
    api.run(rig(), out=tmp_path / "out", place="inline", inject=["front.cam:drop=1@2-3"])
    drops = [json.loads(line) for line in (tmp_path / "out/logs/drops.jsonl").read_text().splitlines()]
    assert ("front.cam.image->front.half.image", "front.cam:2") in {(drop["edge"], drop["frame"]) for drop in drops}
