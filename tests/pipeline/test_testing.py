"""The test helpers for users: inputs, outputs, and the same refusals as the engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from pipeline import api
from pipeline.errors import FrameError, GraphError, InputError
from pipeline.frame import Header, Reading, Static
from pipeline.graph import load as graph
from pipeline.nodes.counts import COUNT
from pipeline.operator import Found, Operator, Resume, Source, operator
from pipeline.schema import ANY, Array, Schema, optional, static
from pipeline.testing import FakeClock, ListSink, ListSource, header, run_operator, run_source, statics_of

POINTS = Schema("POINTS", {"points": Array("float32", ("N", 4), "m")}, limits={"N": 100})


class Boxes(NamedTuple):
    boxes: np.ndarray
    scores: np.ndarray


BOXES = Schema("BOXES", {"boxes": Array("float32", ("M", 7)), "scores": Array("float32", ("M",))}, value=Boxes)


@operator(inputs={"points": POINTS}, outputs={"points": POINTS})
def crop(points: np.ndarray, max_m: float = 10.0) -> np.ndarray:
    return points[points[:, 0] < max_m]


def points(*x_m: float) -> np.ndarray:
    made = np.zeros((len(x_m), 4), np.float32)
    made[:, 0] = x_m
    return made


def count(n: int) -> np.ndarray:
    return np.array([n], np.int64)


# ---- run_operator: what comes out


@pytest.mark.parametrize(
    ("inputs", "config", "kept"),
    [
        ([], None, []),
        ([points()], None, [[]]),
        ([points(5, 15)], None, [[5.0]]),
        ([{"points": points(5, 15)}], {"max_m": 20}, [[5.0, 15.0]]),
        ([points(1), points(), points(30, 2)], crop.Config(max_m=1.5), [[1.0], [], []]),
    ],
)
def test_a_function_bare_values_and_every_kind_of_config(inputs, config, kept):
    outputs = run_operator(crop, inputs, config)
    assert [out[:, 0].tolist() for out in outputs] == kept
    assert all(out.dtype == np.float32 and out.shape[1:] == (4,) for out in outputs)


class Life(Operator):
    """Records the calls and attributes that the engine gives it."""

    inputs, outputs = (
        {"n": COUNT, "extra": optional(COUNT), "offset": static(COUNT, optional=True)},
        {"sum": COUNT, "even": COUNT},
    )
    log_: list = []

    def open(self):
        self.out_dir.mkdir(parents=True)
        self.log_.append(("open", self.name, self.resume, self.out_dir))

    def process(self, n, extra, offset):
        self.log_.append((self.header, sorted(self.headers), self.meta, self.missing))
        total = n + (0 if extra is None else extra) + (0 if offset is None else offset)
        self.describe("sum", seen=1)
        return {"sum": total, "even": total if total[0] % 2 == 0 else None}

    def close(self):
        self.log_.append("close")


def test_several_ports_statics_headers_meta_missing_and_life():
    Life.log_.clear()
    resume = Resume(1, 4, "000004")
    outputs = run_operator(
        Life,
        [{"n": count(1), "extra": count(2)}, {"n": count(5)}, {"n": count(7), "extra": None}],
        statics={"offset": count(100)},
        meta=[{"n": {"scale": 2}}, {}, {}],
        resume=resume,
        name="adder",
    )
    assert outputs == [{"sum": 103}, {"sum": 105}, {"sum": 107}]
    first, *sets, last = Life.log_
    assert first[:3] == ("open", "adder", resume) and not first[3].exists() and first[3].name == "adder"
    assert sets == [
        (Header("test", 0, "000000", 0), ["extra", "n"], {"n": {"scale": 2}, "extra": {}}, ()),
        (Header("test", 1, "000001", 100_000_000), ["n"], {"n": {}}, ("extra",)),
        (Header("test", 2, "000002", 200_000_000), ["n"], {"n": {}}, ("extra",)),
    ]
    assert last == "close"


def test_an_input_nobody_connects_is_not_missing():
    Life.log_.clear()
    assert run_operator(Life, [{"n": count(4)}]) == [{"sum": 4, "even": 4}]
    assert Life.log_[1][3] == ()


def test_given_headers_and_folder(tmp_path):
    Life.log_.clear()
    mine = header(7, item="0003/000007")
    run_operator(Life, [count(1)], headers=[mine], out_dir=tmp_path / "here")
    assert Life.log_[0][3] == tmp_path / "here" and (tmp_path / "here").is_dir()
    assert Life.log_[1][0] is mine and mine.stamp_ns == 700_000_000


class Each(Operator):
    inputs, outputs = {"n": COUNT}, {"n": COUNT}

    def open(self):
        self.buffer = np.zeros(1, np.int64)

    def process(self, n):
        if n[0] < 0:
            return None
        self.buffer += n
        return self.buffer


def test_outputs_are_copied_before_the_next_call_and_nothing_is_none():
    assert run_operator(Each, [count(1), count(-1), count(2)]) == [1, None, 3]


class Spoil(Operator):
    inputs, outputs = {"boxes": BOXES}, {"boxes": BOXES}

    def process(self, boxes):
        for array in boxes:
            assert array.flags.c_contiguous
            with pytest.raises(ValueError, match="WRITEABLE"):
                array.flags.writeable = True
        boxes.scores[:] = 0
        return boxes


def test_inputs_are_read_only_and_those_of_the_test_stay_as_they_are():
    mine = {"boxes": np.ones((4, 14), np.float32)[::2, ::2], "scores": np.ones(2, np.float32)}
    with pytest.raises(ValueError, match="assignment destination is read-only"):
        run_operator(Spoil, [mine])
    assert mine["scores"].flags.writeable and mine["scores"].tolist() == [1, 1]


class Loan(Operator):
    inputs, outputs = {"n": COUNT}, {"boxes": BOXES}

    def process(self, n):
        boxes = self.alloc("boxes", "boxes", (8, 7), np.float32)
        boxes[:] = n[0]
        return {"boxes": boxes[:2], "scores": np.ones(2, np.float32)}


def test_loans_and_schemas_of_several_arrays_come_out_as_readers_get_them():
    (out,) = run_operator(Loan, [count(3)])
    assert isinstance(out, Boxes) and out.boxes.shape == (2, 7) and (out.boxes == 3).all()


# ---- run_operator: what it refuses


class Sink(Operator):
    inputs = {"n": COUNT}

    def process(self, n):
        return None if n[0] == 0 else n


class Wrong(Operator):
    inputs, outputs = {"n": COUNT, "calib": static(COUNT)}, {"a": COUNT, "b": COUNT}

    def process(self, n, calib):
        if n[0] == 9:
            return {"a": self.alloc("c", "data", (1,), np.int64)}
        return [{"a": n, "c": n}, n, {"a": n.astype(np.int32)}][n[0]]


CALIB = {"calib": count(0)}


@pytest.mark.parametrize(
    ("cls", "inputs", "kwargs", "kind", "message"),
    [
        (crop, [points(1).astype(np.float64)], {}, FrameError,
         "crop.points.points: needs (N, 4) float32, got (1, 4) float64; convert with .astype(np.float32)?"),
        (crop, [[1, 2]], {}, FrameError, "crop.points: needs (N, 4) float32, got list"),
        (crop, [{"pts": points()}], {}, GraphError, "crop: needs {port: value} with ports points, got ports pts"),
        (crop, [points()], {"config": {"max": 3}}, GraphError, "test: crop.config.max: unknown key; did you mean max_m?"),
        (crop, [points()], {"config": {"max_m": "far"}}, GraphError, "test: crop.config.max_m: needs float, got 'far'"),
        (crop, [points()], {"headers": []}, GraphError, "crop: needs a header for each of 1 sets of inputs, got 0"),
        (crop, [{}], {}, GraphError, "crop: needs a value for its port points, got none"),
        (Sink, [count(1)], {}, FrameError, "sink: is a sink, its process() must return None, got ndarray"),
        (Wrong, [{"n": count(0)}], {"statics": CALIB}, FrameError, "wrong: needs output ports a, b, got c"),
        (Wrong, [{"n": count(1)}], {"statics": CALIB}, FrameError,
         "wrong: process() must return {port: value} for a, b, got ndarray"),
        (Wrong, [{"n": count(2)}], {"statics": CALIB}, FrameError,
         "wrong.a.data: needs (1,) int64, got (1,) int32; convert with .astype(np.int64)?"),
        (Wrong, [{"n": count(9)}], {"statics": CALIB}, FrameError, "wrong: alloc: needs an output port (a, b), got c"),
        (Wrong, [{"n": count(0)}], {}, GraphError, "wrong: needs a value for its static port calib; pass statics={'calib': ...}"),
        (Wrong, [{"n": count(0)}], {"statics": {"kalib": count(0)}}, FrameError, "wrong: needs input ports n, calib, got kalib"),
        (Life, [{"m": count(0)}], {}, GraphError, "life: needs {port: value} with ports n, extra, got ports m"),
        (Life, [count(0), {"n": count(1), "extra": np.zeros(2, np.int64)}], {}, FrameError,
         "life.extra.data: needs (1,) int64, got (2,) int64"),
    ],
)  # fmt: skip
def test_refuses_what_the_engine_refuses(cls, inputs, kwargs, kind, message):
    Life.log_.clear()
    with pytest.raises(kind) as error:
        run_operator(cls, inputs, **kwargs)
    assert str(error.value) == message


class Breaks(Operator):
    inputs = {"n": COUNT}
    closed = 0

    def process(self, n):
        raise KeyError("the operator's own")

    def close(self):
        type(self).closed += 1
        raise RuntimeError("and close() fails, too")


def test_an_exception_passes_through_and_the_operator_is_closed():
    Breaks.closed = 0
    with pytest.raises(KeyError, match="the operator's own"):
        run_operator(Breaks, [count(1)])
    assert Breaks.closed == 1


# ---- sources


@dataclass(frozen=True)
class RampConfig:
    frames: int = 3


class Ramp(Source):
    Config, outputs = RampConfig, {"n": COUNT, "other": COUNT, "start": static(COUNT)}
    closed = 0

    @classmethod
    def find(cls, config):
        if config.frames < 0:
            raise InputError("frames: none of these")
        return Found(config.frames)

    def open(self, start=0):
        self.at = start

    def statics(self):
        yield Static("start", count(40))
        yield Static("start", count(41), 10)

    def read(self):
        if self.at >= self.config.frames:
            return None
        self.at += 1
        values = {"n": count(self.at), "other": count(0) if "other" in self.wanted else None}
        return Reading(values, f"{self.at}", self.at * 10, meta={"n": {"at": self.at}})

    def close(self):
        type(self).closed += 1


@pytest.mark.parametrize(
    ("config", "kwargs", "numbers"),
    [
        ({"frames": 0}, {}, []),
        (None, {}, [1, 2, 3]),
        (None, {"start": 2}, [3]),
        (RampConfig(10), {"frames": 2}, [1, 2]),
    ],
)
def test_run_source(config, kwargs, numbers):
    Ramp.closed = 0
    readings = run_source(Ramp, config, **kwargs)
    assert [r.values["n"] for r in readings] == numbers
    assert [(r.item, r.stamp_ns, r.meta) for r in readings] == [(f"{n}", n * 10, {"n": {"at": n}}) for n in numbers]
    assert all("other" in r.values for r in readings)
    assert Ramp.closed == 1


def test_a_source_reads_what_is_wanted_and_its_statics_are_found():
    assert [sorted(r.values) for r in run_source(Ramp, wanted=["n"], frames=1)] == [["n"]]
    assert statics_of(Ramp) == {"start": 40}


def test_run_source_refuses():
    class Bad(Ramp):
        def read(self):
            return Reading({"n": np.zeros(1, np.float32)}, "0", 0)

    with pytest.raises(FrameError) as error:
        run_source(Bad)
    assert str(error.value) == "bad.n.data: needs (1,) int64, got (1,) float32; convert with .astype(np.int64)?"
    with pytest.raises(InputError, match="frames: none of these"):
        run_source(Ramp, {"frames": -1})


# ---- lists in a graph


class Numbers(ListSource):
    outputs = {"n": COUNT}
    values = [count(3), {"n": count(4)}, Reading({"n": count(5)}, "0001/five", 10**9)]


class Kept(ListSink):
    inputs = {"a": COUNT, "b": ANY}


class KeptToo(ListSink):
    inputs = {"a": COUNT}


def test_lists_go_through_a_graph(tmp_path):
    path = tmp_path / "g.yaml"
    path.write_text(f"""
