"""Whatever a node raises, wherever: the same line and the same exit code in every placement; nothing ends silently."""

import pytest
from life_nodes import TEXTS
from pipe_runs import check_balance

from pipeline.errors import MAX_LINES, MAX_TEXT, FrameError, explain, printable

GRAPH = """
  src: {driver: test.counter, config: {frames: 5}}
  op:  {op: "life_nodes:Quits", inputs: {data: src.out}, config: {where: WHERE, how: HOW}, on_error: POLICY}
  snk: {op: test.null, inputs: {in: op.out}, config: {write: true}}
"""
READING = """
  src: {driver: "life_nodes:QuitsReading", config: {how: HOW}, on_error: POLICY}
  snk: {op: test.null, inputs: {in: src.out}, config: {write: true}}
"""
WAYS = {"processes": [], "group": ["--set", "src.place=g", "--set", "snk.place=g"], "inline": ["--place", "inline"]}
SAID = {
    "exit0": "SystemExit: 0",
    "exit3": "SystemExit: 3",
    "generator": "GeneratorExit",
    "own": "_Own: (its text raises RuntimeError)",
}


def run(pipe, text, way, where="process", how="exit0", policy="stop"):
    graph = pipe.graph(text.replace("WHERE", where).replace("HOW", how).replace("POLICY", policy))
    ended = pipe.run(graph, *WAYS[way])
    check_balance(ended)
    return ended


def line(ended) -> str:
    """The one line that the user sees."""
    (said,) = ended.stderr.splitlines()
    return said


@pytest.mark.quick(3)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", SAID)
def test_process(pipe, way, how):
    ended = run(pipe, GRAPH, way, how=how)
    assert (ended.code, ended.report["exit"]) == (1, "failed")
    assert line(ended) == f"error: op: frame src:2 (000002): {SAID[how]}"


@pytest.mark.quick(2)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("where", ["open", "close"])
def test_open_and_close(pipe, way, where):
    ended = run(pipe, GRAPH, way, where)
    assert (ended.code, ended.report["exit"]) == (1, "failed")
    assert line(ended) == f"error: op: {where}: SystemExit: 0"


@pytest.mark.quick(1)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", ["exit0", "own"])
def test_read(pipe, way, how):
    ended = run(pipe, READING, way, how=how)
    assert (ended.code, ended.report["exit"]) == (1, "failed")
    assert line(ended) == f"error: src: reading 2: {SAID[how]}"


@pytest.mark.quick(1)
@pytest.mark.parametrize("way", WAYS)
def test_skipped(pipe, way):
    """It costs its frame, or its reading, and nothing else."""
    ended = run(pipe, GRAPH, way, policy="skip")
    assert (ended.code, ended.ids("snk")) == (0, [0, 1, 3, 4]), ended.stderr
    ended = run(pipe, READING, way, policy="skip")
    assert (ended.code, ended.ids("snk")) == (0, [0, 1, 3, 4]), ended.stderr


@pytest.mark.quick(2)
@pytest.mark.parametrize("how", TEXTS)
@pytest.mark.parametrize("text", [GRAPH, READING], ids=["process", "read"])
def test_any_text_arrives_escaped_and_bounded(pipe, text, how):
    ended = run(pipe, text, "processes", how=how)
    assert ended.code == 1
    said = line(ended)
    assert said.isprintable() and len(said) < MAX_TEXT + 200
    assert said.endswith(f": ValueError: {printable(TEXTS[how], MAX_TEXT)}")
    log = ended.log("op" if text is GRAPH else "src")
    assert len(log) < 1 << 18 and all(c.isprintable() or c == "\n" for c in log)


@pytest.mark.quick(1)
@pytest.mark.parametrize("how", TEXTS)
def test_any_text_skipped_inline(pipe, how):
    ended = run(pipe, GRAPH, "inline", how=how, policy="skip")
    assert (ended.code, ended.ids("snk")) == (0, [0, 1, 3, 4])
    assert line(ended) == printable(f"op: frame src:2 (000002): ValueError: {printable(TEXTS[how], MAX_TEXT)}")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("plain äöü 文字", "plain äöü 文字"),
        (TEXTS["surrogate"], "name \\udcff.bin"),
        (TEXTS["control"], "nul \\x00 bell \\x07 red \\x1b[31m end"),
        (TEXTS["lines"], "first\\nsecond\\r\\nthird\\u2028fourth\\u202efifth"),
        ("y" * 2001, "y" * 2000 + "... (2001 characters)"),
    ],
)
def test_printable(text, shown):
    assert printable(text, 2000) == shown


def test_explain():
    assert explain(KeyError("a")) == "KeyError: 'a'"
    assert explain(ValueError()) == "ValueError"
    assert explain(FrameError("a: \x1b\nb: c")) == "a: \\x1b\nb: c", "complete lines stay lines"
    assert explain(FrameError("a\n" * 100)).count("\n") == MAX_LINES - 1
