import os
import re

import cv2
import numpy as np
import pytest
from kitti_files import write

from drivers.mot import Mot, MotConfig
from operators.streams import BOXES2D, CLASSES
from pipeline.errors import InputError


def line(frame, x=10, score=0.5):
    return f"{frame},-1,{x},20,30,40,{score},-1,-1,-1\n"


def config(tmp_path, **changed):
    return MotConfig(root=str(tmp_path), **changed)


def ini(text):
    return f"[Sequence]\nname=A\n{text}\n"


def test_no_detections_at_all_are_empty_frames(tmp_path, play):
    write(tmp_path / "A/det/det.txt", "")
    write(tmp_path / "A/seqinfo.ini", ini("seqLength=3\nframeRate=14"))
    _, readings = play(Mot, config(tmp_path), {"boxes2d"})
    assert [(r.item, len(r.values["boxes2d"].labels)) for r in readings] == [("A/000001", 0), ("A/000002", 0), ("A/000003", 0)]
    assert [r.stamp_ns for r in readings] == [0, round(1e9 / 14), round(2e9 / 14)]


def test_many_frames_of_many_sequences(tmp_path, play):
    write(tmp_path / "B/det.txt", line(3) + line(1, 5) + line(3, 50))
    write(tmp_path / "A/det/det.txt", line(2))
    write(tmp_path / "notes.txt", "no sequence")
    _, readings = play(Mot, config(tmp_path, class_name="Car", rate_hz=10), {"boxes2d"})
    assert [(r.item, len(r.values["boxes2d"].labels)) for r in readings] == [
        ("A/000001", 0), ("A/000002", 1), ("B/000001", 1), ("B/000002", 0), ("B/000003", 2),
    ]  # fmt: skip
    assert [r.stamp_ns // 10**8 for r in readings] == [0, 1, 12, 13, 14]
    for reading in readings:
        BOXES2D.check(BOXES2D.unpack(reading.values["boxes2d"], "b"), "b")
    boxes2d, scores, labels = readings[-1].values["boxes2d"]
    assert boxes2d.tolist() == [[10, 20, 40, 60], [50, 20, 80, 60]]
    assert scores.tolist() == [0.5, 0.5]
    assert [CLASSES[label] for label in labels] == ["Car", "Car"]
    again = play(Mot, config(tmp_path, rate_hz=10), {"boxes2d"}, start=3)[1]
    assert [r.item for r in again] == ["B/000002", "B/000003"]
    assert [r.item for r in play(Mot, config(tmp_path, sequences="B"), {"boxes2d"})[1]] == ["B/000001", "B/000002", "B/000003"]


def test_scores_of_minus_one_are_none(tmp_path, play):
    write(tmp_path / "A/det.txt", line(1, score=-1) + line(2, score=-1))
    assert [r.values["boxes2d"].scores.tolist() for r in play(Mot, config(tmp_path), {"boxes2d"})[1]] == [[1], [1]]
    write(tmp_path / "A/det.txt", line(1, score=-1) + line(2, score=0.25))
    assert [r.values["boxes2d"].scores.tolist() for r in play(Mot, config(tmp_path), {"boxes2d"})[1]] == [[-1], [0.25]]


def test_pictures(tmp_path, play):
    write(tmp_path / "A/det.txt", line(1))
    bgr = np.full((6, 8, 3), (10, 20, 30), np.uint8)
    for number in (1, 2):
        write(tmp_path / f"A/img1/{number:06d}.png", cv2.imencode(".png", bgr)[1].tobytes())
    _, readings = play(Mot, config(tmp_path))
    assert [len(r.values["boxes2d"].labels) for r in readings] == [1, 0]
    assert all((r.values["image"] == (30, 20, 10)).all() and r.values["image"].shape == (6, 8, 3) for r in readings)
    write(tmp_path / "A/img1/000002.png", b"no picture")
    message = f"{tmp_path}/A/img1/000002.png: needs a PNG or JPEG picture, got a file that starts with b'no pictu'"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        play(Mot, config(tmp_path))


def test_pictures_that_are_not_there(tmp_path, play):
    write(tmp_path / "A/det.txt", line(1))
    with pytest.raises(InputError, match=r"^src: image is connected, but there is no .*/A/img1/\*\.jpg; add"):
        play(Mot, config(tmp_path), {"image"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,-1,10,20,30,40\n", ":1: needs 7 or more columns (frame id x y w h score), got 6"),
        (line(1) + line("x"), ":2: needs a number in column 1, got 'x'"),
        (line(1, ""), ":1: needs a number in column 3, got ''"),
        (line(1, "nan"), ":1: needs finite numbers, got nan in column 3"),
        (line(0), ":1: needs a frame (number 1, 2, ..) in column 1, got 0"),
        (line(-5), ":1: needs a frame (number 1, 2, ..) in column 1, got -5"),
        (line(1) + line(1_000_000_000), ": needs frames below 1,000,000, got 1000000000; is it a time?"),
        (line("1712345678040"), ": needs frames below 1,000,000, got 1712345678040; is it a time?"),
        (line("9" * 100_000), ":1: needs finite numbers, got inf in column 1"),
        (line("0" * 100_000 + "1") + line(1, "1" * 100_000), ":2: needs finite numbers, got inf in column 3"),
    ],
)
def test_wrong_lines(tmp_path, text, message):
    path = write(tmp_path / "A/det.txt", text)
    with pytest.raises(InputError, match=f"^{re.escape(str(path) + message)}$"):
        Mot.find(config(tmp_path))


def test_wrong_folders(tmp_path):
    with pytest.raises(InputError, match=r"^mot: config.root: needs a folder with SEQ/det/det.txt or SEQ/det.txt, got nothing;"):
        Mot.find(MotConfig())
    with pytest.raises(InputError, match=r"needs a folder with SEQ/x.txt, got .* \(holds nothing\);"):
        Mot.find(config(tmp_path, file="x.txt"))
    write(tmp_path / "A/det.txt", line(7))
    with pytest.raises(InputError, match=r"^mot: config.sequences: needs sequences of .* \(A\), got B$"):
        Mot.find(config(tmp_path, sequences=["A", "B"]))
    write(tmp_path / "A/seqinfo.ini", ini("seqLength=6"))
    with pytest.raises(InputError, match=r"A/det.txt:1: needs a frame 1..6 \(so long is the sequence\), got frame 7$"):
        Mot.find(config(tmp_path))
    with pytest.raises(ValueError, match=r"^class_name: needs one of Car, .*, got Dog$"):
        config(tmp_path, class_name="Dog")


@pytest.mark.parametrize("form", ["%.1f", "%f", "%.18e", "%06d"])
def test_frame_numbers_as_others_write_them(tmp_path, play, form):
    write(tmp_path / "A/det.txt", line(form % 3) + line(form % 1, 5))
    _, readings = play(Mot, config(tmp_path), {"boxes2d"})
    assert [(r.item, len(r.values["boxes2d"].labels)) for r in readings] == [("A/000001", 1), ("A/000002", 0), ("A/000003", 1)]


def test_boxes_without_extent_are_left_out_counted_and_named(tmp_path, play, caplog):
    flat = line(2).replace(",30,40,", ",0,40,") + line(1).replace(",30,40,", ",30,-4,")
    path = write(tmp_path / "A/det.txt", line(1) + flat)
    _, readings = play(Mot, config(tmp_path), {"boxes2d"})
    assert [len(r.values["boxes2d"].labels) for r in readings] == [1, 0]
    assert caplog.messages == [f"2 boxes without extent left out, the first in {path}:2"]


def test_pictures_named_by_times_are_refused(tmp_path):
    write(tmp_path / "A/det.txt", line(1))
    picture = write(tmp_path / "A/img1/1712345678000000.jpg", b"")
    with pytest.raises(InputError, match=f"^{picture}: needs frames below 1,000,000, got 1712345678000000; is it a time\\?$"):
        Mot.find(config(tmp_path))


def test_names_that_begin_with_a_dot_do_not_count(tmp_path, play):
    write(tmp_path / "A/det/det.txt", line(2))
    before = play(Mot, config(tmp_path), {"boxes2d"})[1]
    for name in ("._A", ".B/det.txt", "A/._seqinfo.ini", "A/det/._det.txt", "A/img1/._000009.jpg", "__MACOSX/._x"):
        write(tmp_path / name, b"\0\5\x16\7")
    assert [r.item for r in play(Mot, config(tmp_path), {"boxes2d"})[1]] == [r.item for r in before]


def test_a_link_to_nothing_is_named(tmp_path):
    link = tmp_path / "A/det.txt"
    link.parent.mkdir()
    link.symlink_to("elsewhere/det.txt")
    with pytest.raises(InputError, match=f"^{link}: is a link to elsewhere/det.txt, which is not there$"):
        Mot.find(config(tmp_path))


@pytest.mark.parametrize(("make", "got"), [(os.mkfifo, "a named pipe"), (os.mkdir, "a folder")])
def test_something_else_in_place_of_the_file_is_named(tmp_path, make, got):
    (tmp_path / "A").mkdir()
    make(tmp_path / "A/det.txt")
    with pytest.raises(InputError, match=f"^{tmp_path}/A/det.txt: needs a file, got {got}$"):
        Mot.find(config(tmp_path))
