"""No name leads out of a folder, whatever it holds."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import names
from pipeline.errors import FrameError
from pipeline.names import below

GOOD = ["000134.txt", "0000/000134.txt", "ä/ü b.txt", "a\u2028b", "a..b", "a b", "-rf", "x" * 240]
BAD = {
    "": "an empty part",
    ".": "begins with a dot",
    "..": "begins with a dot",
    "../x": "begins with a dot",
    "a/../../x": "begins with a dot",
    "/etc/passwd": "an empty part",
    "a//b": "an empty part",
    "a/": "an empty part",
    ".undo": "begins with a dot",
    "a/.sequences": "begins with a dot",
    "a\0b": "a control character",
    "a\nb": "a control character",
    "a\x1b[31m": "a control character",
    "a\x85b": "a control character",
    "a\udcff": "no Unicode text",
    "x" * 241: "241 bytes, at most 240",
    "ä" * 121: "242 bytes, at most 240",
}


@pytest.mark.parametrize("name", GOOD)
def test_names_of_files(tmp_path, name):
    path = below(tmp_path, name, "who")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    assert str(path.relative_to(tmp_path)) == name


@pytest.mark.parametrize("name", BAD)
def test_names_of_none(tmp_path, name):
    with pytest.raises(FrameError, match=r"^who: needs the name of a file in .*, got '.*': ") as raised:
        below(tmp_path, name, "who")
    assert BAD[name] in str(raised.value)
    assert str(raised.value).isprintable()


def test_links_are_not_followed(tmp_path):
    out, outside = tmp_path / "out", tmp_path / "outside"
    out.mkdir()
    outside.mkdir()
    (out / "folder").symlink_to(outside)
    (out / "file").symlink_to(outside / "x")
    for name in ("folder/a", "file", "folder"):
        with pytest.raises(FrameError, match="a link in its way"):
            below(out, name, "who")
    (tmp_path / "chosen").symlink_to(out)
    assert below(tmp_path / "chosen", "a", "who") == tmp_path / "chosen" / "a", "the folder itself is the user's choice"


@given(st.text() | st.lists(st.sampled_from(["..", ".", "", "a", "b", "\0", "~"]), max_size=6).map("/".join))
def test_any_text(tmp_path_factory, name):
    folder = tmp_path_factory.getbasetemp()
    try:
        path = below(folder, name, "who")
    except FrameError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either is right
    else:
        assert os.path.realpath(path).startswith(f"{os.path.realpath(folder)}/")


@pytest.mark.parametrize(("name", "said"), [("x" * 9, "9 bytes, at most 8"), ("ä" * 5, "10 bytes"), ("x" * 8, ""), ("", "")])
def test_lengths_count_bytes(name, said):
    assert names.problem(name, 8).startswith(said) and bool(names.problem(name, 8)) == bool(said)
