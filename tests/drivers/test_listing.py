import os

import pytest

from drivers.listing import listed
from pipeline.errors import InputError

SUFFIXES = (".ply", ".pcd")


def names(files):
    return [path.name for path in listed("clouds", str(files) if not isinstance(files, list) else files, SUFFIXES)]


def refused(files):
    with pytest.raises(InputError) as e:
        names(files)
    return str(e.value)


def test_a_folder_by_the_numbers_in_its_names(tmp_path):
    for name in ("10.ply", "2.PCD", "1.ply", "note.txt", "._1.ply", ".2.ply.swp", ".3.ply"):
        (tmp_path / name).touch()
    assert names(tmp_path) == ["1.ply", "2.PCD", "10.ply"]
    assert names([str(tmp_path / "10.ply"), str(tmp_path)]) == ["10.ply", "1.ply", "2.PCD", "10.ply"]


def test_what_is_no_file_is_named(tmp_path):
    needs = "clouds: config.files: needs a file or a folder of .ply .pcd, got"
    assert refused("") == refused([]) == f"{needs} nothing; set --set NODE.config.files=PATH"
    assert refused(tmp_path) == f"{needs} {tmp_path} without any"
    assert refused(tmp_path / "a.ply") == f"{needs} {tmp_path}/a.ply (not there)"
    os.mkfifo(tmp_path / "a.ply")
    assert refused(tmp_path / "a.ply") == f"{needs} {tmp_path}/a.ply (a named pipe)"
    assert refused(tmp_path) == f"{tmp_path}/a.ply: needs a file, got a named pipe"
    (tmp_path / "a.ply").unlink()
    (tmp_path / "a.ply").symlink_to("b.ply")
    for files in (tmp_path, tmp_path / "a.ply"):
        assert refused(files) == f"{tmp_path}/a.ply: is a link to b.ply, which is not there"


def test_what_may_not_be_read_is_not_taken_for_absent(locked):
    folder = locked("closed/a.ply")
    for files in (folder / "closed", folder / "closed/a.ply"):
        assert refused(files) == f"{files}: may not be read (Permission denied)"
