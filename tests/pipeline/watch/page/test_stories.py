"""Where the time of a frame went, against events whose times are known."""

from __future__ import annotations

from watch_runs import MS, frame, history, row, rows

from pipeline.flow.log import DROPPED
from pipeline.watch.page.stories import SLOWEST, Stories


def told(*parts, most=240, **start):
    stories = Stories(history(**start), most_frames=most)
    for part in parts:
        stories.add(part)
    return stories.result(), stories


def test_no_event():
    assert told()[0] == {"frames": [], "slow": []}
    assert told(rows(frame(0)[:2]))[0] == {"frames": [], "slow": []}  # it has come to no sink


def test_one_frame():
    found, stories = told(rows(frame(4)))
    assert stories.total == 1 and found["slow"] == [0]
    (story,) = found["frames"]
    assert (story["frame"], story["total"], story["drops"]) == ("a:4", 20 * MS, [])
    spans = [(name, kind, begin // MS, length // MS, path) for name, kind, begin, length, path in story["spans"]]
    assert spans == [
        ("a", "compute", 0, 2, 0),
        ("a", "write", 2, 1, 0),
        ("p", "queued", 3, 1, 0),
        ("p", "transport", 4, 2, 0),
        ("p", "sync", 6, 1, 0),
        ("p", "compute", 7, 5, 0),
        ("p", "write", 12, 1, 0),
        # of the join's inputs the frame of b came last: sent at 14, taken and called at 15
        ("j", "queued", 0, 14, 1),
        ("j", "transport", 14, 1, 1),
        ("j", "compute", 15, 1, 1),
        ("snk", "transport", 16, 1, 1),
        ("snk", "sync", 17, 1, 1),
        ("snk", "compute", 18, 2, 1),
    ]


def test_of_a_paced_source_the_time_before_its_frame_is_due_does_not_count():
    (story,) = told(rows(frame(0)), rate=1.0)[0]["frames"]
    assert (story["total"], story["at_s"]) == (17 * MS, 0.003)
    assert story["spans"][0] == ["p", "queued", 0, 1 * MS, 0]


def test_drops_are_named():
    dropped = row(DROPPED, 1, 1, 0, 5 * MS, reason="too_old")
    (story,) = told(rows([*frame(0)[:4], dropped, *frame(0)[4:]]))[0]["frames"]
    assert story["drops"] == ["p.out->j.x: too_old"]


def test_of_many_frames_the_slowest_and_evenly_spread_ones():
    slow = frame(50, 50 * MS)
    slow[-1][5] = 900 * MS
    parts = [rows(*(frame(n, n * MS) for n in range(50))), rows(slow), rows(*(frame(n, n * MS) for n in range(51, 101)))]
    found, stories = told(*parts, most=20)
    names = [story["frame"] for story in found["frames"]]
    assert stories.total == 101 and len(names) <= 20 + SLOWEST
    assert {"a:0", "a:50", "a:100"} <= set(names) and names == sorted(names, key=lambda name: int(name[2:]))


def test_old_events_are_left_out():
    stories = Stories(history(), most_rows=30)
    for n in range(10):
        stories.add(rows(frame(n, n * MS)))
    assert [story["frame"] for story in stories.result()["frames"]] == ["a:8", "a:9"]
    assert stories.is_cut
    stories.add(rows(frame(10, 10 * MS)))  # a live page goes on
    assert stories.result()["frames"][-1]["frame"] == "a:10"
