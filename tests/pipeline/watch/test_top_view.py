"""What the keys of `pipe top` do, and what is on its screen: small screens, a chosen node, a log."""

import pytest
from rich.console import Console
from snapshots import EDGE, snapshot

from pipeline.watch.top_keys import DOWN, ENTER, ESCAPE, UP, keys_of
from pipeline.watch.top_rows import EDGES, NODES
from pipeline.watch.top_view import View, part


def text_of(renderable, width=150, height=40):
    console = Console(width=width, height=height, color_system=None)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


@pytest.mark.parametrize(
    "typed, keys",
    [
        ("", []),
        ("q", ["q"]),
        ("\x1b[A\x1b[Bs", [UP, DOWN, "s"]),
        ("\x1bOA", [UP]),
        ("\x1b", [ESCAPE]),
        ("\r\n", [ENTER, ENTER]),
        ("\x1b[15~p\x00\x1b[1;5C", ["p"]),  # F5 and Ctrl-right have no name here
    ],
)
def test_keys(typed, keys):
    assert keys_of(typed) == keys


def test_keys_before_anything_is_shown():
    view = View()
    for key in (UP, DOWN, ENTER, ESCAPE, "x"):
        view.press(key)
    assert view == View()


def test_sort_pause_quit():
    view = View()
    for _ in NODES:
        view.press("s")
    assert view.by_node == len(NODES) - 1
    view.press("s")
    view.press("e")
    view.press("p")
    assert (view.by_node, view.by_edge, view.paused, view.quits) == (None, 0, True, False)
    view.press(" ")
    view.press("q")
    assert (view.paused, view.quits) == (False, True)


def test_choose_a_node_and_its_log():
    view = View()
    view.screen(None, snapshot(), 150, 40, [])
    view.press(DOWN)
    view.press(DOWN)
    view.press(ENTER)
    assert (view.chosen, view.log_of) == ("detect", "detect")
    view.press(DOWN)  # no table is shown
    assert view.chosen == "detect"
    view.press(ESCAPE)
    for _ in range(5):
        view.press(UP)
    assert (view.chosen, view.log_of) == ("cam", "")


def test_the_screen():
    view = View(by_node=[c.title for c in NODES].index("CPU %"), by_edge=[c.title for c in EDGES].index("queue"), paused=True)
    lines = text_of(view.screen(None, snapshot(), 150, 40, ["no answer for 3 s"])).splitlines()
    assert lines[0].rstrip() == "g: run g-7-00000001, 100 frames in 10.0 s, 10.0/s; since the start  (paused)"
    assert lines[1].rstrip() == "no answer for 3 s"
    assert "CPU %↓" in lines[2] and [line.split()[0] for line in lines[3:6]] == ["detect", "show", "cam"]
    assert "queue↓" in lines[7] and lines[8].startswith(EDGE)
    assert lines[-1].startswith("q quit")


def test_more_nodes_than_lines():
    now = snapshot()
    now["nodes"] = {f"n{i:02}": now["nodes"]["detect"] for i in range(50)}
    now["edges"] = {f"n{i:02}.a->n{i + 1:02}.b": now["edges"][EDGE] for i in range(49)}
    view = View(chosen="n40")
    text = text_of(view.screen(None, now, 150, 24, []), height=24)
    assert len(text.splitlines()) <= 24
    assert "\nn40 " in text and "\nn00 " not in text and "... 42 more" in text and "... 41 more" in text


@pytest.mark.parametrize(
    "rows, at, room, kept", [(0, 0, 5, (0, 0)), (3, 2, 5, (0, 3)), (9, 0, 4, (0, 4)), (9, 8, 4, (5, 9)), (9, 4, 1, (4, 5))]
)
def test_part(rows, at, room, kept):
    assert part(rows, at, room) == kept


def test_the_log_shows_its_end_and_no_control_characters():
    view = View(log_of="detect")
    text = text_of(view.log_screen([f"line {i}" for i in range(99)], 20, []))
    assert "log of detect" in text and "line 98" in text and "line 0\n" not in text and len(text.splitlines()) <= 20
    assert "(nothing yet)" in text_of(view.log_screen([], 20, []))
