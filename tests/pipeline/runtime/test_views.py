"""Any object derived from a view keeps its frame; after its release the slot comes back. A node that keeps too many is named."""

import json

import pytest

KEEP = """
  src:  {driver: test.blob, config: {bytes: 1024, frames: 80}%s}
  keep: {op: "pipe_nodes:Keep", inputs: {data: src.out}, config: {kind: KIND}%s}
"""
HOARD = """
  src:   {driver: test.blob, config: {bytes: 1024, frames: 80}}
  hoard: {op: "pipe_nodes:Hoard", inputs: {data: src.out}}
"""
PLACES = {"process": ("", []), "group": (", place: g", []), "inline": ("", ["--place", "inline"])}


def notes(ended, node):
    return [json.loads(line) for line in (ended.out / node / "notes.jsonl").read_text().splitlines()]


@pytest.mark.quick(4)
@pytest.mark.parametrize("kind", ["array", "slice", "reshape", "item_view", "memoryview", "exception", "cycle"])
@pytest.mark.parametrize("placement", ["process", "inline"])
def test_kept_views_stay_right_and_come_back(pipe, kind, placement):
    """80 frames through 9 slots, three of them kept at any time: kept frames never change, and every slot comes back."""
    place, args = PLACES[placement]
    ended = pipe.run(pipe.graph(KEEP.replace("KIND", kind).replace("%s", place)), *args)
    assert ended.code == 0, ended.stderr
    rows = notes(ended, "keep")
    assert [(r["frame"], r["wrong"]) for r in rows] == [(i, 0) for i in range(80)]
    assert rows[-1]["kept"] == 3
    assert ended.report["edges"]["src.out->keep.data"]["dropped"] == {}


@pytest.mark.quick(2)
@pytest.mark.parametrize("placement", PLACES)
def test_a_hoarder_is_named(pipe, placement):
    place, args = PLACES[placement]
    ended = pipe.run(pipe.graph(HOARD.replace("}}\n", "}" + place + "}\n")), *args)
    assert ended.code == 1
    assert ended.stderr == (
        "error: g1: hoard keeps views of 5 frames of src.out, 0 declared; "
        "set holds = {'data': 5} in its class or copy what it keeps\n"
    )
    assert ended.report["edges"]["src.out->hoard.data"]["delivered"] == 5


LIVE_HOARD = """
  src:   {driver: test.blob, config: {bytes: 1024, frames: 40, rate_hz: 20}, live: true%s}
  hoard: {op: "pipe_nodes:Hoard", inputs: {data: src.out}%s}
  snk:   {op: test.null, inputs: {in: src.out}, config: {write: true}%s}
"""


@pytest.mark.quick(2)
@pytest.mark.parametrize("placement", PLACES)
def test_a_live_hoarder_starves_itself_only(pipe, placement):
    """Live, frames without room are dropped by name and the other readers get theirs; the summary names the hoarder."""
    place, args = PLACES[placement]
    ended = pipe.run(pipe.graph(LIVE_HOARD.replace("%s", place)), *args)
    assert ended.code == 1
    assert ended.stderr == (
        "error: g1: hoard keeps views of 1 frames of src.out, 0 declared; "
        "set holds = {'data': 1} in its class or copy what it keeps\n"
    )
    starved = ended.report["edges"]["src.out->hoard.data"]
    assert (starved["delivered"], starved["dropped"]) == (1, {"queue_full": 38, "shutdown": 1})
    assert len(ended.ids("snk")) >= 30


@pytest.mark.slow
def test_a_paced_hoarder_is_named_too(pipe):
    ended = pipe.run(pipe.graph(HOARD.replace("frames: 80", "frames: 80, rate_hz: 100")), "--rate", "1.0")
    assert ended.code == 1
    assert ended.stderr == (
        "error: g1: hoard keeps views of 5 frames of src.out, 0 declared; "
        "set holds = {'data': 5} in its class or copy what it keeps\n"
    )


def test_an_exception_does_not_keep_its_frame(pipe):
    """Its traceback would: more frames raise than there are slots, and the graph still runs."""
    ended = pipe.run(
        pipe.graph("""
  src: {driver: test.counter, config: {frames: 60}}
  op:  {op: test.fault, inputs: {data: src.out}, config: {kind: raise}, on_error: skip}
  snk: {op: test.null, inputs: {in: op.out}}
""")
    )
    assert ended.report["nodes"]["op"]["errors"] == 60
    assert ended.report["edges"]["src.out->op.data"]["dropped"] == {"error": 60}
    assert ended.code == 0, ended.stderr
