"""graphs/fusion_demo.yaml and flir_fused.yaml with a net that is not trained: who is used when a sensor fails, and afterwards."""

import copy
import dataclasses
import json
import signal
import time

import cv2
import numpy as np
import pytest
import yaml
from flir_files import flir1
from pipe_runs import ROOT, check_balance

torch = pytest.importorskip("torch")

from drivers.synthetic.camera import kitti_like_calibration  # noqa: E402
from drivers.synthetic.thermal import ThermalConfig, mount  # noqa: E402
from operators.fuse import gate  # noqa: E402
from operators.nets import weights  # noqa: E402
from operators.nets.fusion_config import FUSION, FusionNetConfig  # noqa: E402
from operators.nets.fusion_net import FusionNet  # noqa: E402

TINY = FusionNetConfig(
    image_size=(96, 64), stage_channels=(4, 8, 8, 8, 8), map_channels=16, queries=4, hidden=16, feedforward=16, key_pool=2
)
SIZE = (160, 128)
CAMERA_ALONE, BOTH, THERMAL_ALONE = {"image": 1.0, "thermal": 0.0}, "both", {"image": 0.0, "thermal": 1.0}


@pytest.fixture
def net(tmp_path):
    torch.manual_seed(0)
    weights.save(tmp_path / "net.safetensors", FUSION, TINY, FusionNet(TINY).state_dict())
    return str(tmp_path / "net.safetensors")


def homography(config):
    """Of the two cameras of a node's config."""
    thermal = ThermalConfig(view_deg=config["thermal"]["view_deg"], turn_deg=tuple(config["thermal"]["turn_deg"]))
    return mount(thermal, kitti_like_calibration(config["camera"]["width"], config["camera"]["height"])).homography


def demo(net, live, **world):
    """The shipped graph with small pictures of a bare street and the untrained net, without its sinks."""
    nodes = copy.deepcopy(yaml.safe_load((ROOT / "graphs/fusion_demo.yaml").read_text())["nodes"])
    for name in ("camera", "thermal"):
        node = nodes[name] = copy.deepcopy(nodes[name])
        node["live"] = live
        node["config"] |= {"camera": {"width": SIZE[0], "height": SIZE[1]}, "range_m": 40, "density": 0.3, **world}
    nodes["align"]["config"] = {"size": list(SIZE), "homography": homography(nodes["thermal"]["config"]).tolist()}
    nodes["gate"] |= {"config": {"weights": net, "score_threshold": 0.0}, "threads": 1}
    for name in ("tracker", "render", "results"):
        del nodes[name]
    for node in nodes.values() if not live else ():
        node.pop("queue", None)  # offline nothing is dropped
    nodes["seen"] = {
        "op": "fusion_nodes:Weighed",
        "inputs": {"boxes2d": "gate.boxes2d", "weights": "gate.weights", "health": "health.health"},
        "sync": {"policy": "exact", "trigger": "boxes2d"},
    }
    return nodes


def graph_of(pipe, nodes):
    return pipe.graph(yaml.safe_dump({"version": 1, "nodes": nodes}, sort_keys=False))


def noted(out):
    """Frame -> what the sink wrote, complete lines alone."""
    path = out / "seen" / "notes.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    notes = [json.loads(line) for line in lines if line.endswith("\n")]
    return {note["frame"]: note for note in notes}


def used(note):
    """BOTH, or the weights."""
    return BOTH if min(note["weights"].values()) > 0 else note["weights"]


