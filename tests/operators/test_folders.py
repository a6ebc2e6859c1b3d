import os
import socket

import pytest

from operators import folders
from pipeline.errors import InputError


def refused(call, *args):
    with pytest.raises(InputError) as e:
        call(*args)
    return str(e.value)


def test_names_are_sorted_and_those_that_begin_with_a_dot_do_not_count(tmp_path):
    assert folders.names(tmp_path) == folders.names(tmp_path / "not there") == []
    for name in ("b.txt", "a.txt", "._a.txt", ".DS_Store", ".ipynb_checkpoints", "..."):
        (tmp_path / name).touch()
    assert folders.names(tmp_path) == ["a.txt", "b.txt"]


def test_files_and_folders_by_pattern(tmp_path):
    for name in ("b.txt", "a.txt", "._c.txt", "d.TXT", "e.bin"):
        (tmp_path / name).touch()
    for name in ("x_1", "x_2", ".x_3", "y"):
        (tmp_path / name).mkdir()
    assert [path.name for path in folders.files(tmp_path, "*.txt")] == ["a.txt", "b.txt"]
    assert [path.name for path in folders.folders(tmp_path, "x_*")] == ["x_1", "x_2"]
    assert [path.name for path in folders.folders(tmp_path)] == ["x_1", "x_2", "y"]


def test_what_is_not_there_is_no_error(tmp_path):
    for path in (tmp_path / "a", tmp_path / "a/b", tmp_path / "a\0b"):
        assert folders.kind(path) == "" and not folders.is_file(path) and not folders.is_folder(path)
    (tmp_path / "file").touch()
    assert folders.kind(tmp_path / "file/in it") == ""
    assert folders.names(tmp_path / "file/in it") == []


ALL = [folders.kind, folders.is_file, folders.is_folder, folders.names, folders.size, folders.open_file]


@pytest.mark.parametrize("call", ALL)
def test_a_link_to_nothing_is_named(tmp_path, call):
    link = tmp_path / "link"
    link.symlink_to("nothing/here")
    assert refused(call, link) == f"{link}: is a link to nothing/here, which is not there"
    link.unlink()
    link.symlink_to(tmp_path / "there")
    (tmp_path / "there").mkdir()
    assert folders.kind(link) == folders.FOLDER


def test_a_link_to_itself_is_named(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(link)
    assert refused(folders.kind, link) == f"{link}: is a link to {link}, which is not there"


@pytest.fixture
def others(tmp_path):
    """A folder with something of every kind but a file, and the kinds in words."""
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "folder.txt").mkdir()
    (tmp_path / "device.txt").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(tmp_path / "socket.txt"))
        yield tmp_path, {"pipe": "a named pipe", "folder": "a folder", "device": "a device", "socket": "a socket"}


@pytest.mark.timeout(5)
@pytest.mark.parametrize("name", ["pipe", "folder", "device", "socket"])
def test_something_else_than_a_file_is_named_and_never_waited_for(others, name):
    path = others[0] / f"{name}.txt"
    message = f"{path}: needs a file, got {others[1][name]}"
    for call in (folders.is_file, folders.size):
        assert refused(call, path) == message
    assert refused(folders.files, others[0], f"{name}.*") == message
    if name != "socket":
        assert refused(folders.open_file, path) == message
    else:
        assert refused(folders.open_file, path) == f"{path}: needs to be readable, got No such device or address"


def test_something_else_than_a_folder_is_named(others):
    folder, kinds = others
    (folder / "file.txt").touch()
    for name, words in {**kinds, "file": "a file"}.items():
        if name != "folder":
            assert refused(folders.names, folder / f"{name}.txt") == f"{folder}/{name}.txt: needs a folder, got {words}"


def test_what_may_not_be_read_is_not_taken_for_absent(locked):
    folder = locked("closed/inner/0000.txt")
    inner, file = folder / "closed/inner", folder / "closed/inner/0000.txt"
    for call, path in ((folders.kind, inner), (folders.is_file, file), (folders.is_folder, inner), (folders.size, file)):
        assert refused(call, path) == f"{path}: may not be read (Permission denied)"
    assert refused(folders.open_file, file) == f"{file}: may not be read (Permission denied)"
    assert refused(folders.names, folder / "closed") == f"{folder / 'closed'}: may not be read (Permission denied)"
    assert refused(folders.files, inner, "*.txt") == f"{inner}: may not be read (Permission denied)"


def test_a_home_that_is_not_known(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert str(folders.at("~/a")) == "/home/me/a"
    message = "~nobody-here/a: needs a home folder for ~, got none; set HOME, or write the whole path"
    assert refused(folders.at, "~nobody-here/a") == message
