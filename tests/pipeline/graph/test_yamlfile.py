"""Graph files as text: what YAML lets a few lines stand for, and any bytes. The outcome is plain data or one line."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import GraphError
from pipeline.graph import yamlfile
from pipeline.graph.files import SHIPPED
from pipeline.graph.load import load

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))


def refusal(text: str) -> str:
    with pytest.raises(GraphError) as error:
        yamlfile.read(text, "g.yaml")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "needle"),
    [
        pytest.param(BOMB, "needs at most 100000 values", id="aliases of aliases"),
        pytest.param("a: &a [*a]", "needs at most 50 levels", id="an alias of itself"),
        pytest.param("a: &a {b: *a}", "needs at most 50 levels", id="a mapping that holds itself"),
        pytest.param("a: " + "[" * 5000, "g.yaml:1: not valid YAML: needs at most 50 levels", id="brackets"),
        pytest.param("a:\n" + "".join(" " * i + "b:\n" for i in range(1, 300)), "needs at most 50 levels", id="indents"),
        pytest.param("a: " + "- " * 60 + "x", "not valid YAML", id="dashes"),
        pytest.param("- " * 60 + "x", "needs at most 50 levels", id="lists in lists"),
        pytest.param("? " * 300 + "x", "needs at most 50 levels", id="keys of keys"),
        pytest.param("a: !!int abc", "g.yaml:1: a: needs a plain value, got the tag !!int", id="int that is none"),
        pytest.param("a: !!float x", "got the tag !!float", id="float that is none"),
        pytest.param("a: !!timestamp 2011-99-99", "got the tag !!timestamp", id="a day that does not exist"),
        pytest.param("a: !!binary '?'", "got the tag !!binary", id="binary"),
        pytest.param("a: !!set {x, y}", "got the tag !!set", id="set"),
        pytest.param("a: !!python/object/apply:os.system [ls]", "got the tag !!python/object/apply:os.system", id="python"),
        pytest.param("a: !mine x", "got the tag !mine", id="own tag"),
        pytest.param("a: " + "9" * 5000, "needs a number of at most 400 digits, got 5000", id="digits"),
        pytest.param("a: 0x" + "f" * 5000, "needs a number of at most 400 digits", id="hex digits"),
        pytest.param("a: 1\nb: \0", "g.yaml:2: not valid YAML: the character U+0000 is not allowed", id="NUL"),
        pytest.param("a: \ud800", "the character U+D800 is not allowed", id="lone surrogate"),
        pytest.param("a: 1\n\nb: \ue0005\ue001", "g.yaml:3: not valid YAML: the character U+E000", id="our own mark"),
        pytest.param("a: 1\n" + "#" * (1 << 20), "needs at most 1048576 characters", id="a megabyte"),
        pytest.param("a: 1\n---\nb: 2", "not valid YAML", id="two documents"),
        pytest.param("{a: 1", "not valid YAML", id="open bracket"),
        pytest.param("%YAML 7.0\n---\na: 1", "not valid YAML", id="YAML 7"),
    ],
)
def test_refused(text, needle):
    began = time.monotonic()
    assert needle in refusal(text)
    assert time.monotonic() - began < 10  # all of them grow without a limit, or took minutes


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", None),
        ("a: !!str 0010", {"a": "0010"}),
        ("a: !!int 7", {"a": 7}),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("\ufeffa: 1", {"a": 1}),
        ("a: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
        ("a: " + "[" * 40 + "]" * 40, None),
    ],
)
def test_read(text, data):
    found, _ = yamlfile.read(text, "g.yaml")
    assert data is None or found == data


def test_a_variable_that_expands_to_brackets_has_the_same_limits(monkeypatch):
    monkeypatch.setenv("DEEP", "[" * 100 + "]" * 100)
    assert "levels" in refusal("a: ${DEEP}")


NUMBERS = [
    ("nodes.a.threads=9e99", "a.threads: needs int, got 9e+99"),
    ("nodes.a.threads=100000", "threads: needs at most 1024, got 100000"),
    ("nodes.a.cpus=[1180591620717411303424]", "cpus[0]: needs int"),
    ("nodes.a.hang_s=.inf", "hang_s: needs at most 1e+09, got inf"),
    ("nodes.a.queue.in.size=99999999999", "size: needs at most 1e+09"),
    ("nodes.a.queue.in.max_age_ms=1e300", "max_age_ms: needs at most 1e+09"),
    ("nodes.a.pool.out.max_mb=.inf", "max_mb: needs at most 1e+09, got inf"),
    ("nodes.a.rate_hz=1e200", "rate_hz: needs at most 1e+09"),
    ("nodes.a.restart.backoff_s=.inf", "backoff_s: needs at most 1e+09"),
    ("nodes.a.sync.offset_ms.in=-.inf", "offset_ms.in: needs at most 1e+09"),
    ("nodes.a.nice=-9223372036854775809", "nice: needs int"),
]


@pytest.mark.parametrize(("change", "needle"), NUMBERS, ids=[c for c, _ in NUMBERS])
def test_numbers_beyond_64_bits(tmp_path, change, needle):
    keys, _, value = change.removeprefix("nodes.a.").partition("=")
    for key in reversed(keys.split(".")):
        value = f"{{{key}: {value}}}"
    driver = "{driver: test.counter}" if keys.startswith(("live",)) else "{op: test.pass, inputs: {in: s.out}}"
    path = tmp_path / "g.yaml"
    path.write_text(f"version: 1\nnodes:\n  s: {{driver: test.counter}}\n  a: {driver[:-1]}, {value[1:-1]}}}\n")
    with pytest.raises(GraphError) as error:
        load(path)
    assert needle in str(error.value)


def outcome(raw: bytes, path) -> str | None:
    """The message about a graph file of these bytes; None if it is a graph."""
    path.write_bytes(raw)
    try:
        load(path)
    except GraphError as error:
        return str(error)
    return None


PIECES = [*b"\x00|\xff\xfe|&a |*a|!!int |[[[[|{|${|}|: |\n  |.inf|\r|\xed\xa0\x80".split(b"|"), b"9" * 500]


def damaged(seed: int) -> bytes:
    """A shipped graph with some bytes changed, removed, doubled or put in."""
    rng = random.Random(seed)
    raw = bytearray(rng.choice(sorted(SHIPPED.glob("*.yaml"))).read_bytes())
    pieces = [
        b"\0",
        b"\xff\xfe",
        b"&a ",
        b"*a",
        b"!!int ",
        b"[[[[",
        b"{",
        b"${",
        b"}",
        b": ",
        b"\n  ",
        b"9" * 500,
        b".inf",
        b"\r",
        b"\xed\xa0\x80",
    ]
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(raw))
        to = min(len(raw), at + rng.randrange(40))
        raw[at : at + rng.choice([0, 0, 1, to - at])] = rng.choice(
            [rng.randbytes(rng.randrange(3)), rng.choice(pieces), raw[at:to]]
        )
    return bytes(raw)


@pytest.mark.parametrize("first", [0, 100])
def test_damaged_graphs(tmp_path, first):
    messages = [outcome(damaged(first + i), tmp_path / "g.yaml") for i in range(100)]
    assert sum(m is not None for m in messages) > 40
    assert all("Error" not in m for m in messages if m), "the type of an exception is no message"


@pytest.mark.fuzz
def test_damaged_graphs_long(tmp_path):
    for i in range(20_000):
        outcome(damaged(1_000_000 + i), tmp_path / "g.yaml")


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=60), st.text(alphabet="ab:{}[],&*!|>-?'\"#%@ \n\t0159.eExX~${}_", max_size=60)))
def test_any_text(text):
    try:
        yamlfile.read(text, "g.yaml")
    except GraphError as error:
        message = str(error)
    else:
        return
    assert message.startswith("g.yaml") and "\n" not in message


@settings(max_examples=60, deadline=None)
@given(raw=st.binary(max_size=80))
def test_any_bytes(tmp_path_factory, raw):
    assert outcome(raw, tmp_path_factory.mktemp("bytes", numbered=True) / "g.yaml")
