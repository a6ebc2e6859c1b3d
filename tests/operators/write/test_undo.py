import pytest

from operators.files import append, replace
from operators.write.undo import Undo
from pipeline.operator import Resume


def frame(undo, k, *names):
    """Frame k writes its own file, and a line into each of the others."""
    own = undo.folder / f"{k}.bin"
    undo.note(k, [own, *(undo.folder / name for name in names)])
    replace(own, b"x" * k)
    for name in names:
        append(undo.folder / name, f"{k}\n".encode())


def content(folder):
    return {p.name: p.read_text() for p in sorted(folder.iterdir()) if p.name != ".undo"}


def test_a_run_without_a_crash_leaves_its_files(tmp_path):
    undo = Undo(tmp_path / "out", None)
    undo.close()
    assert content(tmp_path / "out") == {}
    undo = Undo(tmp_path / "out", None)
    frame(undo, 0, "a")
    undo.close()
    assert [p.name for p in sorted((tmp_path / "out").iterdir())] == ["0.bin", "a"]


@pytest.mark.parametrize(
    ("last", "kept"),
    [
        (-1, {}),
        (0, {"0.bin": "", "a": "0\n"}),
        (1, {"0.bin": "", "1.bin": "x", "a": "0\n", "b": "1\n"}),
        (2, {"0.bin": "", "1.bin": "x", "2.bin": "xx", "a": "0\n2\n", "b": "1\n2\n"}),
    ],
)
def test_what_later_frames_wrote_goes(tmp_path, last, kept):
    undo = Undo(tmp_path, None)
    frame(undo, 0, "a")
    frame(undo, 1, "b")
    frame(undo, 2, "a", "b")
    Undo(tmp_path, Resume(1, last, ""))
    assert content(tmp_path) == kept
    Undo(tmp_path, Resume(2, last, ""))
    assert content(tmp_path) == kept, "twice is as once"


def test_killed_between_the_note_and_the_deed(tmp_path):
    undo = Undo(tmp_path, None)
    frame(undo, 0, "a")
    undo.note(1, [tmp_path / "1.bin", tmp_path / "new" / "b", tmp_path / "a"])
    (tmp_path / ".1.bin.part").write_bytes(b"half")
    Undo(tmp_path, Resume(1, 0, ""))
    assert content(tmp_path) == {"0.bin": "", "a": "0\n"}


def test_killed_within_a_line_and_within_the_note(tmp_path):
    undo = Undo(tmp_path, None)
    frame(undo, 0, "a")
    undo.note(1, [tmp_path / "a"])
    append(tmp_path / "a", b"1 and so o")
    append(tmp_path / ".undo", b"1 17 ")
    undo = Undo(tmp_path, Resume(1, 0, ""))
    assert content(tmp_path) == {"0.bin": "", "a": "0\n"}
    frame(undo, 1, "a")
    assert content(tmp_path)["a"] == "0\n1\n"


def test_killed_before_anything(tmp_path):
    Undo(tmp_path / "out", Resume(1, -1, ""))
    assert content(tmp_path / "out") == {}


def test_a_file_replaced_once_more_stays(tmp_path):
    """The file before the frame was complete and equals what the frame wrote, so it stays."""
    undo = Undo(tmp_path, None)
    frame(undo, 0)
    undo.note(1, [tmp_path / "0.bin"])
    replace(tmp_path / "0.bin", b"")
    Undo(tmp_path, Resume(1, 0, ""))
    assert content(tmp_path) == {"0.bin": ""}
