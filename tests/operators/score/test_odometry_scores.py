import json

import numpy as np
import pytest

from operators.geometry.transforms import exp_rigid, log_rigid, rigid, rotation_of, rotation_z
from operators.record.scene import quaternion
from operators.score.odometry import evaluate, lines
from operators.score.trajectories import aligned, scores, segments
from pipeline.__main__ import main
from pipeline.errors import InputError


def drive(num, step=(1.0, 0.0, 0.0, 0.0, 0.0, 0.005)):
    return np.stack([exp_rigid(k * np.array(step)) for k in range(num)])


def save(path, poses, numbers=None):
    rows = poses[:, :3].reshape(len(poses), 12)
    np.savetxt(path, rows if numbers is None else np.column_stack([numbers, rows]))
    return path


@pytest.mark.parametrize(
    "twist", [np.zeros(6), np.full(6, 1e-9), [1, -2, 3, 0.1, 0.2, -0.3], [5, 0, 0, 0, 0, 3.1], [1, 1, 1, 1e-4, 0, 0]]
)
def test_log_is_the_inverse_of_exp(twist):
    twist = np.asarray(twist, float)
    T = exp_rigid(twist)
    np.testing.assert_allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(log_rigid(T), twist, atol=1e-9)


def test_exp_is_the_limit_of_many_small_steps():
    twist = np.array([2.0, -1.0, 0.5, 0.4, -0.3, 0.9])
    W = np.array([[0, -0.9, -0.3, 2], [0.9, 0, -0.4, -1], [0.3, 0.4, 0, 0.5], [0, 0, 0, 0]])
    np.testing.assert_allclose(np.linalg.matrix_power(np.eye(4) + W / 2**30, 2**30), exp_rigid(twist), atol=1e-6)


def test_quaternions_there_and_back():
    R = exp_rigid(np.array([0, 0, 0, 0.4, -1.0, 2.0]))[:3, :3]
    np.testing.assert_allclose(rotation_of(3 * np.array([quaternion(R)]))[0], R, atol=1e-14)


def test_the_truth_itself_has_no_error():
    got = scores(drive(400), drive(400), np.ones(400, bool))
    assert got["t_rel"] == pytest.approx(0, abs=1e-12) and got["ate_m"] == pytest.approx(0, abs=1e-9)
    assert got["segments"] == len(segments(drive(400), drive(400), np.ones(400, bool))) > 0


def test_a_scale_and_a_drift_of_the_yaw_are_what_is_measured():
    truth, longer = drive(301, (1, 0, 0, 0, 0, 0)), drive(301, (1.02, 0, 0, 0, 0, 0))
    got = scores(truth, longer, np.ones(301, bool))
    assert (got["t_rel"], got["end_share"]) == (pytest.approx(0.02, rel=0.02), pytest.approx(0.02))
    assert scores(truth, longer, np.ones(301, bool), "sim3")["ate_m"] == pytest.approx(0, abs=1e-6)
    turning = drive(301, (1, 0, 0, 0, 0, np.radians(0.01)))
    assert scores(truth, turning, np.ones(301, bool))["r_rel_deg_100m"] == pytest.approx(1.0, rel=0.02)


def test_alignments_undo_what_they_may():
    truth, T = drive(50, (1, 0.2, 0.1, 0.02, 0.03, 0.05)), rigid(rotation_z(1.0), (5, -3, 2))
    for how, scale in (("se3", 1.0), ("sim3", 0.4)):
        found = T @ truth
        found[:, :3, 3] *= scale
        np.testing.assert_allclose(aligned(truth, found, how)[:, :3, 3], truth[:, :3, 3], atol=1e-9)


def test_frames_without_a_result_do_not_count(tmp_path):
    truth = drive(301)
    gt, results = save(tmp_path / "gt.txt", truth), save(tmp_path / "r.txt", truth[7::2], range(7, 301, 2))
    numbers = evaluate(gt, results)["sequences"]["r"]
    assert numbers["poses"] == 147 and numbers["ate_m"] == pytest.approx(0, abs=1e-9)
    assert numbers["segments"] < evaluate(gt, gt)["sequences"]["gt"]["segments"]


