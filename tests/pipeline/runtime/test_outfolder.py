"""--out and --overwrite: what pipe has made goes, what it has not stays; one run at a time."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import pipeline
from pipeline.errors import GraphError
from pipeline.runtime import outfolder, report
from pipeline.runtime.outfolder import MARKER, OutFolder

NAMES = ["src", "snk", "logs", "report.json"]
GRAPH = """
  src: {driver: test.counter, config: {frames: 5}}
  snk: {op: test.null, inputs: {in: src.out}, config: {write: true}}
"""
SLOW = GRAPH.replace("frames: 5", "frames: 100000, rate_hz: 50").replace("counter, ", "counter, live: true, ")


def ran(out, names=NAMES, overwrite=False):
    """A run that makes a file in each of these."""
    with OutFolder(out, names, overwrite):
        for name in names:
            if name == "report.json":
                (out / name).write_text("{}")
            else:
                (out / name / "sub").mkdir(parents=True, exist_ok=True)
                (out / name / "sub" / "file").write_text(name)


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir() or p.is_symlink())


def refused(out, *args, names=NAMES, overwrite=True):
    with pytest.raises(GraphError) as error:
        OutFolder(out, names, overwrite)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_empty_folder(tmp_path):
    out = tmp_path / "deep" / "out"
    with OutFolder(out, NAMES, False):
        assert files(out) == [MARKER]
    assert files(out) == [MARKER]
    ran(out)
    assert files(out) == [MARKER, "logs/sub/file", "report.json", "snk/sub/file", "src/sub/file"]


def test_results_need_overwrite(tmp_path):
    ran(tmp_path)
    text = f"{tmp_path}: needs a folder without results, got src, snk, logs, report.json; use --overwrite or another --out"
    assert refused(tmp_path, overwrite=False) == text
    ran(tmp_path, overwrite=True)
    assert len(files(tmp_path)) == 5


def test_a_folder_with_other_files(tmp_path):
    """Whatever has no name of the run is nobody's business."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a").write_text("mine")
    (tmp_path / "main.c").write_text("mine")
    ran(tmp_path)
    ran(tmp_path, overwrite=True)
    assert (tmp_path / "notes" / "a").exists() and (tmp_path / "main.c").exists()