version: 1
nodes:
  numbers: {{driver: "{__name__}:Numbers"}}
  pass:    {{op: test.pass, inputs: {{in: numbers.n}}}}
  kept:    {{op: "{__name__}:Kept", inputs: {{a: numbers.n, b: pass.out}}}}
  too:     {{op: "{__name__}:KeptToo", inputs: {{a: numbers.n}}}}
""")
    assert graph.load(path).find("numbers").frames == 3
    for _ in range(2):  # of the latest run only
        outcome = api.run(path, out=tmp_path / "out", place="inline", overwrite=True)
        assert outcome.exit == "completed"
    assert [(h.item, h.stamp_ns, v) for h, v in Kept.received] == [
        ("000000", 0, {"a": 3, "b": 3}),
        ("000001", 100_000_000, {"a": 4, "b": 4}),
        ("0001/five", 1_000_000_000, {"a": 5, "b": 5}),
    ]
    assert [v["a"][0] for _, v in KeptToo.received] == [3, 4, 5]
    assert ListSink.received == []


def test_a_list_source_starts_anywhere():
    assert [r.values["n"] for r in run_source(Numbers, start=1)] == [4, 5]


# ---- time


def test_the_fake_clock_moves_when_told():
    clock = FakeClock(start_ns=5_000_000_000)
    assert (clock.time_ns(), clock.monotonic_ns(), clock.perf_counter_ns()) == (5_000_000_000,) * 3
    clock.sleep(0.25)
    clock.advance(1)
    assert clock.monotonic_ns() == 6_250_000_000
    assert (clock.time(), clock.monotonic(), clock.perf_counter()) == (6.25,) * 3
    with pytest.raises(ValueError, match="advance: needs 0 s or more, got -1; time does not go back"):
        clock.advance(-1)


def test_the_fake_clock_stands_in_for_the_module(monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr("pipeline.nodes.fault.time", clock)
    from pipeline.nodes.fault import Fault

    run_operator(Fault, [count(0), count(1)], {"kind": "slow", "slow_ms": 1500})
    assert clock.now_ns == 4_000_000_000


def test_nothing_is_left_in_the_temporary_folder(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    Life.log_.clear()
    run_operator(Life, [{"n": count(1)}])
    assert Life.log_[0][3].is_relative_to(tmp_path)
    assert list(Path(tmp_path).iterdir()) == []
