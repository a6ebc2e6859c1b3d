"""YAML text -> dataclass, as graph files use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgpack
import pytest

from pipeline import settings
from pipeline.errors import GraphError
from pipeline.graph import yamlfile


@dataclass(frozen=True)
class Inner:
    weight: float = 1.0
    name: str = "x"

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise ValueError(f"weight must not be negative, got {self.weight:g}")


@dataclass(frozen=True)
class Config:
    count: int = 1
    ratio: float = 0.5
    on: bool = False
    label: str = ""
    mode: Literal["fast", "slow", 3] = "fast"
    limit: int | None = None
    either: int | str = 0
    cell: tuple[float, float] = (1.0, 1.0)
    many: tuple[str, ...] = ()
    items: list[int] = field(default_factory=list)
    any_sequence: Sequence[int] = ()
    inner: Inner = field(default_factory=Inner)
    maybe_inner: Inner | None = None
    named: dict[str, Inner] = field(default_factory=dict)
    table: dict[str, float] = field(default_factory=dict)
    inners: tuple[Inner, ...] = ()
    folder: Path = Path()
    anything: Any = None
    lying: float = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Required:
    root: str


def built(text: str, cls: type = Config) -> Any:
    data, marks = yamlfile.read(text, "g.yaml")
    return settings.build(cls, data, settings.Where("g.yaml", marks))


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("", "count", 1),
        ("count: 7", "count", 7),
        ("count: 1e3", "count", 1000),
        ("count: 0x10", "count", 16),
        ("ratio: 2", "ratio", 2.0),
        ("ratio: 1e-3", "ratio", 0.001),
        ("ratio: '1e-3'", "ratio", 0.001),
        ("ratio: .5", "ratio", 0.5),
        ("on: true", "on", True),
        ("label: 12", "label", "12"),
        ("label: 0012", "label", "0012"),
        ("label: 2011_09_26", "label", "2011_09_26"),
        ("label: 12:30:45", "label", "12:30:45"),
        ("label: no", "label", "no"),
        ("count: 0012", "count", 12),
        ("mode: slow", "mode", "slow"),
        ("mode: 3", "mode", 3),
        ("limit: null", "limit", None),
        ("limit: 4", "limit", 4),
        ("either: 4", "either", 4),
        ("either: '4'", "either", "4"),
        ("cell: [1, 2.5]", "cell", (1.0, 2.5)),
        ("many: []", "many", ()),
        ("many: [0001, 10, a]", "many", ("0001", "10", "a")),
        ("many: all", "many", ("all",)),
        ("items: [1, 2]", "items", [1, 2]),
        ("any_sequence: [1]", "any_sequence", (1,)),
        ("inner: {weight: 3}", "inner", Inner(3.0)),
        ("inner:", "inner", Inner()),
        ("maybe_inner: {name: y}", "maybe_inner", Inner(name="y")),
        ("named: {a: {weight: 2}, b: {}}", "named", {"a": Inner(2.0), "b": Inner()}),
        ("table: {a: 1}", "table", {"a": 1.0}),
        ("inners: [{weight: 2}]", "inners", (Inner(2.0),)),
        ("folder: ../data", "folder", Path("../data")),
        ("anything: [1, {a: b}]", "anything", [1, {"a": "b"}]),
        ("lying: null", "lying", None),
        ("lying: 2", "lying", 2.0),
    ],
)
def test_value(text, key, expected):
    value = getattr(built(text), key)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("coutn: 1", "g.yaml:1: coutn: unknown key; did you mean count?"),
        (
            "count: 1\nzzz: 1",
            (
                "g.yaml:2: zzz: unknown key; known: any_sequence, anything, cell, count, either, folder, inner, "
                "inners, items, label, "
                "limit, lying, many, maybe_inner, mode, named, on, ratio, table"
            ),
        ),
        ("inner:\n  wieght: 1", "g.yaml:2: inner.wieght: unknown key; did you mean weight?"),
        ("maybe_inner:\n  wieght: 1", "g.yaml:2: maybe_inner.wieght: unknown key; did you mean weight?"),
        ("named:\n  a: {}\n  b: {nam: 1}", "g.yaml:3: named.b.nam: unknown key; did you mean name?"),
        ("inners:\n- {}\n- {nam: 1}", "g.yaml:3: inners[1].nam: unknown key; did you mean name?"),
        ("count: two", "g.yaml:1: count: needs int, got 'two'"),
        ("count: 1.5", "g.yaml:1: count: needs int, got 1.5"),
        ("count: true", "g.yaml:1: count: needs int, got true"),
        ("count:", "g.yaml:1: count: needs int, got none"),
        ("ratio: nan", "g.yaml:1: ratio: needs float, got 'nan'"),
        ("on: yes", "g.yaml:1: on: needs bool, got 'yes'"),
        ("on: 1", "g.yaml:1: on: needs bool, got 1"),
        ("label: 1.10", "g.yaml:1: label: needs text, got 1.1; put it in quotes"),
        ("label: [a]", "g.yaml:1: label: needs text, got ['a']"),
        ("mode: slwo", "g.yaml:1: mode: needs fast | slow | 3, got 'slwo'; did you mean slow?"),
        ("mode: 4", "g.yaml:1: mode: needs fast | slow | 3, got 4"),
        ("limit: x", "g.yaml:1: limit: needs int or none, got 'x'"),
        ("either: [1]", "g.yaml:1: either: needs int or text, got [1]"),
        ("cell: [1]", "g.yaml:1: cell: needs [float, float], got [1]"),
        ("cell:\n- 1\n- b", "g.yaml:3: cell[1]: needs float, got 'b'"),
        ("cell: 1", "g.yaml:1: cell: needs [float, float], got 1"),
        ("many: {a: 1}", "g.yaml:1: many: needs a list of text, got a mapping"),
        ("table: 3", "g.yaml:1: table: needs a mapping, got 3"),
        ("table: {a: b}", "g.yaml:1: table.a: needs float, got 'b'"),
        ("inner: 3", "g.yaml:1: inner: needs a mapping, got 3"),
        ("inner:\n  name: z\n  weight: -1", "g.yaml:3: inner.weight: must not be negative, got -1"),
        ("count: x\nratio: y", "g.yaml:1: count: needs int, got 'x'\ng.yaml:2: ratio: needs float, got 'y'"),
        ("- 1", "g.yaml:1: needs a mapping, got [1]"),
    ],
)
def test_message(text, message):
    with pytest.raises(GraphError) as error:
        built(text)
    assert str(error.value) == message


def test_required_key():
    assert built("root: /data", Required) == Required("/data")
    with pytest.raises(GraphError) as error:
        built("", Required)
    assert str(error.value) == "g.yaml: root: needs a value (text), got none"


def test_config_must_be_a_dataclass():
    with pytest.raises(GraphError) as error:
        settings.build(int, {}, settings.Where("g.yaml"))
    assert str(error.value) == "builtins.int: Config needs to be a dataclass, got <class 'int'>"


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (int, "int"),
        (str, "text"),
        (float | None, "float or none"),
        (tuple[float, float], "[float, float]"),
        (tuple[str, ...], "a list of text"),
        (list, "a list"),
        (dict[str, int], "a mapping"),
        (Inner, "a mapping"),
        (Literal["a", "b"], "a | b"),
        (Any, "anything"),
    ],
)
def test_describe(hint, text):
    assert settings.describe(hint) == text


# ---- the YAML underneath


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "g.yaml:1: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: 1\nb: c: d", "g.yaml:2: not valid YAML: mapping values are not allowed here"),
        ("a: 1\nb: 2\na: 3", "g.yaml:3: a: given twice, first on line 1"),
        ("? [1]\n: 2", "g.yaml:1: needs a name as key, got a sequence"),
        ("a: !!python/object:os.system x", "g.yaml:1: a: needs a plain value, got the tag !!python/object:os.system"),
        ("a: !secret x", "g.yaml:1: a: needs a plain value, got the tag !secret"),
        (
            "a: ${PIPE_TEST_UNSET}",
            (
                "g.yaml:1: a: needs the environment variable PIPE_TEST_UNSET, which is not set; export it or write "
                "${PIPE_TEST_UNSET:-default}"
            ),
        ),
    ],
)
def test_yaml_message(text, message):
    with pytest.raises(GraphError) as error:
        yamlfile.read(text, "g.yaml")
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: ${PIPE_TEST}", "v: #[x"),  # any content stays one value
        ("a: {b: ${PIPE_TEST}}", {"b": "v: #[x"}),
        ("a: pre/${PIPE_TEST_NO:-d}/${PIPE_TEST_NUMBER}", "pre/d/5"),
        ("a: ${PIPE_TEST_NUMBER}", 5),
        ("a: '${PIPE_TEST_NUMBER}'", "5"),
        ("a: ${PIPE_TEST_NO:-}", None),
        ("a: ${PIPE_TEST_EMPTY:-d}", "d"),
        ("a: ${PIPE_TEST_LIST}", [1, "x"]),
        ("a: 1 # ${PIPE_TEST_UNSET}", 1),
        ("a: $HOME", "$HOME"),
    ],
)
def test_variables(monkeypatch, text, expected):
    for name, value in {"": "v: #[x", "_NUMBER": "5", "_EMPTY": "", "_LIST": "[1, x]"}.items():
        monkeypatch.setenv(f"PIPE_TEST{name}", value)
    assert yamlfile.read(text, "g.yaml")[0] == {"a": expected}


def test_lines():
    _, marks = yamlfile.read("a:\n  b: 1\n  c:\n  - x\n  - y: 2\n", "g.yaml")
    assert marks[("a", "b")] == 2
    assert marks[("a", "c")] == 3
    assert marks[("a", "c", 1)] == 5
    assert marks[("a", "c", 1, "y")] == 5


@dataclass(frozen=True)
class Folders:
    folder: Path = Path("a")
    names: frozenset[str] = frozenset({"y", "x"})


@dataclass(frozen=True)
class Recording:
    inner: Folders = field(default_factory=Folders)
    size: tuple[int, int] = (1, 2)
    table: dict[str, Folders] = field(default_factory=dict)


def test_plain_travels_and_builds_the_same_again():
    config = Recording(Folders(Path("/data/b"), frozenset({"q"})), (3, 4), {"k": Folders()})
    told = settings.plain(config)
    assert told == {
        "inner": {"folder": "/data/b", "names": ["q"]},
        "size": [3, 4],
        "table": {"k": {"folder": "a", "names": ["x", "y"]}},
    }
    assert settings.build(Recording, msgpack.unpackb(msgpack.packb(told)), settings.Where("g.yaml")) == config
