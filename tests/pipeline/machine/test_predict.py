import pytest

from pipeline.machine.devices import REFERENCE, REFERENCE_MIPS, Board, memory_ratio
from pipeline.machine.predict import CPU, NET, SOURCE, Measured, predict

BOARD = Board("b", "a board", 4, 8000, REFERENCE_MIPS // 2, 100.0, 0.5)
"""100 billion multiply-adds a second; nets take half the time, a core twice."""


def node(name, kind=CPU, ms=10.0, calls=1.0, rss_mb=100.0, threads=1, place=None):
    return Measured(name, place or name, kind, ms, calls, rss_mb, threads)


def test_an_empty_graph():
    found = predict([], BOARD)
    assert (found.nodes, found.fps, found.memory_mb) == ((), 0.0, 0.0)


def test_one_node_of_each_kind():
    found = predict([node("cam", SOURCE, 500), node("net", NET, 80, threads=2), node("track", CPU, 3)], BOARD, frames_mb=50)
    assert [(n.name, n.ms) for n in found.nodes] == [("cam", 0.0), ("net", pytest.approx(40)), ("track", pytest.approx(6))]
    assert found.fps == pytest.approx(25) and found.limit == "process net"
    assert found.memory_mb == pytest.approx(100 + 100 * memory_ratio() + 100 + 50)


def test_one_thread_here_is_half_of_what_the_ratio_is_about():
    one, two = (predict([node("net", NET, 80, threads=n)], BOARD).nodes[0].ms for n in (1, 2))
    assert one == two / 2


def test_processes_run_beside_each_other_but_nodes_of_one_take_turns():
    apart = predict([node("a", ms=10), node("b", ms=10)], BOARD)
    together = predict([node("a", ms=10, place="p"), node("b", ms=10, place="p")], BOARD)
    assert (apart.fps, together.fps) == (pytest.approx(50), pytest.approx(25)) and together.limit == "process p"
    assert (apart.memory_mb, together.memory_mb) == (200, 100)


def test_a_net_whose_multiply_adds_are_known_does_not_depend_on_its_time_here():
    known = [Measured("net", "net", NET, ms, 2.0, 100.0, threads, 3.0) for ms, threads in ((80.0, 1), (500.0, 2))]
    assert [predict([each], BOARD).nodes[0].ms for each in known] == [60.0, 60.0]
    assert not predict(known[:1], BOARD).nodes[0].by_time and predict([node("net", NET)], BOARD).nodes[0].by_time


def test_two_nets_share_the_gpu():
    found = predict([node("a", NET, 80, threads=2), node("b", NET, 40, threads=2)], BOARD)
    assert found.limit == "the GPU, all nets in turns" and found.fps == pytest.approx(1000 / 60)


def test_more_processes_than_cores():
    found = predict([node(str(n), ms=10) for n in range(8)], BOARD)
    assert found.limit == "4 CPU cores" and found.fps == pytest.approx(25)


def test_a_node_that_is_called_for_every_tenth_frame():
    assert predict([node("slow", ms=100, calls=0.1)], BOARD).nodes[0].ms == pytest.approx(20)


def test_times_of_a_faster_machine_count_more():
    slow, fast = (predict([node("a")], BOARD, mips=mips).nodes[0].ms for mips in (REFERENCE_MIPS, 2 * REFERENCE_MIPS))
    assert fast == 2 * slow


def test_the_reference_machine_predicts_itself():
    itself = Board("here", "reference", 2, 1, REFERENCE_MIPS, 1.0, 1.0)
    ms = REFERENCE["TANet 16"][0]
    assert predict([node("net", NET, ms, threads=2)], itself).nodes[0].ms == pytest.approx(ms)
