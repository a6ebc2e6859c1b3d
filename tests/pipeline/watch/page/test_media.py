"""Pictures, videos and scores found in the folders of sinks."""

from __future__ import annotations

import json
import os
from urllib.parse import unquote_to_bytes

from pipeline.watch.page import media
from pipeline.watch.page.media import Found, spread


def test_nothing(tmp_path):
    found = Found(tmp_path, ["render"])
    assert (found.media, found.scores, found.is_cut) == ([], [], False)


def test_pictures_videos_scores(tmp_path):
    frames = tmp_path / "render" / "frames"
    frames.mkdir(parents=True)
    for n in range(30):
        (frames / f"{n:06d}.png").touch()
    (frames / ".000031.png.part").touch()
    (tmp_path / "render" / "video.mp4").touch()
    (tmp_path / "score").mkdir()
    (tmp_path / "score" / "scores.json").write_text(json.dumps({"ap": 91.2}))
    (tmp_path / "other.png").touch()  # of no node
    found = Found(tmp_path, ["render", "score"])
    (row,) = found.media
    assert (row["node"], len(row["pictures"]), row["more"]) == ("render", media.MOST_PICTURES, 30 - media.MOST_PICTURES)
    assert [row["pictures"][i]["path"] for i in (0, -1)] == ["render/frames/000000.png", "render/frames/000029.png"]
    assert row["videos"] == [{"name": "render/video.mp4", "path": "render/video.mp4"}]
    assert found.scores == [{"node": "score", "file": "score/scores.json", "scores": {"ap": 91.2}}]


def test_names_of_any_characters(tmp_path):
    folder = tmp_path / "render"
    folder.mkdir()
    names = [b"a b#?%.png", b"\xff\xfe.png", "ü\"'<b>.png".encode(), b"line\nbreak.jpg", b"javascript:x.png"]
    for name in names:
        with open(os.path.join(os.fsencode(folder), name), "wb"):
            pass
    (row,) = Found(tmp_path, ["render"]).media
    links = [picture["path"] for picture in row["pictures"]]
    assert {unquote_to_bytes(link) for link in links} == {b"render/" + name for name in names}
    assert all(set(link) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~/%") for link in links)
    json.dumps([picture["name"] for picture in row["pictures"]]).encode()


def test_links_are_not_followed(tmp_path):
    (tmp_path / "render").mkdir()
    (tmp_path / "secret.png").touch()
    (tmp_path / "render" / "link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "render" / "loop").symlink_to(tmp_path / "render")
    assert Found(tmp_path, ["render"]).media == []


def test_scores_that_are_none(tmp_path):
    for node, text in (("a", "{"), ("b", "[" * 100_000), ("c", '"' + "x" * media.MOST_SCORES + '"')):
        (tmp_path / node).mkdir()
        (tmp_path / node / "scores.json").write_text(text)
    (tmp_path / "d" / "scores.json").mkdir(parents=True)
    assert Found(tmp_path, ["a", "b", "c", "d"]).scores == []


def test_too_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(media, "MOST_ENTRIES", 10)
    (tmp_path / "render").mkdir()
    for n in range(20):
        (tmp_path / "render" / f"{n}.png").touch()
    found = Found(tmp_path, ["render", "score"])
    assert found.is_cut and found.media[0]["more"] + len(found.media[0]["pictures"]) == 10


def test_spread():
    assert spread(["a"], 3) == ["a"]
    assert spread([str(n) for n in range(9)], 3) == ["0", "4", "8"]
