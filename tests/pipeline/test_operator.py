"""A node prepared for `open()`: its given attributes, and the defaults of the others."""

import logging
from dataclasses import dataclass

import numpy as np
import pytest

from pipeline.errors import GraphError
from pipeline.operator import Operator, Resume, Source, attach, operator, prepare
from pipeline.schema import Array, Schema, static

COUNT = Schema("COUNT", {"n": Array("int64", (1,))})


@dataclass(frozen=True)
class Limits:
    most: int = 3


class Ends(Operator):
    Config, inputs = Limits, {"n": COUNT}


class Counts(Source):
    Config, outputs = Limits, {"n": COUNT, "base": static(COUNT)}


def test_an_operator_with_defaults():
    node = prepare(Ends(), "ends")
    assert (node.name, node.config, node.threads, node.resume, node.kinds) == ("ends", Limits(), 1, None, {})
    assert node.log is logging.getLogger("pipe.ends")
    assert not hasattr(node, "out_dir") and not hasattr(node, "needed")


def test_an_operator_given_everything(tmp_path):
    log, resume = logging.getLogger("mine"), Resume(1, 4, "000004")
    node = prepare(
        Ends(), "ends", Limits(5), threads=2, log=log, out_dir=tmp_path, resume=resume, kinds={"n": "logit"}, wanted=["n"]
    )
    assert (node.config.most, node.threads, node.log, node.out_dir, node.resume) == (5, 2, log, tmp_path, resume)
    assert node.kinds == {"n": "logit"}


@pytest.mark.parametrize(
    ("ports", "wanted", "needed"),
    [
        ({}, {"n", "base"}, {"n", "base"}),
        ({"wanted": []}, set(), set()),
        ({"wanted": ("n",)}, {"n"}, {"n"}),
        ({"wanted": {"n", "base"}, "needed": ["n"]}, {"n", "base"}, {"n"}),
        ({"wanted": ("n",), "needed": ()}, {"n"}, set()),
    ],
)
def test_a_source_is_asked_for_ports(ports, wanted, needed):
    node = prepare(Counts(), "counts", **ports)
    assert (node.wanted, node.needed) == (wanted, needed)


def test_one_node_does_not_change_the_next():
    prepare(Counts(), "a", Limits(1), threads=4, wanted=())
    prepare(Ends(), "b", kinds={"n": "logit"})
    assert (Counts.threads, Counts.wanted, Ends.kinds) == (1, frozenset(), {})


def test_without_an_engine_loans_are_ordinary_memory_and_words_go_nowhere():
    node = prepare(Counts(), "counts")
    assert node.alloc("n", "n", (2,), np.int64).shape == (2,)
    node.describe("n", tens=3)
    node.status("half")


def test_attached_functions_are_called():
    told = []
    slot = np.zeros(1, np.int64)
    node = prepare(Counts(), "counts")
    attach(node, alloc=lambda *what: slot, describe=lambda *what: told.append(what), show=told.append)
    assert np.shares_memory(node.put("n", "n", np.array([7])), slot) and slot[0] == 7
    node.describe("n", tens=3)
    node.status("half")
    assert told == [("n", {"tens": 3}), "half"]


def test_a_function_with_a_parameter_that_nobody_gives():
    with pytest.raises(GraphError, match=r"test_operator.near: parameter max_m is no input port and has no default$"):

        @operator(inputs={"n": COUNT})
        def near(n, max_m):
            return None
