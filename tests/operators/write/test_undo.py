"""A frame that does not count is taken back: appended lines, new files, replaced files; at every moment of a kill."""

import json
import os

import pytest

from operators.files import append, replace
from operators.write import undo as module
from operators.write.undo import Undo
from pipeline.errors import PipeError, RunError
from pipeline.operator import Resume


def frame(undo, k, *names):
    """Frame k writes its own file, replaces `all`, and appends a line to each of the others."""
    own, all_, lines = undo.folder / f"{k}.bin", undo.folder / "all", [undo.folder / name for name in names]
    with undo.frame(k, lines, [own, all_]):
        replace(own, b"x" * k)
        replace(all_, b"up to %d" % k)
        for path in lines:
            append(path, f"{k}\n".encode())


def content(folder):
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file() and p.name != ".undo"}


def test_a_run_without_a_crash_leaves_its_files(tmp_path):
    undo = Undo(tmp_path / "out", None)
    undo.close()
    assert content(tmp_path / "out") == {}
    undo = Undo(tmp_path / "out", None)
    frame(undo, 0, "a")
    frame(undo, 1, "a")
    undo.close()
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["0.bin", "1.bin", "a", "all"]


@pytest.mark.parametrize(
    ("written", "last", "kept"),
    [
        (1, -1, {}),
        (1, 0, {"0.bin": "", "a": "0\n", "all": "up to 0"}),
        (3, 1, {"0.bin": "", "1.bin": "x", "a": "0\n", "all": "up to 1", "b": "1\n"}),
        (3, 2, {"0.bin": "", "1.bin": "x", "2.bin": "xx", "a": "0\n2\n", "all": "up to 2", "b": "1\n2\n"}),
    ],
)
def test_what_the_frame_in_work_wrote_goes(tmp_path, written, last, kept):
    undo = Undo(tmp_path, None)
    for k, names in list(enumerate((["a"], ["b"], ["a", "b"])))[:written]:
        frame(undo, k, *names)
    Undo(tmp_path, Resume(1, last, ""))
    assert content(tmp_path) == kept
    Undo(tmp_path, Resume(2, last, ""))
    assert content(tmp_path) == kept, "twice is as once"


def test_frames_out_of_order(tmp_path):
    """A join takes frames by stamp: an earlier frame that counts is not taken back because its number is larger."""
    undo = Undo(tmp_path, None)
    for k in (0, 5, 3, 4):
        frame(undo, k, "a")
    Undo(tmp_path, Resume(1, 3, ""))
    assert content(tmp_path)["a"] == "0\n5\n3\n"


@pytest.mark.parametrize("moment", range(9))
def test_killed_at_each_moment(tmp_path, moment):
    """The process dies before one of the file operations of a frame; all before it are done."""
    undo = Undo(tmp_path, None)
    frame(undo, 0, "a")
    before = content(tmp_path)
    count = 0

    def dies(function):
        def call(*args, **more):
            nonlocal count
            count += 1
            if count > moment:
                os._exit(0)
            return function(*args, **more)

        return call

    child = os.fork()
    if child == 0:
        for name in ("replace", "link", "write", "open", "truncate"):
            setattr(os, name, dies(getattr(os, name)))
        frame(undo, 1, "a", "new")
        os._exit(0)
    os.waitpid(child, 0)
    Undo(tmp_path, Resume(1, 0, ""))
    assert content(tmp_path) == before


def test_an_error_takes_the_frame_back_at_once(tmp_path):
    undo = Undo(tmp_path, None)
    frame(undo, 0, "a")
    before = content(tmp_path)

    def fails():
        with undo.frame(1, [tmp_path / "a"], [tmp_path / "all", tmp_path / "1.bin"]):
            append(tmp_path / "a", b"1\n")
            replace(tmp_path / "all", b"half")
            replace(tmp_path / "1.bin", b"x")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fails()
    assert content(tmp_path) == before
    frame(undo, 2, "a")
    assert content(tmp_path)["a"] == "0\n2\n"


def test_the_journal_holds_one_frame(tmp_path):
    undo = Undo(tmp_path, None)
    sizes = set()
    for k in range(100, 200):
        frame(undo, k, "a")
        sizes.add(undo.path.stat().st_size)
    assert max(sizes) - min(sizes) < 10


@pytest.mark.parametrize("name", ["a\u2028b", "a\u2029b", "ä b", "a'\"b", "[1, 2]", "x" * 200])
def test_any_name(tmp_path, name):
    """`str.splitlines` and separators do not matter: the journal is JSON."""
    undo = Undo(tmp_path, None)
    for k in range(2):
        with undo.frame(k, [tmp_path / name]):
            append(tmp_path / name, b"%d\n" % k)
    Undo(tmp_path, Resume(1, 0, ""))
    assert content(tmp_path) == {name: "0\n"}


@pytest.mark.parametrize("line", [b"", b"[1, [", b'[1, [["a", 17', b'[3, [["a", "new"]]]'])
def test_a_journal_that_is_cut_short_changes_nothing(tmp_path, line):
    (tmp_path / "a").write_text("kept")
    (tmp_path / ".undo").write_bytes(line)
    Undo(tmp_path, Resume(1, 0, ""))
    assert content(tmp_path) == {"a": "kept"}


@pytest.mark.parametrize(
    "changes", ["5", "[[1, 2, 3]]", "[" * 100_000, '[["../x", "new"]]', '[["/etc/x", "new"]]', '[["a", "much"]]', '[["", "new"]]']
)
def test_a_journal_of_somebody_else_deletes_nothing(tmp_path, changes):
    (tmp_path / "x").write_text("kept")
    out = tmp_path / "out"
    out.mkdir()
    (out / "a").write_text("kept")
    (out / ".undo").write_text(f"[3, {changes}]\n")
    with pytest.raises(PipeError):
        Undo(out, Resume(1, 0, ""))
    assert (tmp_path / "x").read_text() == "kept" and (out / "a").read_text() == "kept"


def test_a_file_system_without_links(tmp_path, monkeypatch):
    def refuses(*_):
        raise OSError("no links here")

    monkeypatch.setattr(module.os, "link", refuses)
    undo = Undo(tmp_path, None)
    frame(undo, 0)
    frame(undo, 1)
    Undo(tmp_path, Resume(1, 0, ""))
    assert content(tmp_path) == {"0.bin": "", "all": "up to 0"}


def test_the_error_of_a_bad_journal(tmp_path):
    (tmp_path / ".undo").write_text(json.dumps({"no": "list"}) + "\n")
    with pytest.raises(RunError, match="needs the changes of one frame, got a line that cannot be read"):
        Undo(tmp_path, Resume(1, 0, ""))
