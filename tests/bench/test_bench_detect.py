import json

import pytest

from pipeline.errors import InputError

pytest.importorskip("torch")
pytest.importorskip("safetensors")

from bench import detect
from operators.nets import weights
from operators.nets.pointpillars import PointPillars
from operators.nets.pointpillars_config import POINTPILLARS, PointPillarsConfig

TINY = PointPillarsConfig(
    cell_m=(0.32, 0.32), range_m=(0, -25.6, -3, 51.2, 25.6, 1), max_points=16, pillar_channels=4,
    block_layers=(0,), block_channels=(4,), up_channels=(4,),
)  # fmt: skip


def test_weights_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match=r"none\.safetensors: needs a \.safetensors file, got nothing there"):
        detect.main([f"detect.config.weights={tmp_path / 'none.safetensors'}"], tmp_path)


@pytest.mark.slow
def test_an_untrained_net_in_three_scenes(tmp_path, capsys):
    """The whole chain on the net's own grid; the net finds nothing, and the output says so."""
    file = tmp_path / "tiny.safetensors"
    weights.save(file, POINTPILLARS, TINY, PointPillars(TINY).state_dict(), {"seed": 1})
    out = detect.main([f"detect.config.weights={file}", "world.config.drives=3"], tmp_path / "results")
    (path,) = (tmp_path / "results").iterdir()
    assert path.name.startswith("detect-") and path.name.endswith("-cores.json")
    assert json.loads(path.read_text()) == json.loads(json.dumps(out))
    assert out["about"]["command"] == f"pipe bench detect --set detect.config.weights={file} --set world.config.drives=3"
    assert out["about"]["facts"] == {"seed": 1}
    assert [(row["class"], row["level"]) for row in out["rows"]][:5] == [
        ("Car", "all"), ("Car", "easy"), ("Car", "moderate"), ("Car", "hard"), ("Pedestrian", "all"),
    ]  # fmt: skip
    (cars,) = (row for row in out["rows"] if (row["class"], row["level"]) == ("Car", "all"))
    assert cars["truth"] > 0
    assert cars["r40"] < 5
    assert min(out["median_ms"].values()) > 0
    assert "median ms per scene: world " in capsys.readouterr().out