@pytest.mark.parametrize("make", ["folder", "file", "link", "dangling", "empty", "report"])
def test_what_pipe_has_not_made_stays(tmp_path, make):
    """The user's own ./src/main.c, because a node is called src."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "main.c").write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    name = "report.json" if make == "report" else "src"
    if make in ("folder", "empty"):
        (out / name).mkdir()
        if make == "folder":
            (out / name / "main.c").write_text("mine")
    elif make in ("file", "report"):
        (out / name).write_text("mine")
    else:
        (out / name).symlink_to(elsewhere if make == "link" else tmp_path / "nowhere")
    before = files(tmp_path)
    assert refused(out) == (
        f"{out}: --overwrite deletes only what pipe has made, got {name}, which it has not; remove it, or use another --out"
    )
    assert "use --overwrite or another --out" in refused(out, overwrite=False)
    assert files(tmp_path) == before


def test_files_that_the_user_adds_to_results_stay(tmp_path):
    ran(tmp_path)
    (tmp_path / "src" / "notes.txt").write_text("mine")
    (tmp_path / "src" / "sub" / "more").write_text("mine")
    (tmp_path / "src" / "away").symlink_to(tmp_path)
    for _ in range(3):
        ran(tmp_path, overwrite=True)
        mine = {"src/notes.txt", "src/sub/more", "src/away"}
        assert mine < set(files(tmp_path)), "also after the runs that found them there"
    (tmp_path / "src" / "notes.txt").unlink()
    ran(tmp_path, overwrite=True)


def test_a_link_in_the_place_of_results(tmp_path):
    """Nothing behind a link is deleted, though the marker lists the name."""
    out, mine = tmp_path / "out", tmp_path / "mine"
    ran(out)
    mine.mkdir()
    (mine / "sub").mkdir()
    (mine / "sub" / "file").write_text("mine")
    os.rename(out / "src", tmp_path / "old")
    (out / "src").symlink_to(mine)
    assert "got src, which it has not" in refused(out)
    (out / "src").unlink()
    os.rename(tmp_path / "old", out / "src")
    (out / "src" / "sub" / "file").unlink()
    (out / "src" / "sub").rmdir()
    (out / "src" / "sub").symlink_to(mine / "sub")
    ran(out, names=["snk", "logs", "report.json"], overwrite=True)
    with OutFolder(out, NAMES, overwrite=True):
        assert (out / "src" / "sub").is_symlink(), "it is not the folder that pipe made"
    assert (mine / "sub" / "file").read_text() == "mine"


def test_after_a_kill_all_in_its_folders_goes(tmp_path):
    child = os.fork()
    if child == 0:
        OutFolder(tmp_path, NAMES, False)
        (tmp_path / "src").mkdir()
        (tmp_path / "src" / "frames.txt").write_text("")
        os._exit(0)
    os.waitpid(child, 0)
    with OutFolder(tmp_path, NAMES, overwrite=True):
        assert files(tmp_path) == [MARKER]


def test_after_a_kill_what_was_there_before_stays(tmp_path):
    ran(tmp_path)
    (tmp_path / "src" / "mine").write_text("mine")
    child = os.fork()
    if child == 0:
        OutFolder(tmp_path, NAMES, True)
        (tmp_path / "src" / "frames.txt").write_text("")
        os._exit(0)
    os.waitpid(child, 0)
    with OutFolder(tmp_path, NAMES, overwrite=True):
        assert files(tmp_path) == [MARKER, "src/mine"]


def test_one_run_at_a_time(tmp_path):
    with OutFolder(tmp_path, NAMES, False):
        for overwrite in (False, True):
            text = f"{tmp_path}: a run is writing there; wait for its end, or use another --out"
            assert refused(tmp_path, overwrite=overwrite) == text
    with OutFolder(tmp_path, NAMES, False):
        pass


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", "[" * 100_000, '{"made": 5}', '{"made": {"src": 5}, "kept": {}}', "\xff", '{"made": {"src": null}}'],
)
def test_a_marker_that_is_none_allows_nothing(tmp_path, text):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.c").write_text("mine")
    (tmp_path / MARKER).write_bytes(text.encode("latin-1"))
    assert "got src, which it has not" in refused(tmp_path)
    assert (tmp_path / "src" / "main.c").exists()


def test_a_marker_with_names_that_lead_out(tmp_path):
    out, mine = tmp_path / "out", tmp_path / "mine"
    mine.write_text("mine")
    out.mkdir()
    (out / "src").mkdir()
    made = {"../mine": None, "..": None, "": None, "src": ["../../mine", "/etc/passwd"]}
    (out / MARKER).write_text(json.dumps({"made": made, "kept": {}}))
    outfolder.remove(out)
    assert mine.read_text() == "mine" and not (out / MARKER).exists()


@pytest.mark.parametrize("make", ["pipe", "folder", "link"])
def test_a_marker_that_is_no_file(tmp_path, make):
    """A pipe would wait for whoever writes to it."""
    marker = tmp_path / MARKER
    if make == "pipe":
        os.mkfifo(marker)
    elif make == "folder":
        marker.mkdir()
    else:
        marker.symlink_to(tmp_path / "nowhere")
    assert refused(tmp_path).startswith(f"{tmp_path}: needs a folder that can be made and written, got: ")


def test_remove(tmp_path):
    out = tmp_path / "out"
    ran(out)
    (out / "mine").write_text("mine")
    outfolder.remove(out)
    assert files(out) == ["mine"]
    ran(tmp_path / "all")
    outfolder.remove(tmp_path / "all")
    assert not (tmp_path / "all").exists()
    with pytest.raises(GraphError, match="deletes only what pipe has made, got: No such file or directory; remove it yourself"):
        outfolder.remove(out)
    with OutFolder(tmp_path / "busy", NAMES, False), pytest.raises(GraphError, match="a run is writing there"):
        outfolder.remove(tmp_path / "busy")


# ---- whole runs


def test_a_second_run_leaves_a_living_one_alone(pipe):
    graph, out = pipe.graph(SLOW), pipe.folder / "out"
    running = pipe.start(graph, out=out)
    running.wait_lines("snk", 10)
    for more in ([], ["--overwrite"], ["--overwrite", "--place", "inline"]):
        ended = pipe.pipe("run", str(graph), "--out", str(out), "--frames", "3", *more)
        assert (ended.code, ended.stderr) == (
            2,
            f"error: {out}: a run is writing there; wait for its end, or use another --out\n",
        )
    before = running.lines("snk")
    running.wait_lines("snk", before + 5)
    running.signal(15)
    ended = running.end()
    assert ended.code == 143 and len(ended.ids("snk")) > before
    assert pipe.run(graph, "--overwrite", "--duration", "0.3", out=out).code == 0


@pytest.mark.parametrize("place", [[], ["--place", "inline"]])
def test_overwrite_in_a_project(pipe, place):
    """The node is called src, as the user's folder; --out is the folder they are in."""
    graph, out = pipe.graph(GRAPH), pipe.folder / "project"
    (out / "src").mkdir(parents=True)
    (out / "src" / "main.c").write_text("mine")
    ended = pipe.run(graph, "--overwrite", *place, out=out)
    assert ended.code == 2 and "deletes only what pipe has made, got src, which it has not" in ended.stderr
    assert files(out) == ["src/main.c"]


def test_overwrite_through_a_link(pipe):
    graph, real = pipe.graph(GRAPH), pipe.folder / "real"
    real.mkdir()
    (real / "mine").write_text("mine")
    (pipe.folder / "link").symlink_to(real)
    for more in ([], ["--overwrite"]):
        ended = pipe.run(graph, *more, "--place", "inline", out=pipe.folder / "link")
        assert ended.code == 0, ended.stderr
    assert (pipe.folder / "link").is_symlink() and (real / "mine").exists() and (real / "report.json").exists()