@pytest.mark.timeout(300)  # it compiles on a new machine
def test_a_killed_thermal_sensor_leaves_the_camera_until_it_is_back(pipe, net):
    """Live, in processes: killed after frame 12. Every frame of the camera has its boxes, the next one from the camera alone."""
    assert pipe.run(graph_of(pipe, demo(net, False, frames=14)), timeout_s=150).code == 0  # compiles: below no frame waits for it
    nodes = demo(net, True, frames=3000, rate_hz=5)
    nodes["thermal"]["restart"] = {"policy": "on-failure", "backoff_s": 3.0}  # longer than a slow machine holds the camera up
    for name, node in nodes.items():  # the machine may be slow: nothing is dropped for it
        if name not in ("camera", "thermal"):
            node["queue"] = {port: {"policy": "drop_oldest", "size": 60} for port in node["inputs"]}
    running = pipe.start(graph_of(pipe, nodes), "--inject", "thermal:sent@12")
    until = time.monotonic() + 90
    while not (back := [frame for frame, note in noted(running.out).items() if frame > 13 and used(note) == BOTH]):
        assert running.process.poll() is None and time.monotonic() < until, noted(running.out)
        time.sleep(0.2)
    running.signal(signal.SIGINT)
    ended = running.end()
    assert ended.code == 130, ended.stderr
    notes = noted(ended.out)
    assert list(notes) == list(range(len(notes)))
    assert notes[13]["reasons"] == ["thermal: missing"]
    assert all(used(notes[frame]) == CAMERA_ALONE for frame in range(13, back[0]))
    assert {name: node["restarts"] for name, node in ended.report["nodes"].items() if node["restarts"]} == {"thermal": 1}


WINDOWS = {
    "thermal:blackout@4-7": ("thermal", "blank", range(4, 7)),
    "thermal:disconnect@10-13": ("thermal", "missing", range(10, 13)),
    "camera.image:white-out@16-19": ("image", "saturated", range(16, 19)),
}


@pytest.mark.parametrize("place", [["--set", "seen.place=net"], ["--place", "inline"]], ids=["processes", "inline"])
@pytest.mark.quick(1)
def test_an_injected_fault_weighs_for_its_frames_alone_and_bit_by_bit(pipe, net, place):
    """The result is that of the same weights without the dead modality; the frame after the fault has both again."""
    nodes = demo(net, False, frames=22)
    for modality, origin in (("image", "align.image"), ("thermal", "thermal.thermal")):
        alone = {"op": "fuse.gate", "inputs": {modality: origin}, "config": dict(nodes["gate"]["config"])}
        nodes[f"{modality}_alone"] = alone
        nodes["seen"]["inputs"][f"{modality}_alone"] = f"{modality}_alone.boxes2d"
    nodes["seen"]["sync"]["optional"] = ["thermal_alone"]
    for name in ("align", "health", "gate", "image_alone", "thermal_alone"):
        nodes[name]["place"] = "net"
    faults = [word for fault in WINDOWS for word in ("--inject", fault)]
    ended = pipe.run(graph_of(pipe, nodes), *faults, *place, timeout_s=100)
    assert ended.code == 0, ended.stderr
    check_balance(ended)
    assert [row["frames"] for row in ended.report["injected"]] == [3, 3, 3]
    notes = noted(ended.out)
    assert list(notes) == list(range(22))
    faulty = {frame: (modality, fault) for modality, fault, frames in WINDOWS.values() for frame in frames}
    for frame, note in notes.items():
        dead, fault = faulty.get(frame, (None, ""))
        assert note["dead"] == ([dead] if dead else []), (frame, note)
        if dead is None:
            assert used(note) == BOTH and note["reasons"] == []
            assert note["boxes2d"] not in (note["image_alone"], note["thermal_alone"])
        else:
            assert note["reasons"][0].startswith(f"{dead}: {fault}")
            assert used(note) == (CAMERA_ALONE if dead == "thermal" else THERMAL_ALONE)
            assert note["boxes2d"] == note["image_alone" if dead == "thermal" else "thermal_alone"]


CLEAN = 32
SEEN_AS = {
    "blackout": "blank", "white-out": "saturated", "noise": "noise", "salt-and-pepper": "noise", "shift": "shifted",
    "freeze": "frozen", "glare": "glare", "disconnect": "missing",
}  # fmt: skip
FROM_THE_FOURTH_ON, SOMETIMES = "freeze", "glare"  # the picture comes for the third time again; the highlight may miss the light


