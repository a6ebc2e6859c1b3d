"""Control messages: encoding and decoding are inverses, and other bytes are refused with an error."""

import contextlib
import dataclasses
import random

import msgpack
import pytest

from pipeline.errors import RunError
from pipeline.graph.layout import BoardShape, EdgeSpec, PortLayout
from pipeline.operator import Resume
from pipeline.runtime.messages import (
    AtHorizon,
    EdgeEnd,
    EdgeGone,
    EdgePlan,
    EdgeUp,
    End,
    Exit,
    Failed,
    Hello,
    Horizon,
    NodeDone,
    NodePlan,
    Nudge,
    PoolPlan,
    PortPlan,
    ProcessPlan,
    Ready,
    Start,
    SyncPlan,
    from_worker,
    pack,
    to_worker,
)

SYNC = SyncPlan("nearest", 25, {"b": -8}, None, ("b",))
NODE = NodePlan(
    "n", 1, 2, "m:C", "/m.py", {"k": [1, {2: "x"}]}, 1, "stop", (0, 2), None, ("a", "b"), {"a": "logit"}, "a", SYNC, None
)
SPEC = EdgeSpec(0, "src.out->n.a", False, "block", 4, 5, 0, None, 6, writer_epoch=2)
PLAN = ProcessPlan(
    graph="g",
    out="/out",
    process=1,
    main_bell=2,
    io_bell=3,
    bells={2: 10, 3: 11, 4: 12},
    live=False,
    verify=True,
    digests=False,
    inject=("n:sent@3",),
    board_fd=5,
    board=BoardShape((4, 0), 2, 2, 5),
    sources=("src",),
    pools={"src": PoolPlan(-1, 7, 4096)},
    ports=(PortPlan(0, "src", "out", PortLayout("out", 0, 4, 64), (0,)),),
    edges=(
        EdgePlan("src", "out", "n", "a", EdgeSpec(0, "src.out->n.a", False, "block", 4, 5, 0, None, 6, writer_epoch=2), 4, 1, 2),
    ),
    nodes=(NODE, dataclasses.replace(NODE, sync=None, cpus=None, nice=3, resume=Resume(1, 9, "0009", 10))),
)
EMPTY = dataclasses.replace(PLAN, inject=(), sources=(), pools={}, ports=(), edges=(), nodes=())
START = Start(1, None, 2.5, True, {"src": 10}, 99, None)
TO_WORKER = [
    PLAN, EMPTY, START, dataclasses.replace(START, rate=None, limits={}), EdgeUp(1, 2, 3),
    EdgeGone(4), EdgeEnd(0), Horizon(-5), End(-(2**62)), Exit(),
]  # fmt: skip
FROM_WORKER = [
    Hello(7, 8), Ready(1, 2), Failed("n", "n: text"), AtHorizon("src", 5), NodeDone("n", None),
    NodeDone("n", "ab"), Nudge(),
]  # fmt: skip


@pytest.mark.parametrize("message", TO_WORKER, ids=lambda m: type(m).__name__)
def test_to_worker_and_back(message):
    assert to_worker(pack(message)) == message


@pytest.mark.parametrize("message", FROM_WORKER, ids=lambda m: type(m).__name__)
def test_from_worker_and_back(message):
    assert from_worker(pack(message)) == message


def packed(name, fields):
    return msgpack.packb([name, fields])


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", "needs msgpack, got 0 bytes"),
        (b"\xc1", "needs msgpack, got 1 bytes"),
        (pack(Exit()) + b"\x00", "needs msgpack"),
        (msgpack.packb([msgpack.ExtType(1, b"x"), {}]), "needs msgpack"),
        (b"\xdd\xff\xff\xff\xff", "needs msgpack"),
        (b"\x91" * 5000, "needs msgpack"),
        (msgpack.packb({(): 1}, use_bin_type=True), "needs msgpack"),
        (msgpack.packb(None), "needs [name, fields], got none"),
        (msgpack.packb(["Exit"]), "needs [name, fields]"),
        (msgpack.packb([3, {}]), "needs [name, fields]"),
        (packed("Quit", {}), "got 'Quit'"),
        (packed("x" * 999, {}), "got '" + "x" * 40 + "'"),
        (pack(Nudge()), "got 'Nudge'"),
        (packed("Exit", None), "Exit: needs its fields, got none"),
        (packed("Exit", {"now": True}), "Exit: has no field 'now'"),
        (packed("EdgeUp", {"edge": 1, "writer_epoch": 0}), "EdgeUp: lacks reader_epoch"),
        (packed("EdgeUp", {"edge": 1, "writer_epoch": "2", "reader_epoch": 0}), "EdgeUp.writer_epoch: needs int, got '2'"),
        (packed("EdgeGone", {"edge": True}), "EdgeGone.edge: needs int, got true"),
        (packed("EdgeGone", {"edge": 1.0}), "EdgeGone.edge: needs int, got 1.0"),
        (packed("Start", {**dataclasses.asdict(START), "limits": {"a": None}}), "Start.limits['a']: needs int, got none"),
        (packed("Start", {**dataclasses.asdict(START), "limits": {1: 1}}), "key of Start.limits: needs text, got 1"),
        (packed("Start", {**dataclasses.asdict(START), "limits": []}), "Start.limits: needs a mapping, got []"),
        (packed("ProcessPlan", {**dataclasses.asdict(PLAN), "nodes": [{}]}), "ProcessPlan.nodes[0]: lacks name"),
    ],
)
def test_no_message(data, error):
    with pytest.raises(RunError) as caught:
        to_worker(data)
    assert str(caught.value).startswith("control message: ")
    assert error in str(caught.value)


def test_a_worker_may_not_say_what_the_supervisor_says():
    with pytest.raises(RunError, match="got 'Exit'"):
        from_worker(pack(Exit()))


@pytest.mark.parametrize("message", FROM_WORKER, ids=lambda m: type(m).__name__)
def test_noise_from_a_worker_is_a_message_or_refused(message):
    rng, original = random.Random(1), pack(message)
    for _ in range(500):
        data = bytearray(original[: rng.randint(0, len(original))] if rng.random() < 0.3 else original)
        for _ in range(rng.randint(1, 4)):
            data.insert(rng.randint(0, len(data)), rng.randrange(256))
        with contextlib.suppress(RunError):
            assert type(from_worker(bytes(data))) in map(type, FROM_WORKER)


def test_noise_never_passes_for_another_error():
    rng = random.Random(0)
    original = pack(PLAN)
    for _ in range(2000):
        data = bytearray(original[: rng.randint(0, len(original))] if rng.random() < 0.3 else original)
        for _ in range(rng.randint(1, 8)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        with contextlib.suppress(RunError):
            assert isinstance(to_worker(bytes(data)), ProcessPlan)


def test_messages_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        EdgeUp(1, 2, 3).edge = 3
