"""graphs/flir.yaml on written FLIR folders: with 16-bit pictures, and without."""

import pytest
from flir_files import flir1, flir2

SMALL = {"rgb": (96, 80), "thermal": (64, 52)}


@pytest.mark.quick(2)
@pytest.mark.parametrize("version", ["1 without counts", "1", "2"])
def test_a_flir_folder_is_replayed(pipe, tmp_path, version):
    root = tmp_path / "flir"
    if version == "2":
        flir2(root, videos=(("abc", (0, 1, 2)),), rgb=(96, 80))
    else:
        flir1(root, "video", (1, 2, 3), raw=version == "1", **SMALL)
    ended = pipe.run("flir", "--set", f"camera.config.root={root}", timeout_s=100)
    assert ended.code == 0, ended.stderr
    assert {n: s["frames"] for n, s in ended.report["sinks"].items()} == {"thermal": 3, "rgb": 3}
    edges = ended.report["edges"]
    counted = 0 if version == "1 without counts" else 3
    assert edges["camera.thermal_raw->agc.thermal_raw"]["produced"] == counted
    assert not any(edge["dropped"] for edge in edges.values())
    assert (ended.out / "thermal" / "video.mp4").exists() and (ended.out / "rgb" / "video.mp4").exists()


@pytest.mark.slow
@pytest.mark.data
def test_classes_of_real_pairs(pipe, shared_data):
    """MFNet with its published weights on pairs of the rig that it was trained on."""
    pytest.importorskip("torch")
    folder = shared_data / "rgbt"
    graph = pipe.graph(f"""
  pairs: {{driver: image_pairs, config: {{image: {folder}/msrs/vi, thermal: {folder}/msrs/ir}}}}
  segment:
    op: segment.mfnet
    inputs: {{image: pairs.image, thermal: pairs.thermal}}
    sync: {{policy: exact}}
    config: {{weights: {folder}/mfnet/final.pth, unlabeled: none}}
  render: {{op: render.picture, inputs: {{image: pairs.image, class_map: segment.class_map}}, sync: {{policy: exact}}}}
""")
    ended = pipe.run(graph, timeout_s=100)
    assert ended.code == 0, ended.stderr
    assert ended.report["sinks"]["render"]["frames"] == 6
    assert not any(edge["dropped"] for edge in ended.report["edges"].values())