@pytest.mark.slow
def test_night_is_no_fault_and_each_injected_one_is_seen_at_once_and_no_longer(pipe, net):
    """In processes: 32 frames without a fault, then each fault for 5 frames of one camera at a time, and one frame after it."""
    windows = []
    for port in ("camera.image", "thermal.thermal"):
        left_out = (
            "disconnect" if port == "camera.image" else "glare"
        )  # nothing without the trigger; a thermal picture has no lamps
        for fault in SEEN_AS.keys() - {left_out}:
            begin = CLEAN + 6 * len(windows)
            windows.append((port.partition(".")[2], fault, range(begin, begin + 5), f"{port}:{fault}@{begin}-{begin + 5}"))
    nodes = demo(net, False, frames=CLEAN + 6 * len(windows), range_m=80, density=1.0)
    del nodes["gate"]
    nodes["health"]["config"] = {"noise_sigma": 6}
    nodes["seen"] = {"op": "fusion_nodes:Judged", "inputs": {"health": "health.health"}}
    ended = pipe.run(graph_of(pipe, nodes), *(word for *_, text in windows for word in ("--inject", text)), timeout_s=110)
    assert ended.code == 0, ended.stderr
    reasons = {frame: note["reasons"] for frame, note in noted(ended.out).items()}
    clean = set(range(CLEAN + 6 * len(windows))).difference(*(frames for _, _, frames, _ in windows))
    assert {frame: of for frame, of in reasons.items() if frame in clean and of} == {}
    for modality, fault, frames, _ in windows:
        wanted = [reasons[frame] for frame in (frames[3:] if fault == FROM_THE_FOURTH_ON else frames)]
        seen = [[reason for reason in of if reason.startswith(f"{modality}: {SEEN_AS[fault]}")] for of in wanted]
        assert sum(map(bool, seen)) >= (2 if fault == SOMETIMES else len(seen)), (modality, fault, wanted)
        assert all(reason.startswith(f"{modality}:") for of in wanted for reason in of), (modality, fault, wanted)


@pytest.mark.slow
def test_the_whole_demo_makes_pictures_results_and_truth(pipe, net):
    """Offline and small; pipe eval coco reads both files."""
    sets = [
        f"{node}.{key}" for node in ("camera", "thermal") for key in ("live=false", "config.camera={width: 160, height: 128}")
    ]
    sets += [f"{node}.queue.thermal.policy=block" for node in ("health", "gate")]
    sets += ["align.config.size=[160, 128]", f"gate.config.weights={net}", "gate.config.score_threshold=0"]
    ended = pipe.run(
        "fusion_demo", "--frames", "4", "--place", "inline", *(w for text in sets for w in ("--set", text)), timeout_s=100
    )
    assert ended.code == 0, ended.stderr
    check_balance(ended)
    assert {name: sink["frames"] for name, sink in ended.report["sinks"].items()} == {"render": 4, "results": 4}
    truth = json.loads((ended.out / "results/truth.json").read_text())
    assert len(truth["images"]) == 4 and truth["annotations"]
    assert {row["image_id"] for row in json.loads((ended.out / "results/results.json").read_text())} == {0, 1, 2, 3}
    assert (ended.out / "render/video.mp4").exists()


def test_the_homography_of_the_demo_is_that_of_its_cameras():
    nodes = yaml.safe_load((ROOT / "graphs/fusion_demo.yaml").read_text())["nodes"]
    config = nodes["thermal"]["config"]
    assert config is nodes["camera"]["config"], "one scene"
    np.testing.assert_allclose(nodes["align"]["config"]["homography"], homography(config), rtol=1e-6)


@pytest.mark.parametrize("graph", ["fusion_demo", "flir_fused"])
def test_without_weights_one_line_says_how_to_train_them(pipe, tmp_path, monkeypatch, graph):
    monkeypatch.setattr(gate, "FUSION", dataclasses.replace(FUSION, models=tmp_path))
    monkeypatch.chdir(tmp_path)
    refused = pipe.refused("run", graph, "--out", str(tmp_path / "out"))
    assert refused.code == 2 and not (tmp_path / "out").exists()
    (line,) = [line for line in refused.stderr.splitlines() if "gate.config.weights: " in line]
    _, _, text = line.partition("gate.config.weights: ")
    assert text.startswith(f"needs {tmp_path}/fusion_world.safetensors, got no such file; train it with pipe train fusion_world")


