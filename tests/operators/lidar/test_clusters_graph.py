"""The graphs of the untrained baseline on real scans."""

import pytest

from operators.score.kitti_centres import score

MARKS = [pytest.mark.data, pytest.mark.slow]


@pytest.mark.parametrize(
    ("graph", "data", "frames", "recall", "precision"),
    [
        pytest.param("kitti_clusters", "kitti_tracking_0000", 129, 0.35, 0.3, marks=MARKS),
        pytest.param("kitti_object_clusters", "kitti_object", 21, 0.45, 0.45, marks=MARKS),
    ],
)
def test_real_scans_to_tracks(pipe, shared_data, graph, data, frames, recall, precision):
    ended = pipe.run(graph, "--set", f"scans.config.root={shared_data / data}", timeout_s=110)
    assert ended.code == 0, ended.stderr
    assert ended.report["sinks"]["results"]["frames"] == frames
    assert not any(edge["dropped"] for edge in ended.report["edges"].values())
    vehicles = score(shared_data / data, ended.out / "results" / "0000.txt")["vehicles"]["all"]
    assert vehicles["recall"] > recall and vehicles["precision"] > precision, vehicles
