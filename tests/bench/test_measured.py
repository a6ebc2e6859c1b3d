"""Sections of docs/measured.md from results; plots are small SVG files."""

import json
import xml.etree.ElementTree as ET

import pytest

from bench import measured, plot
from bench.rivals.settings import JOIN_FIGURES, LIFE_FIGURES
from bench.watched import Cost

ABOUT = {"command": "x", "commit": "abc1234", "processor": "AMD", "cores": 2, "load": 0.1, "data": "2 rounds"}
LINE = {"start": 10.0, "slope": 2.0, "miss": 0.1, "bends_at": None, "why": None}
ROWS = [{"x": x, **Cost(*(1.0 + x for _ in Cost._fields))._asdict()} for x in (8e-6, 1.0, 40.0)]
LINES = {**dict.fromkeys(("cpu_us", "p50_us", "p99_us", "startup_ms"), LINE), "pss_mb": LINE | {"bends_at": 40.0, "why": "full"}}
SCALE = {"about": ABOUT, "axes": {name: {"unit": name, "rows": ROWS, "lines": LINES} for name in ("size", "rate")}}
LIFE = dict.fromkeys(LIFE_FIGURES, 1234.5) | {f"{end}.left.{k}": 3 for end in ("producer", "consumer") for k in ("entries", "mb")}
JOIN = dict.fromkeys(JOIN_FIGURES, 10) | {"says": 2, "said": "180 queue_full"}
RIVALS = {
    "about": ABOUT,
    "versions": {"pipe": "0.1.0", "dora": "not installed (pip install dora-rs)"},
    "lives": {
        "pipe": LIFE,
        "pyzmq": LIFE | {"producer.again_ms": 200.0, "producer.by": "hand", "consumer.again_ms": None},
        "dora": {"none": "not installed"},
    },
    "joins": {"pipe": JOIN, "mediapipe": JOIN | {"says": 0, "said": "", "late": 0}},
    "behind": ["memory, MB: pyzmq 37, Pipe 60"],
}


@pytest.fixture
def folders(tmp_path):
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs/measured.md"
    page.write_text("# M\n<!-- rivals -->\nnone\n<!-- /rivals -->\nkept\n<!-- scale -->\nold\nold\n<!-- /scale -->\nend\n")
    return tmp_path, page


def test_without_results_the_page_stays(folders):
    folder, page = folders
    before = page.read_text()
    assert measured.main(folder, folder / "docs") == [] and page.read_text() == before


def test_sections_and_plots(folders):
    folder, page = folders
    (folder / "scale-x.json").write_text(json.dumps(SCALE))
    (folder / "rivals-x.json").write_text(json.dumps(RIVALS))
    assert measured.main(folder, folder / "docs") == ["rivals", "scale"]
    text = page.read_text()
    assert measured.main(folder, folder / "docs") == ["rivals", "scale"] and page.read_text() == text
    assert text.startswith("# M\n<!-- rivals -->\n`pipe bench rivals` (commit abc1234, AMD") and text.endswith(
        "<!-- /scale -->\nend\n"
    )
    assert "kept" in text and "old" not in text
    assert (
        "| dora | not installed |" in text and "| 200 (by hand) | never |" in text and "- memory, MB: pyzmq 37, Pipe 60" in text
    )
    assert "| 2 lines: 180 queue_full |" in text and "| nothing |" in text and "memory at 40: full" in text
    for name in ("rivals", "scale-size", "scale-rate"):
        assert f"](plots/{name}.svg)" in text
        drawn = (folder / f"docs/plots/{name}.svg").read_text()
        ET.fromstring(drawn)
        assert len(drawn) < 100_000


def test_a_page_without_the_section_is_refused(folders):
    folder, page = folders
    page.write_text("# M\n")
    (folder / "scale-x.json").write_text(json.dumps(SCALE))
    with pytest.raises(SystemExit, match="needs <!-- scale --> and <!-- /scale -->, got none"):
        measured.main(folder, folder / "docs")


@pytest.mark.parametrize("values", [[0.0, 0.0], [5.0], [1e-6, 1e9]])
def test_plots_of_any_values(values):
    points = list(enumerate(values))
    drawn = plot.svg([plot.Panel("t <&>", "u", [plot.Series("s", points)])])
    assert len(ET.fromstring(drawn).findall(".//{*}circle")) == len(values)
    rows = [("a", None, "never"), *(("b", value, f"{value:g}") for value in values)]
    ET.fromstring(plot.stacked([plot.bars("t", rows), drawn]))


def test_steps_of_an_axis_are_round():
    assert [plot._round(step) for step in (0.9, 1.0, 1.1, 2.2, 3.0, 7.0, 90.0)] == [1, 1, 2, 2.5, 5, 10, 100]