def test_the_folder_is_removed_during_the_run(pipe):
    graph, out = pipe.graph(SLOW), pipe.folder / "out"
    running = pipe.start(graph, "--duration", "1.5", out=out)
    running.wait_lines("snk", 10)
    os.rename(out, pipe.folder / "moved")
    ended = running.end()
    assert ended.code == 1
    assert f"error: {out}: was removed or replaced while the run wrote to it; its results are not complete\n" in ended.stderr


def test_verify_deletes_only_its_own_runs(pipe):
    graph, file = pipe.graph(GRAPH), pipe.folder / "r.mcap"
    assert pipe.run(graph, "--record", str(file), "--place", "inline").code == 0
    out = pipe.folder / "verified"
    (out / "run-001").mkdir(parents=True)
    (out / "run-001" / "main.c").write_text("mine")
    ended = pipe.pipe("replay", str(file), str(graph), "--verify", "2", "--overwrite", "--out", str(out))
    assert ended.code == 2 and "deletes only what pipe has made" in ended.stderr
    assert files(out) == ["run-001/main.c"]


# ---- folders and reports that cannot be written


def by_nobody(call):
    """The GraphError of a call by a user without rights, where the tests run as root."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
        try:
            call()
        except GraphError as error:
            os.write(write, str(error).encode())
        except BaseException as error:
            os.write(write, repr(error).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as file:
        return file.read()


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("mode", [0o555, 0o000])
@pytest.mark.parametrize("content", [False, True])
def test_the_folder_of_another_user(tmp_path, mode, overwrite, content):
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    out = tmp_path / "theirs"
    out.mkdir()
    if content and overwrite:
        ran(out)
    out.chmod(mode)
    try:
        text = by_nobody(lambda: OutFolder(out, NAMES, overwrite))
        assert text == f"{out}: needs a folder that can be made and written, got: Permission denied; use another --out"
        text = by_nobody(lambda: OutFolder(out / "below", NAMES, overwrite))
        assert text == f"{out / 'below'}: needs a folder that can be made and written, got: Permission denied; use another --out"
    finally:
        out.chmod(0o755)


def test_a_report_of_another_user(tmp_path):
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    (tmp_path / "r.json").write_text("theirs")
    (tmp_path / "r.json").chmod(0o600)
    if os.geteuid() != 0:
        (tmp_path / "r.json").chmod(0o400)
    for name in ("r.json", "new.json", "new/r.json") if os.geteuid() == 0 else ("r.json",):
        path = tmp_path / name
        text = by_nobody(lambda path=path: report.require_writable(path))
        assert text == f"--report {path}: needs a file that can be written, got: Permission denied; use another one"


@pytest.mark.parametrize("place", [[], ["--place", "inline"]])
@pytest.mark.parametrize("where", ["folder", "below a file", "pipe", "link to nowhere"])
def test_a_report_that_cannot_be_written_is_found_before_the_start(pipe, where, place):
    graph, path = pipe.graph(GRAPH), pipe.folder / "report"
    if where == "folder":
        path.mkdir()
    elif where == "below a file":
        path.write_text("")
        path = path / "r.json"
    elif where == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/proc/nowhere/r.json")
    ended = pipe.run(graph, "--report", str(path), *place)
    assert ended.code == 2 and not ended.out.exists()
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"error: --report {path}: needs a file that can be written, got: ")


def test_a_report_elsewhere(pipe):
    graph = pipe.graph(GRAPH)
    path = pipe.folder / "new" / "r.json"
    ended = pipe.run(graph, "--report", str(path), "--place", "inline")
    assert ended.code == 0 and json.loads(path.read_text()) == ended.report
    ended = pipe.run(graph, "--report", "/dev/full", "--place", "inline")
    assert ended.code == 1
    assert ended.stderr == "error: /dev/full: needs to be written, got: No space left on device\n"
    assert Path("/dev/full").exists() and ended.report["exit"] == "completed"


def test_from_python(tmp_path):
    graph = tmp_path / "g.yaml"
    graph.write_text("version: 1\nnodes:\n" + GRAPH)
    out = tmp_path / "out"
    for overwrite in (False, True):
        assert pipeline.run(graph, out=out, place="inline", overwrite=overwrite).code == 0
    with OutFolder(tmp_path / "busy", [], False), pytest.raises(GraphError, match="a run is writing there"):
        pipeline.run(graph, out=tmp_path / "busy", place="inline", overwrite=True)
    rows = pipeline.frames(graph, "src.out", out=tmp_path / "frames")
    next(rows)
    with pytest.raises(GraphError, match="a run is writing there"):
        pipeline.run(graph, out=tmp_path / "frames", place="inline")
    rows.close()
    assert pipeline.run(graph, out=tmp_path / "frames", place="inline", overwrite=True).code == 0
