"""The newest picture of a sink, from files that it is writing."""

from __future__ import annotations

import os

import pytest

from pipeline.watch import newest
from pipeline.watch.newest import TAIL, Film, Newest, codec_of

AVCC = b"avcC" + bytes([1, 0x42, 0xC0, 0x1E, 0xFF])


def box(kind, data=b""):
    return (8 + len(data)).to_bytes(4, "big") + kind + data


HEAD = box(b"ftyp", b"isom") + box(b"moov", b"trak...." + AVCC)


def fragment(n):
    return box(b"moof", bytes([n])) + box(b"mdat", bytes([n]) * 5)


@pytest.fixture
def film(tmp_path):
    return Film(tmp_path / "video.mp4")


def test_no_picture_yet(film):
    with pytest.raises(FileNotFoundError):
        film.part(None)
    film.path.write_bytes(b"")
    assert film.part(None) is None
    film.path.write_bytes(HEAD[:30])
    assert film.part(None) is None
    film.path.write_bytes(HEAD)
    assert film.part(None) is None


def test_one_picture_then_more(film):
    film.path.write_bytes(HEAD + fragment(1))
    part = film.part(None)
    assert (part.data, part.first, part.codec, part.name) == (HEAD + fragment(1), True, "avc1.42c01e", "video.mp4")
    with film.path.open("ab") as file:
        file.write(fragment(2) + fragment(3)[:12])  # the third is not whole
    more = film.part(part.at)
    assert (more.data, more.first) == (fragment(2), False)
    assert film.part(more.at).data == b""
    with film.path.open("ab") as file:
        file.write(fragment(3)[12:])
    assert film.part(more.at).data == fragment(3)


def test_a_late_viewer_gets_the_end(film):
    film.path.write_bytes(HEAD + b"".join(map(fragment, range(200))))
    part = film.part(None)
    assert part.data == HEAD + b"".join(map(fragment, range(200 - TAIL, 200)))
    assert film.part(len(HEAD)).data == b"".join(map(fragment, range(200)))


@pytest.mark.parametrize("at", [0, 7, 10**9])
def test_a_place_that_is_none_begins_anew(film, at):
    film.path.write_bytes(HEAD + fragment(1))
    assert film.part(at).first


def test_a_viewer_that_slept_begins_anew(film, monkeypatch):
    film = Film(film.path)
    film.path.write_bytes(HEAD + b"".join(map(fragment, range(newest.MOST_FRAGMENTS % 256))) * 3)
    assert film.part(len(HEAD)).first


@pytest.mark.parametrize("data", [b"\0\0\0\0moov", b"\xff" * 40, b"no video at all"])
def test_a_file_that_is_no_video(film, data):
    film.path.write_bytes(data)
    assert film.part(None) is None


def test_codec():
    assert codec_of(b"") == codec_of(b"avcC\x01") == codec_of(b"hvcC\x01\x02\x03\x04") == ""


def test_the_newest_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(newest, "LOOK_S", 0.0)
    monkeypatch.setattr(newest, "SHARE", 1e9)
    look = Newest(tmp_path, ["render", "results", "none"])
    assert look.look() == {}
    frames = tmp_path / "render" / "frames"
    frames.mkdir(parents=True)
    for n, name in enumerate(["b#1.png", "a.png", "c.txt"]):
        (frames / name).write_bytes(b"x")
        os.utime(frames / name, ns=(n, n))
    assert look.look() == {"render": {"film": False, "picture": "render/frames/a.png"}}
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "x y.png").write_bytes(b"x")
    (tmp_path / "render" / "video.mp4").write_bytes(HEAD + fragment(1))
    assert look.look() == {
        "render": {"film": True, "picture": "render/frames/a.png"},
        "results": {"film": False, "picture": "results/x%20y.png"},
    }
    part = look.part("render", "", None)
    assert part is not None and part.first and look.part("render", "video.mp4", part.at).data == b""
    (tmp_path / "render" / "video-r1.mp4").write_bytes(HEAD + fragment(2))
    os.utime(tmp_path / "render" / "video-r1.mp4", ns=(2**62, 2**62))
    look.look()
    assert look.part("render", "video.mp4", part.at).data == HEAD + fragment(2)  # after a restart
    assert look.part("results", "", None) is None


def test_a_large_folder_is_looked_at_less_often(tmp_path, monkeypatch):
    now = iter([0.0, 1.0, 2.0, 30.0, 40.0, 41.0, 42.0])
    monkeypatch.setattr(newest, "monotonic", lambda: next(now))
    look, looked = Newest(tmp_path, ["a"]), []
    monkeypatch.setattr(look, "_look_at", looked.append)
    for _ in range(3):
        look.look()
    assert looked == ["a"]  # it took 1 to 2 s: the next look is after 50 times that
