"""`--inject`: its syntax, and that a point kills at the right pass."""

import os
import signal

import pytest

from pipeline.errors import GraphError
from pipeline.flow import faults
from pipeline.flow.faults import Fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("op:sent", Fault("op", "sent", 1)),
        ("op:sent@1", Fault("op", "sent", 1)),
        ("my_op-2:processing@30", Fault("my_op-2", "processing", 30)),
        ("op:reading@30+", Fault("op", "reading", 30, again=True)),
    ],
)
def test_parse(text, fault):
    assert Fault.parse(text) == fault


@pytest.mark.parametrize(
    "text",
    ["", "op", ":", "op:", "op:nowhere", "op:sent@", "op:sent@0", "op:sent@0+", "op:sent@+3", "op:sent@1.5"],
)
def test_parse_wrong(text):
    with pytest.raises(GraphError, match=r"^--inject .*: needs NODE:STEP\[@N\[\+\]\] with STEP one of allocated, written"):
        Fault.parse(text)


def test_point(monkeypatch):
    killed = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
    faults.arm([])
    faults.point("sent")
    faults.arm([Fault("a", "sent", 3), Fault("b", "sent", 2), Fault("b", "reading", 1)])
    faults.point("sent")
    faults.point("processing")
    assert killed == []
    faults.point("sent")
    assert killed == [(os.getpid(), signal.SIGKILL)], "the nearer of two"
    faults.point("sent")
    assert len(killed) == 1
    faults.point("reading")
    assert len(killed) == 2
    faults.arm([])
    faults.point("reading")
    assert len(killed) == 2
