import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from studies.svg import plot

NAME = "{http://www.w3.org/2000/svg}"


def drawn(path):
    """-> texts; the curves as lists of (x, y) in pixels, in the order of their series; number of gaps in each."""
    root = ET.fromstring(path.read_text())
    texts = [t.text for t in root.iter(f"{NAME}text")]
    lines = [p.get("d") for p in root.iter(f"{NAME}path") if p.get("stroke-width") == "1.5"]
    curves = [[tuple(map(float, pair.split())) for pair in re.split("[ML]", d) if pair] for d in lines]
    return texts, curves, [d.count("M") for d in lines]


def test_nothing_but_zeros(tmp_path):
    plot(tmp_path / "a.svg", "none", "x", {"a": ([0, 1], [0.0])}, steps=True, log=True)
    _, (curve,), _ = drawn(tmp_path / "a.svg")
    assert len({y for _, y in curve}) == 1


def test_steps_of_two_series(tmp_path):
    plot(tmp_path / "a.svg", "t < u", "m & s", {"one": ([0, 1, 2], [1.0, 2.0]), "two": ([0, 1, 2], [2.0, 0.0])}, steps=True)
    texts, (one, two), _ = drawn(tmp_path / "a.svg")
    assert {"t < u", "m & s", "one", "two", "0", "1", "2"} <= set(texts)
    assert [x for x, _ in one] == [x for x, _ in two]
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = one
    assert x0 < x1 == x2 < x3 and y0 == y1 > y2 == y3  # pixels count downwards
    assert two[0][1] == y2 and two[2][1] - y0 == pytest.approx(y0 - y2, abs=0.11)


def test_a_line_on_a_logarithmic_axis_with_a_gap(tmp_path):
    plot(tmp_path / "a.svg", "t", "x", {"a": ([1, 2, 3, 4], [10.0, 100.0, np.nan, 1000.0])}, log=True)
    texts, (curve,), (pieces,) = drawn(tmp_path / "a.svg")
    assert len(curve) == 3 and pieces == 2
    (_, y0), (_, y1), (_, y2) = curve
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.11)
    assert {"10", "100", "1000"} <= set(texts)
