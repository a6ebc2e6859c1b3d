"""What enters the engine at a source: fields of any type and value, a sensor that fails for ever, a clock that is set back."""

import time

import numpy as np
import pytest
from life_nodes import Odd, number
from pipe_runs import check_balance

from pipeline.errors import FrameError
from pipeline.runtime.readings import FIRST_NS, LAST_NS, checked

WAYS = {"processes": [], "inline": ["--place", "inline"]}
SAID = {
    "late": f"stamp_ns: needs {FIRST_NS} .. {LAST_NS}, got 9223372036854775806",
    "early": f"stamp_ns: needs {FIRST_NS} .. {LAST_NS}, got -4611686018427387904",
    "float": "stamp_ns: needs a whole number, got 1500000000.0",
    "text": "stamp_ns: needs a whole number, got '1'",
    "recv": f"recv_ns: needs 0 .. {LAST_NS}, got {2**70}",
    "negative_id": "frame_id: needs 2 .. 281474976710655, got -1",
    "large_id": "frame_id: needs 2 .. 281474976710655, got 281474976710656",
    "item": "item: needs text, got 7",
    "surrogate": "item: needs text that UTF-8 can hold, got '\\udc80'",
    "values": "values: needs a mapping of ports, got [1]",
    "meta": "src.out: describe() needs numbers and text as facts: can not serialize 'numpy.ndarray' object",
    "large_meta": "src.out: describe() needs at most 1 MB of facts, got 17.8 MB",
    "tuple": "read() needs to return a Reading or None, got tuple",
}


@pytest.mark.parametrize("field", [field for field in SAID if "meta" not in field])
def test_checked(field):
    with pytest.raises(FrameError) as error:
        checked(Odd.ODD[field](), 2)
    assert str(error.value) == SAID[field]


def test_numbers_of_numpy_are_numbers():
    reading = checked(number(2, stamp_ns=np.int64(-5), recv_ns=np.uint32(7), frame_id=np.int16(3)), 2)
    assert [type(n) for n in (reading.stamp_ns, reading.recv_ns, reading.frame_id)] == [int] * 3
    assert (reading.stamp_ns, reading.recv_ns, reading.frame_id) == (-5, 7, 3)


@pytest.mark.quick(1)
@pytest.mark.parametrize("way", WAYS)
def test_an_odd_reading_costs_its_own_number(pipe, way):
    """One source for each odd field, in one run; `numpy` is not odd."""
    fields = ["late", "negative_id", "meta", "large_meta", "tuple", "numpy"]
    graph = "".join(
        f"  {f}: {{driver: 'life_nodes:Odd', config: {{field: {f}, at: 99}}, on_error: skip}}\n"
        f"  snk_{f}: {{op: test.null, inputs: {{in: {f}.out}}, config: {{write: true}}}}\n"
        for f in fields
    )
    ended = pipe.run(pipe.graph(graph), *WAYS[way])
    assert ended.code == 0, ended.stderr
    check_balance(ended)
    for f in fields:
        odd = f != "numpy"
        assert ended.ids(f"snk_{f}") == [i for i in range(5) if i != 2 or not odd]
        assert ended.report["nodes"][f]["errors"] == odd
        if odd and way == "processes":
            assert f"{f}: reading 2: {SAID[f].replace('src.', f + '.')}" in ended.log(f)


@pytest.mark.slow
def test_an_odd_reading_stops_the_run_by_name(pipe):
    graph = pipe.graph("""
  src: {driver: "life_nodes:Odd", config: {field: late, at: 99}}
  snk: {op: test.null, inputs: {in: src.out}}
""")
    for way in WAYS.values():
        ended = pipe.run(graph, *way)
        assert (ended.code, ended.stderr) == (1, f"error: src: reading 2: {SAID['late']}\n")


@pytest.mark.quick(1)
@pytest.mark.parametrize("way", WAYS)
def test_a_sensor_that_is_gone_costs_little(pipe, way):
    graph = pipe.graph("""
  src: {driver: "life_nodes:Gone", on_error: skip}
  snk: {op: test.null, inputs: {in: src.out}, config: {write: true}}
""")
    ended = pipe.run(graph, "--duration", "2", *WAYS[way])
    assert (ended.code, ended.report["exit"]) == (0, "completed"), ended.stderr
    errors = ended.report["nodes"]["src"]["errors"]
    assert 10 < errors <= 120, "a pause after each"
    text = ended.log("src") if way == "processes" else ended.stderr
    said = [line for line in text.splitlines() if "no such device" in line and "src: reading" in line]
    assert 4 <= len(said) <= 8, "at 1, 2, 4, 8, ..."
    assert ended.report["nodes"]["src"]["cpu_s"] < 1.9


def test_the_clock_is_set_back(pipe):
    """By an hour, in the process of the sensor: nothing becomes stale, and stamps go on as time does."""
    graph = pipe.graph("""
  src: {driver: "life_nodes:SetBack"}
  snk: {op: test.null, inputs: {in: src.out}, config: {write: true}, queue: {in: {policy: block, size: 30}}}
""")
    before = time.time_ns()
    ended = pipe.run(graph)
    assert ended.code == 0, ended.stderr
    assert ended.ids("snk") == list(range(20)) and ended.drops == []
    stamps = [int(line.split()[2]) for line in (ended.out / "snk" / "frames.txt").read_text().splitlines()]
    assert stamps == sorted(stamps) and before < stamps[0] and stamps[-1] < time.time_ns()
