"""Names in graphs -> classes, without a registry."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

from pipeline.errors import GraphError
from pipeline.graph import lookup, project
from pipeline.operator import Operator, Source

OP = "from pipeline.operator import Operator\n"
FILES = {
    "operators/__init__.py": "",
    "operators/lidar/__init__.py": "",
    "operators/lidar/thin.py": OP + "class Thin(Operator):\n    def process(self, points): ...\n",
    "operators/lidar/crop.py": (
        "from pipeline.operator import operator\nfrom pipeline.schema import ANY\nfrom operators.lidar.thin import Thin\n"
        "@operator(inputs={'points': ANY})\ndef crop(points, max_m=4.0): ...\n"
    ),
    "operators/lidar/kernels.py": "class Table:\n    def process(self): ...\ndef helper(): ...\n",
    "operators/lidar/needs.py": "import no_such_package.part\n" + OP + "class Needs(Operator): ...\n",
    "operators/lidar/broken.py": OP + "class Broken(Operator):\n    def process(self\n",
    "operators/lidar/raises.py": OP + "class Raises(Operator): ...\nraise RuntimeError('no GPU\\nhere')\n",
    "operators/lidar/two.py": OP + "class One(Operator): ...\nclass Two(Operator): ...\n",
    "operators/lidar/hidden.py": OP + "class _Base(Operator): ...\nclass Seen(_Base):\n    def process(self): ...\n",
    "operators/render/__init__.py": "",
    "operators/render/render.py": OP + "class Render(Operator): ...\n",
    "drivers/__init__.py": "",
    "drivers/camera/__init__.py": "",
    "drivers/camera/reader.py": "from pipeline.operator import Source\nclass Camera(Source): ...\n",
    "mine.py": OP + "from pipeline.operator import Source\nclass Mine(Operator): ...\nclass Sensor(Source): ...\nnumber = 3\n",
}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A made-up set of operators and drivers instead of the shipped ones, and an entry point."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def ours(name: str) -> bool:
        return name.partition(".")[0] in ("operators", "drivers", "mine")

    shipped = {name: sys.modules.pop(name) for name in list(sys.modules) if ours(name)}
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(project, "SHIPPED", tmp_path)
    monkeypatch.setattr(project, "_current", None)
    entry = EntryPoint("ext.mine", "mine:Mine", "pipe.operators")
    monkeypatch.setattr(lookup, "_entries", lambda group: (entry,) if group == entry.group else ())
    lookup.shipped_nodes.cache_clear()
    yield
    lookup.shipped_nodes.cache_clear()
    for name in [name for name in sys.modules if ours(name)]:
        del sys.modules[name]
    sys.modules.update(shipped)


TEST_OPS = ["test.fault", "test.full_disk", "test.noop", "test.null", "test.pass", "test.sum"]
TEST_DRIVERS = ["test.blob", "test.counter", "test.fault_source", "test.jitter"]


def test_available_without_importing(installed):
    ours = [
        "ext.mine",
        "lidar.broken",
        "lidar.crop",
        "lidar.hidden",
        "lidar.needs",
        "lidar.raises",
        "lidar.thin",
        "lidar.two",
        "render",
    ]
    assert lookup.available_operators() == ours + TEST_OPS
    assert lookup.available_drivers() == ["camera", *TEST_DRIVERS]
    assert not any(name.startswith("operators.lidar.") for name in sys.modules)


@pytest.mark.parametrize(
    ("name", "ref"),
    [
        ("lidar.thin", "operators.lidar.thin:Thin"),
        ("lidar.crop", "operators.lidar.crop:crop"),  # Thin is only imported there
        ("lidar.hidden", "operators.lidar.hidden:Seen"),
        ("render", "operators.render.render:Render"),
        ("test.null", "pipeline.nodes.null:Null"),
        ("test.pass", "pipeline.nodes.pass_:Pass"),
        ("mine:Mine", "mine:Mine"),
        ("ext.mine", "mine:Mine"),
        ("operators.lidar.two:Two", "operators.lidar.two:Two"),
    ],
)
def test_operator(installed, name, ref):
    cls = lookup.operator_class(name)
    assert issubclass(cls, Operator)
    assert lookup.class_ref(cls) == ref
    assert lookup.class_by_ref(ref) is cls
    assert lookup.node_class(name) is cls


@pytest.mark.parametrize(
    ("name", "ref"),
    [
        ("camera", "drivers.camera.reader:Camera"),
        ("test.counter", "pipeline.nodes.counter:Counter"),
        ("mine:Sensor", "mine:Sensor"),
    ],
)
def test_driver(installed, name, ref):
    cls = lookup.driver_class(name)
    assert issubclass(cls, Source)
    assert lookup.class_ref(cls) == ref
    assert lookup.node_class(name) is cls


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lidar.thni", "unknown op lidar.thni; did you mean lidar.thin?"),
        ("test.nul", "unknown op test.nul; did you mean test.null?"),
        ("operators.lidar.thin", "unknown op operators.lidar.thin; names are without operators.: lidar.thin?"),
        ("camera", "camera is a driver; write driver: camera"),
        ("lidar.kernels", "unknown op lidar.kernels; did you mean lidar.needs?"),
        ("../evil", "needs a name such as lidar.voxelize or mypkg.module:Class, got '../evil'"),
        (
            "lidar.needs",
            "lidar.needs: cannot import operators.lidar.needs: needs the package no_such_package, which is not installed; "
            "pip install no_such_package",
        ),
        ("lidar.broken", "lidar.broken: cannot import operators.lidar.broken: SyntaxError: '(' was never closed (line 3)"),
        ("lidar.raises", "lidar.raises: cannot import operators.lidar.raises: RuntimeError: no GPU here"),
        ("lidar.two", "lidar.two: operators.lidar.two defines One, Two; say which one: operators.lidar.two:One"),
        ("nowhere:Thing", "nowhere:Thing: there is no module nowhere; is it installed, or in the folder you are in?"),
        ("mine:Thing", "mine:Thing: module mine has no class Thing"),
        ("mine:number", "mine:number: module mine has no class number"),
        (
            "mine:Sensor",
            "mine:Sensor: needs an operator (a subclass of pipeline.operator.Operator), got Sensor; write driver: mine:Sensor",
        ),
    ],
)
def test_operator_messages(installed, name, message):
    with pytest.raises(GraphError) as error:
        lookup.operator_class(name)
    assert str(error.value) == message


def test_node_messages(installed):
    for name, message in (
        ("lidar.thni", "no operator or driver lidar.thni; did you mean lidar.thin?"),
        ("pathlib:Path", "pathlib:Path: needs an operator or a source (see pipeline/operator.py), got Path"),
    ):
        with pytest.raises(GraphError) as error:
            lookup.node_class(name)
        assert str(error.value) == message


def test_a_module_in_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("from pipeline.operator import Operator\nclass Here(Operator): ...\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    assert lookup.operator_class("only_here:Here").__name__ == "Here"
    sys.modules.pop("only_here")


def test_every_shipped_name_is_found_again():
    names = lookup.available_operators() + lookup.available_drivers()
    assert len(names) == len(set(names))
    assert {"lidar.voxelize", "track.tracker", "kitti.tracking", "synthetic.traffic", *TEST_OPS, *TEST_DRIVERS} <= set(names)
    for name in names:
        assert issubclass(lookup.node_class(name), (Operator, Source))
