"""Lines survive a full disk: whole, in order, each once."""

import errno
import json
import os

from pipeline.flow import lines
from pipeline.flow.lines import Lines


class Disk:
    """Room for a number of bytes: the write that fills the disk is short, as on a real disk."""

    def __init__(self, room):
        self.room, self.write = room, os.write

    def __call__(self, fd, data):
        n = min(self.room, len(data))
        if not n:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= n
        return self.write(fd, bytes(data[:n]))


def test_no_line_no_file(tmp_path):
    file = Lines(tmp_path / "logs" / "x.jsonl")
    file.flush()
    file.close()
    assert not list(tmp_path.iterdir())


def test_lines(tmp_path):
    file = Lines(tmp_path / "logs" / "x.jsonl")
    for i in range(3):
        file.add(str(i))
        file.flush()
        assert file.path.read_text() == "".join(f"{k}\n" for k in range(i + 1))
    file.close()
    file.close()
    more = Lines(file.path)
    more.add("3")
    more.close()
    assert file.path.read_text() == "0\n1\n2\n3\n"


def test_a_full_disk(tmp_path, monkeypatch):
    file = Lines(tmp_path / "x.jsonl")
    disk = Disk(35)
    monkeypatch.setattr(lines.os, "write", disk)
    wanted = [json.dumps({"line": i}) for i in range(30)]
    for i, line in enumerate(wanted):
        file.add(line)
        file.flush()
        disk.room += 4 * (i > 10)  # less space becomes free than is lost
    assert file.pending and file.why == "No space left on device"
    disk.room = 10**6
    file.close()
    assert file.pending == 0 and file.path.read_text().splitlines() == wanted


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "logs").write_text("in the way")
    file = Lines(tmp_path / "logs" / "x.jsonl")
    file.add("1")
    file.close()
    assert (file.pending, file.why) == (2, "File exists")
    (tmp_path / "logs").unlink()
    file.close()
    assert file.path.read_text() == "1\n"
