"""`pipe set` without processes: what the supervisor answers, sends and keeps. In processes: cli/test_set.py."""

from dataclasses import dataclass, replace

import pytest

from pipeline.errors import GraphError
from pipeline.graph.load import parse
from pipeline.graph.plan import Plan
from pipeline.nodes.counts import COUNT
from pipeline.operator import Operator
from pipeline.options import RunOptions
from pipeline.runtime.live_config import MOST_WAITING, LiveConfig, changed, said
from pipeline.runtime.messages import Configured
from pipeline.runtime.process_plan import process_plan

GRAPH = """version: 1
nodes:
  src:  {driver: test.counter, config: {frames: 3}}
  gain: {op: "tune_nodes:Gain", inputs: {data: src.out}, config: {gain: 2}}
"""


class Told:
    """A LiveConfig whose messages to the process are kept."""

    def __init__(self):
        self.graph, self.sent, self.rows, self.done = parse(GRAPH, "g.yaml"), [], [], set()
        self.live = LiveConfig(self.graph, lambda name, message: self.sent.append((name, message)), self.done, self.rows)

    def set(self, key, value, node="gain"):
        return self.live.set({"node": node, "key": key, "value": value})

    def confirm(self, frame_id=7, error=None, number=None):
        message = self.sent[-1][1]
        return self.live.confirmed(Configured("gain", number or message.number, "src", frame_id, error))

    def plan(self):
        plan = Plan(self.graph, RunOptions(None), "run")
        epochs = {e.id: (0, 0) for e in plan.edges}
        made = process_plan(plan, ["gain"], 1, 3, list(range(20)), dict.fromkeys(self.graph.nodes, (1, 2)), epochs, {})
        return self.live.in_place(made).nodes[0]


@pytest.fixture
def told():
    return Told()


def test_nothing_is_set(told):
    assert (told.plan().config["gain"], told.plan().configuring, told.rows, told.sent) == (2, 0, [], [])


def test_a_value_is_sent_waits_and_holds_from_a_frame(told):
    answer = told.set("gain", 5)
    assert answer == {"number": 1, "waits": "gain.gain: waits for the next frame of gain"}
    ((name, message),) = told.sent
    assert (name, message.node, message.number, message.config["gain"]) == ("gain", "gain", 1, 5)
    assert (told.plan().config["gain"], told.plan().configuring) == (5, 1), "a successor confirms it"
    assert told.confirm(frame_id=12) == "gain.gain: 2 -> 5 from src:12"
    row = {"node": "gain", "key": "gain", "from": 2, "to": 5, "source": "src", "at_frame": 12}
    assert told.live.was_set({"number": 1}) == {"set": row} and told.rows == [row] and said(row).endswith("src:12")
    assert (told.plan().config["gain"], told.plan().configuring) == (5, 0)
    assert told.confirm() == "" and len(told.rows) == 1, "said twice"


def test_two_in_a_row_come_one_after_the_other(told):
    told.set("gain", 5)
    told.set("shape.offset", 3)
    assert len(told.sent) == 1
    told.confirm(7)
    assert told.sent[1][1].config == {"gain": 5, "shape": {"offset": 3, "scale": 1.0}, "full_ms": 0.0, "fixed": 0}
    told.confirm(8)
    assert [(row["key"], row["from"], row["to"], row["at_frame"]) for row in told.rows] == [
        ("gain", 2, 5, 7),
        ("shape.offset", 0, 3, 8),
    ]


def test_what_the_operator_refuses_leaves_the_config_and_the_next_change(told):
    told.set("gain", 5)
    told.set("shape.offset", 3)
    assert "refused by the operator: ValueError: no" in told.confirm(error="ValueError: no")
    assert told.live.was_set({"number": 1})["refused"].startswith("pipe set: gain.gain: refused by the operator")
    assert told.sent[1][1].config["gain"] == 2 and told.sent[1][1].config["shape"]["offset"] == 3
    assert told.rows == []


@pytest.mark.parametrize(
    ("node", "key", "value", "line"),
    [
        ("gian", "gain", 1, "pipe set: gian: no such node in g; did you mean gain?"),
        ("gain", "gian", 1, "pipe set: gain.gian: unknown key; did you mean gain?"),
        ("gain", "fixed", 1, "pipe set: gain.fixed: needs a live key, got one that is read at the start; live ones: gain, shape"),
        ("src", "frames", 1, "pipe set: src.frames: needs a live key, got one that is read at the start; this node has none"),
        ("gain", "gain", "much", "pipe set: gain.gain: needs int, got 'much'"),
        ("gain", "gain", 101, "pipe set: gain.gain: needs 0..100, got 101"),
        ("gain", "shape.ofset", 1, "pipe set: gain.shape.ofset: unknown key; did you mean offset?"),
    ],
)
def test_wrong_requests_are_refused_in_a_line(told, node, key, value, line):
    answer = told.set(key, value, node)
    assert answer["refused"] == line and not told.sent and told.plan().config["gain"] == 2


@pytest.mark.parametrize(
    "request_", [{}, {"node": "gain"}, {"node": "gain", "key": 3, "value": 1}, {"node": [], "key": "", "value": 1}]
)
def test_a_request_that_is_none(told, request_):
    with pytest.raises(ValueError, match="needs node, key and value"):
        told.live.set(request_)


@pytest.mark.parametrize("number", [None, 0, 2, "1", [1]])
def test_a_number_that_no_change_has(told, number):
    with pytest.raises((ValueError, TypeError)):
        told.live.was_set({"number": number})


def test_a_node_at_its_end_sets_nothing(told):
    told.set("gain", 5)
    told.done.add("gain")
    assert told.live.was_set({"number": 1}) == {"failed": "pipe set: gain.gain: not set: the node has ended"}


def test_changes_that_wait_are_limited(told):
    for _ in range(MOST_WAITING + 1):
        assert "waits" in told.set("gain", 3)
    assert told.set("gain", 3)["refused"] == "pipe set: gain: 100 changes wait for a frame of this node already"


@dataclass(frozen=True)
class OneConfig:
    value: int = 1


class One(Operator):
    Config, inputs, outputs = OneConfig, {"data": COUNT}, {"out": COUNT}
    tunable = ("value",)

    def reconfigured(self, old, new):
        if new.value > 5:
            raise ValueError(f"{old.value} -> {new.value}")


def test_an_operator_that_refuses_keeps_its_config():
    op = One()
    op.config = OneConfig()
    op.reconfigure(replace(op.config, value=5))
    with pytest.raises(ValueError, match="5 -> 6"):
        op.reconfigure(replace(op.config, value=6))
    assert op.config == OneConfig(5)


def test_the_keys_of_an_operator_are_checked_as_in_the_file(told):
    with pytest.raises(GraphError, match="needs a mapping"):
        changed("gain", told.graph.nodes["gain"].cls, told.graph.nodes["gain"].config, "shape", 3)