@pytest.mark.slow
def test_a_flir_folder_is_fused_and_a_thermal_picture_without_a_partner_goes_alone(pipe, tmp_path, net):
    root = flir1(tmp_path / "flir", "video", (1, 2, 3), raw=False, rgb=(96, 80), thermal=(64, 52))
    coarse = np.random.default_rng(0).integers(0, 255, (9, 9), np.uint8)  # a picture of one grey would be blank
    for path in (root / "video").rglob("*.jp*g"):
        picture = cv2.resize(coarse, (96, 80) if path.parent.name == "RGB" else (64, 52), interpolation=cv2.INTER_CUBIC)
        path.write_bytes(cv2.imencode(".jpg", picture)[1].tobytes())
    (root / "video/RGB/FLIR_video_00002.jpg").unlink()
    ended = pipe.run(
        "flir_fused", "--place", "inline", "--set", f"camera.config.root={root}", "--set", f"gate.config.weights={net}",
        "--set", "gate.config.score_threshold=0", "--set", f"results.config.like={root}/video/thermal_annotations.json",
        timeout_s=100,
    )  # fmt: skip
    assert ended.code == 0, ended.stderr
    assert {name: sink["frames"] for name, sink in ended.report["sinks"].items()} == {"render": 3, "results": 3}
    assert ended.report["edges"]["align.image->gate.image"]["delivered"] == 2
    rows = json.loads((ended.out / "results/results.json").read_text())
    assert {row["image_id"] for row in rows} == {0, 1, 2} and {row["category_id"] for row in rows} <= {1, 2, 3}


def as_png(path, content):
    path.write_bytes(cv2.imencode(".png", content)[1].tobytes())


@pytest.mark.parametrize(
    ("damage", "sets", "message"),
    [
        (
            lambda folder: as_png(folder / "thermal_16_bit/FLIR_video_00002.tiff", np.zeros((52, 64), np.uint8)),
            [],
            "FLIR_video_00002.tiff: needs 16-bit counts of a thermal camera, got 8 bits per value",
        ),
        (
            lambda folder: as_png(folder / "thermal_8_bit/FLIR_video_00002.jpeg", np.zeros((52, 64), np.uint16)),
            [],
            "FLIR_video_00002.jpeg: needs an 8-bit thermal picture, got 16 bits per value",
        ),
        (
            lambda folder: (folder / "RGB/FLIR_video_00002.jpg").write_bytes(b"\xff\xd8\xff" + bytes(99)),
            [],
            "FLIR_video_00002.jpg: needs a whole PNG or JPEG picture, got 102 bytes that do not decode; copied incompletely?",
        ),
        (
            lambda folder: None,
            ["align.config.homography=[[1, 0, 0], [0, 1, 0], [1, 1, 0]]"],
            "align.config.homography: needs a matrix of rank 3, got rank 2",
        ),
    ],
    ids=["8 bits for 16", "16 bits for 8", "a damaged JPEG", "rank 2"],
)
def test_what_no_pair_can_be_ends_in_one_line_before_the_start(pipe, tmp_path, net, damage, sets, message):
    root = flir1(tmp_path / "flir", "video", (1, 2, 3), rgb=(96, 80), thermal=(64, 52))
    damage(root / "video")
    sets = [f"camera.config.root={root}", f"gate.config.weights={net}", *sets]
    refused = pipe.refused("run", "flir_fused", "--out", str(tmp_path / "out"), *(w for text in sets for w in ("--set", text)))
    assert refused.code == 2 and not (tmp_path / "out").exists()
    assert len(refused.stderr.splitlines()) == 1 and message in refused.stderr, refused.stderr