def test_tum_files_are_matched_by_time(tmp_path):
    truth = drive(200)
    rows = [[10 + 0.1 * k, *T[:3, 3], *quaternion(T[:3, :3])] for k, T in enumerate(truth)]
    np.savetxt(tmp_path / "gt.txt", rows, header="time x y z qx qy qz qw")
    late = np.array(rows[50:])
    late[:, 0] += 0.004
    np.savetxt(tmp_path / "r.txt", late)
    numbers = evaluate(tmp_path / "gt.txt", tmp_path / "r.txt")["sequences"]["r"]
    assert numbers["poses"] == 150 and numbers["ate_m"] == pytest.approx(0, abs=1e-6)
    late[:, 0] += 1000
    np.savetxt(tmp_path / "r.txt", late)
    with pytest.raises(InputError, match=r"needs a time within 0.01 s of one of .*gt.txt, got none"):
        evaluate(tmp_path / "gt.txt", tmp_path / "r.txt")


def test_one_pose_and_a_short_drive_have_no_relative_error(tmp_path):
    gt = save(tmp_path / "gt.txt", drive(5))
    found = evaluate(gt, save(tmp_path / "one.txt", drive(1)))
    assert found["sequences"]["one"]["t_rel"] is None and found["sequences"]["one"]["end_share"] is None
    assert lines(found)[1].split() == ["one", "1", "0.0", "n/a", "n/a", "0.000", "0.000", "n/a"]
    assert found["notes"] == [f"--gt {gt}: needs 100 m for t_rel and r_rel: n/a for one"]


EYE = "1 0 0 0 0 1 0 0 0 0 1 0\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs a pose of a frame of .*, got none"),
        ("1 2 3\n", r"r.txt:1: needs 12 or 13 columns \(KITTI\), or 8 \(TUM\), got 3"),
        (EYE + "1 0 0\n", r"r.txt:2: needs 12 numbers after the start of the line, got 3"),
        (EYE + EYE.replace("0 1 0\n", "0 x 0\n"), "r.txt:2: needs 12 numbers"),
        (
            EYE + EYE.replace("1 0 0 0", "2 0 0 0"),
            "r.txt:2: needs a rotation in the first three columns of the pose, got determinant 4",
        ),
        ("5 " + EYE + "5 " + EYE, "r.txt:2: needs a frame after that of the line before, got 5"),
        ("0.5 " + EYE, r"r.txt:1: needs a frame 0, 1, .. in column 1, got 0.5"),
        ("# time\n0.5 0 0 0 0 0 0 2\n", "r.txt:2: needs a quaternion x y z w of length 1 in columns 5 to 8, got 2"),
        ("0.5 0 0 0 0 0 0 1\n", r"r.txt: needs the layout of .*gt.txt \(KITTI\), got TUM"),
    ],
)
def test_wrong_files_are_named_with_their_line(tmp_path, text, message):
    gt = save(tmp_path / "gt.txt", drive(3))
    (tmp_path / "r.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        evaluate(gt, tmp_path / "r.txt")


def test_a_missing_sequence_is_named(tmp_path):
    for name in ("gt", "r"):
        (tmp_path / name).mkdir()
    save(tmp_path / "gt" / "00.txt", drive(3))
    with pytest.raises(InputError, match=r"needs a file of poses, or a folder of SEQ\.txt, got none"):
        evaluate(tmp_path / "gt", tmp_path / "r")
    save(tmp_path / "r" / "01.txt", drive(3))
    with pytest.raises(InputError, match=r"--gt .*: needs 01\.txt, has 00"):
        evaluate(tmp_path / "gt", tmp_path / "r")


@pytest.mark.data
def test_the_published_numbers_of_sequence_09(shared_data, tmp_path, capsys):
    folder = shared_data / "kitti_odometry"
    given = ["--gt", str(folder / "gt"), "--results", str(folder / "estimate"), "--json", str(tmp_path / "f.json")]
    assert main(["eval", "odometry", *given, "--align", "sim3"]) == 0
    row = capsys.readouterr().out.splitlines()[1].split()
    assert (row[0], row[3:6]) == ("09", ["2.884", "0.249", "8.387"])
    assert json.loads((tmp_path / "f.json").read_text())["align"] == "sim3"


def test_other_evaluators_take_no_alignment(tmp_path, capsys):
    assert main(["eval", "mot", "--gt", "a", "--results", "b", "--align", "se3"]) == 2
    assert capsys.readouterr().err == "error: eval mot: takes no --align\n"
