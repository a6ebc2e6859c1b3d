import pytest

from pipeline.cli.verbs import main

torch = pytest.importorskip("torch")

from foreign_nets import Zhulf  # noqa: E402
from pillar_nets import liven  # noqa: E402


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(liven(Zhulf((0.16, 0.16), (0, -39.68, -3, 69.12, 39.68, 1), (496, 432))).state_dict(), "epoch_160.pth")
    return "epoch_160.pth"


def test_a_file_becomes_a_weight_file_of_ours(path, tmp_path, capsys):
    assert main(["weights", "import", path, "--model", "pointpillars", "-o", "ours.safetensors"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ours.safetensors: pointpillars of zhulf0804/PointPillars, Pedestrian, Cyclist, Car, ")
    assert lines[1:] == [
        "  voxelize: {op: lidar.voxelize, config: {cell_m: [0.16, 0.16], range_m: [0.0, -39.68, -3.0, 69.12, 39.68, 1.0], "
        "max_points: 32}}",
        "  detect:   {op: detect.pointpillars, config: {weights: ours.safetensors}}",
    ]
    (tmp_path / "g.yaml").write_text(
        "version: 1\n"
        "nodes:\n"
        "  scans:    {driver: synthetic.traffic, config: {frames: 3}}\n"
        + lines[1].replace("voxelize,", "voxelize, inputs: {points: scans.points},")
        + "\n"
        + lines[2].replace("pointpillars,", "pointpillars, inputs: {pillars: voxelize.pillars},")
        + "\n  sink:     {op: test.null, inputs: {in: detect.boxes3d}}\n"
    )
    assert main(["check", "g.yaml"]) == 0


def test_without_a_file_the_names_of_the_models(capsys):
    assert main(["weights", "import"]) == 0
    assert capsys.readouterr().out.splitlines()[:3] == ["pointpillars", "tanet_car_16", "tanet_car_20"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "a.safetensors"], "weights import epoch_160.pth: needs --model NAME"),
        (["--model", "pointpillars"], "weights import epoch_160.pth: needs -o F"),
        (["--model", "pointpillars", "-o", "a.pth"], "-o a.pth: needs a name that ends in .safetensors"),
        (["--model", "resnet", "-o", "a.safetensors"], "--model resnet: needs one of pointpillars, tanet_car_16, "),
        (["--model", "pointpillars", "-o", "a.safetensors", "--set", "cell_m"], "--set cell_m: needs KEY=VALUE, e.g. "),
        (["--model", "pointpillars", "-o", "a.safetensors", "--set", "cell_m=[1, 1]"], "range_m: needs a multiple of 8 cells, "),
    ],
)
def test_wrong_words(path, words, message, capsys):
    assert main(["weights", "import", path, *words]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_weights_alone_show_the_usage(capsys):
    with pytest.raises(SystemExit):
        main(["weights"])
    assert "import" in capsys.readouterr().err
