"""What makes a done item stale, and what does not."""

import os

import pytest

from pipeline.batch import version
from pipeline.batch.key import changed, files, key, paths
from pipeline.errors import InputError
from pipeline.graph.load import load


@pytest.fixture
def root(tmp_path):
    """The tracking layout with sequences 0002 and 0003, one rig for both, scans of 0002 that have numbers like sequences."""
    names = ("calib/0002.txt", "calib/0003.txt", "velodyne/0002/0003.bin", "velodyne/0003/0002.bin", "oxts/0003.txt", "rig.yaml")
    for name in names:
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text(name)
    return tmp_path / "data"


def names_of(root, item):
    return [name for name, _, _ in files(root, item)]


def test_the_files_of_an_item_are_not_those_of_others(root):
    assert names_of(root, "0002") == ["calib/0002.txt", "oxts/0003.txt", "rig.yaml", "velodyne/0002/0003.bin"]
    assert names_of(root, "0003") == ["calib/0003.txt", "oxts/0003.txt", "rig.yaml", "velodyne/0003/0002.bin"]


def test_an_item_that_no_name_carries_has_all_files(root):
    assert len(names_of(root, "2")) == 6
    assert names_of(root / "velodyne/0002", "0002") == ["0003.bin"]
    assert [name for name, _, _ in files(root / "rig.yaml", "x")] == [""]


def test_links_in_a_circle_and_to_nothing_end(root):
    (root / "calib" / "loop").symlink_to(root)
    (root / "calib" / "nothing").symlink_to(root / "not there")
    assert "calib/nothing" in names_of(root, "0002")


def test_a_folder_that_may_not_be_read_is_named(locked):
    folder = locked("closed/a.txt")
    with pytest.raises(InputError, match=r"closed: cannot be listed: Permission denied"):
        list(files(folder, "x"))


def test_the_texts_of_a_config_that_name_files(root):
    config = {"src": ["mod:Class", {"root": str(root), "list": [str(root / "rig.yaml"), "no such file", "", 3, None]}]}
    assert paths(config) == [str(root), str(root / "rig.yaml")]


def test_each_part_of_the_key(graph, monkeypatch):
    def now(item="0002", frames=None, **sets):
        return key(load(graph, sets), item, sets, frames)

    first = now()
    assert now() == first and changed(first, now()) == []
    assert changed(first, now(**{"src.config.start": 3})) == ["settings"]
    assert changed(first, now(frames=2)) == ["settings"]
    assert changed(None, first) == ["graph", "settings", "input", "version"]
    monkeypatch.setattr(version, "code", lambda: {"pipe": "another"})
    assert changed(first, now()) == ["version"]
    monkeypatch.undo()
    graph.write_text(graph.read_text() + "# more\n")
    assert changed(first, now()) == ["graph"]


def test_the_input_is_names_sizes_and_mtimes(root):
    def now():
        return list(files(root, "0002"))

    first, path = now(), root / "velodyne/0002/0003.bin"
    before = path.stat().st_mtime_ns
    os.utime(path, ns=(before, before + 1))
    assert now() != first
    os.utime(path, ns=(before, before))
    assert now() == first
    (root / "velodyne/0003/0004.bin").touch()
    (root / "calib/0009.txt").touch()
    assert now() == first, "of other items"
    (root / "velodyne/0002/0004.bin").touch()
    assert now() != first


def test_the_code_has_one_version():
    code = version.code()
    assert version.differences(code, dict(code)) == []
    assert version.differences(code, code | {"sources": "x"}) == [f"sources {code['sources']} here, x there"]
    assert version.differences({"pipe": "1"}, {}) == ["pipe 1 here, none there"]


def test_the_modules_of_a_user_count(tmp_path):
    file = tmp_path / "own.py"
    file.write_text("a = 1\n")
    first = version.own_modules(None, [str(file), None])
    file.write_text("a = 2\n")
    assert version.own_modules(None, [str(file)]) != first
    assert version.own_modules(None, [version.__file__]) == version.own_modules(None, [])
