"""Processes of a tracking graph are killed in mid-run: the writers' files are complete except for the frames the ledger names.

All files are compared with an undisturbed run, frame by frame and byte by byte; see restart.py.
"""

import pytest

from chaos import restart
from operators.nets import weights

TRAFFIC = """
version: 1
nodes:
  src:     {driver: synthetic.traffic, config: {frames: 60}}
  tracker: {op: track.tracker, inputs: {boxes3d: src.boxes3d, pose: src.pose}}
  results: {op: write.kitti_tracking, inputs: {tracks: tracker.tracks, calibration: src.calibration}}
  boxes:   {op: write.kitti_object, inputs: {boxes3d: src.boxes3d, calibration: src.calibration}}
"""
NAMES = restart.Names(source="src", before_tracker=frozenset({"src"}))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return restart.run_graph(TRAFFIC, (), tmp_path_factory.mktemp("plain") / "out", {}, NAMES)


@pytest.mark.quick(1)
@pytest.mark.xdist_group("restart")
@pytest.mark.parametrize("step", ["processing", "committed"])
@pytest.mark.parametrize("killed", [["src"], ["tracker"], ["results"], ["boxes"], ["tracker", "results", "boxes"]], ids="+".join)
def test_files_are_complete_but_for_the_frames_named(undisturbed, tmp_path, killed, step):
    at = {n: 20 + 10 * i for i, n in enumerate(killed)}
    ran = restart.run_graph(TRAFFIC, (), tmp_path / "out", at, NAMES, step)
    assert restart.wrong(undisturbed, ran, at, 60, NAMES) == []
    assert all(len(frames) <= 20 for frames in ran.lost.values()), "what was queued or in work, not more"
    for node in killed:
        (times,) = ran.outcome.report["nodes"][node]["restart_ms"]
        assert set(times) == {"detect", "spawn", "import", "open", "first_frame"}
        assert None not in times.values()


@pytest.mark.xdist_group("restart")
def test_the_comparison_sees_what_is_wrong(undisturbed, tmp_path):
    """A comparison that never finds a difference would prove nothing."""
    ran = restart.run_graph(TRAFFIC, (), tmp_path / "out", {}, NAMES)
    assert restart.wrong(undisturbed, ran, {}, 60, NAMES) == []
    folder = next((ran.out / "boxes").rglob("000007.txt")).parent
    (folder / "000007.txt").write_text("another\n")
    (folder / "000008.txt").unlink()
    tracks = ran.out / "results" / "0000.txt"
    lines = [line for line in tracks.read_text().splitlines(keepends=True) if not line.startswith("9 ")]
    tracks.write_text("".join(line.replace("30 ", "30 7", 1) if line.startswith("30 ") else line for line in lines))
    ran.lost["boxes"].add(11)
    assert restart.wrong(undisturbed, ran, {"tracker": 20}, 60, NAMES) == [
        "detections of frame 7 differ from those of the run that nobody disturbed",
        "detections of frame 8 are missing, and no line of drops.jsonl names it",
        "detections of frame 11 are there, but named as lost",
        "tracks of frame 9 differ",
        "tracks of frame 30 differ, and not by the successor's",
        "track ids: need restarts 0 and 1 in them, got [0]",
    ]


def check_kitti_lidar(root, out, capsys):
    if "pointpillars_world" not in weights.shipped():
        pytest.skip("no weights are shipped yet")
    pytest.importorskip("torch")
    made = restart.main(root, out, 40, {"detector, then writers": ("detect", "results", "boxes"), "source": ("scans",)})
    assert made["ok"], made["rows"]
    assert made["frames"] == 40
    assert "all frames but those named are there, byte for byte" in capsys.readouterr().out


@pytest.mark.slow
def test_kitti_lidar_on_a_generated_drive(tmp_path, capsys):
    check_kitti_lidar(None, tmp_path / "out", capsys)


@pytest.mark.slow
@pytest.mark.data
def test_kitti_lidar_on_real_scans(tmp_path, shared_data, capsys):
    check_kitti_lidar(shared_data / "kitti_tracking_0000", tmp_path / "out", capsys)
