"""Objects of different colour meet in a generated video: overlap swaps their ids, embeddings keep them.

The scores are those of `pipe eval mot` on the files of `write.mot`; the expected values are counted by hand.
"""

import numpy as np
import pytest

from operators.score import mot
from operators.streams import Boxes2D
from operators.track.tracker2d import Tracker2d
from operators.write.mot import Mot

WIDTH, HEIGHT, SIZE = 220, 80, (24, 48)
COLOURS = {1: (200, 40, 40), 2: (40, 60, 210), 3: (40, 180, 60)}
GROUND = (120, 120, 120)


def cross():
    """They pass each other without turning."""
    return [{1: (20 + 2 * k, 12), 2: (156 - 2 * k, 16)} for k in range(68)]


def bounce():
    """They walk towards each other, the first goes behind the second, and both return the way they came."""
    path = [40 + 2 * k for k in range(28)] + [94] * 2 + [94 - 2 * k for k in range(28)]
    return [{1: (x, 12), 2: (184 - x, 16)} for x in path]


def behind_a_third():
    """Two walk behind a third, who stands, and come out on the side where they went in."""
    path = [20 + 2 * k for k in range(34)] + [86 - 2 * k for k in range(34)]
    return [{1: (x, 12), 2: (178 - x, 14), 3: (89, 18)} for x in path]


def film(places):
    """-> pictures (H, W, 3), and per frame the objects at least half visible, from back to front, with their full boxes"""
    out = []
    for frame in places:
        image = np.full((HEIGHT, WIDTH, 3), GROUND, np.uint8)
        owner = np.zeros((HEIGHT, WIDTH), int)
        for who, (x, y) in sorted(frame.items(), key=lambda item: item[1][1]):
            image[y : y + SIZE[1], x : x + SIZE[0]] = COLOURS[who]
            owner[y : y + SIZE[1], x : x + SIZE[0]] = who
        seen = {
            who: (x, y, x + SIZE[0], y + SIZE[1])
            for who, (x, y) in frame.items()
            if (owner == who).sum() >= 0.5 * SIZE[0] * SIZE[1]
        }
        out.append((image, seen))
    return out


def looks_of(image, box):
    """Histogram of the colours in the middle of the box, 4 bins a channel"""
    x1, y1, x2, y2 = box
    bins = image[y1 + 8 : y2 - 8, x1 + 4 : x2 - 4].reshape(-1, 3) // 64
    return np.bincount(bins @ (16, 4, 1), minlength=64).astype(np.float32)


@pytest.mark.parametrize(
    ("story", "switches", "missed", "why"),
    [
        (cross, 0, 0, "motion is enough"),
        (bounce, 1, 1, "the second is taken for the first; the first is new, and not shown before its second box"),
        (behind_a_third, 2, 0, "both come back where the other was expected"),
    ],
    ids=["cross", "bounce", "behind a third"],
)
@pytest.mark.parametrize("preset", ["byte", "fairmot"])
def test_who_is_who_after_they_met(make, header, tmp_path, story, switches, missed, why, preset):
    """`byte` confuses them as counted by hand, `fairmot` never."""
    frames = film(story())
    rows = [
        f"{k},{who},{x1},{y1},{x2 - x1},{y2 - y1},1,-1,-1,-1\n"
        for k, (_, seen) in enumerate(frames, 1)
        for who, (x1, y1, x2, y2) in seen.items()
    ]
    (tmp_path / "gt" / "film").mkdir(parents=True)
    (tmp_path / "gt" / "film" / "gt.txt").write_text("".join(rows))
    tracker, writer = make(Tracker2d, preset=preset), make(Mot, name=preset, frame_offset=1)
    for k, (image, seen) in enumerate(frames):
        tracker.header = writer.header = header(k, item=f"film/{k:06d}")
        boxes = np.array(list(seen.values()), np.float32)
        found = Boxes2D(boxes, np.full(len(boxes), 0.9, np.float32), np.ones(len(boxes), np.int32))
        looks = np.array([looks_of(image, box) for box in seen.values()], np.float32)
        writer.process(tracks2d=tracker.process(boxes2d=found, embeddings=looks))
    writer.close()
    found = mot.score(tmp_path / "gt", tmp_path / "out" / preset)
    expected = (switches, missed) if preset == "byte" else (0, 0)
    assert (found["IDS"], found["CLR_FN"], found["CLR_FP"]) == (*expected, 0), why
    assert found["MOTA"] == pytest.approx(1 - sum(expected) / len(rows))
    assert (found["IDF1"] == 1) == (expected == (0, 0))
