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
