"""The table of the panoptic nets: counts as the report's author found them, a line per net, a small net timed."""

import pytest

pytest.importorskip("torch")

from bench.panoptic_nets import Row, counted, kinds, lines, timed
from operators.nets.efficientps_config import EfficientPSConfig


@pytest.mark.slow
def test_multiply_adds_of_efficientps_without_regions():
    """The report's own count: 236 G at 2048 x 1024 (its printed 433.94 B could not be found again)."""
    kind = kinds()["EfficientPS 2048x1024"]
    params, macs = counted(kind._replace(regions=0, instances=0))
    assert params == pytest.approx(40.89, abs=0.05) and macs == pytest.approx(236, rel=0.02)


def test_the_light_net_is_a_small_part_of_it():
    light = next(kind for name, kind in kinds().items() if name.startswith("light"))
    params, macs = counted(light)
    assert params < 3 and macs < 5


def test_a_line_per_net():
    table = [Row("a net", 1.5, 2.5, 30, 400, (40.89, 433.94, 166)), Row("light", 1, 2, 3, 4, (0, 0, 0))]
    head, first, second = lines(table)
    assert head.startswith("network") and first.endswith("| 40.89, 433.94, 166") and second.endswith("| -")
    assert [part.strip() for part in first.split("|")[1:5]] == ["1.500", "2.50", "30.0", "400"]


def test_the_timed_net_classifies_all_regions():
    tiny = EfficientPSConfig(
        ("road", "Car"), ("Car",), (64, 64), width=0.25, depth=0.1, channels=8, semantic_channels=4, hidden=8
    )
    kind = next(iter(kinds().values()))._replace(config=tiny, regions=10, instances=3)
    assert len(timed(kind, 1, 2)) == 2
