"""Scans -> packets -> scans: the writer is the decoder backwards."""

import numpy as np
import pytest
from velodyne_scans import cloud_of, scans_of

from drivers.pcap import Pcap
from drivers.velodyne.models import MODELS
from drivers.velodyne.writer import FILE, Turns, Writer, WriterConfig
from pipeline.testing import run_operator


def turn(model, columns=900, away_m=12.0):
    """A wall around the sensor, a point per beam and column; the intensity counts the columns."""
    azimuths = -np.pi + (np.arange(columns) + 0.5) * 2 * np.pi / columns
    up = np.radians(model.vertical_deg)
    a, e = (grid.ravel() for grid in np.meshgrid(azimuths, up, indexing="ij"))
    flat = away_m * np.cos(e)
    strength = np.repeat(np.arange(columns) % 256 / 255, len(up))
    return np.stack([flat * np.cos(a), flat * np.sin(a), away_m * np.sin(e), strength], 1).astype(np.float32)


def whole(packets, model):
    scans = scans_of([(round(at_s * 1e9), data) for at_s, data in packets], model, cut_deg=180.0)
    assert scans.lost == scans.wrong == 0
    return [scan for scan in scans.ready if scan.whole]


@pytest.mark.parametrize("name", ["HDL-32E", "VLP-16", "Puck Hi-Res"])
def test_the_decoder_gives_back_the_points(name):
    model = MODELS[name]
    turns, points = Turns(model, 10.0), turn(model)
    packets = [packet for _ in range(4) for packet in turns.push(points)]
    first, *_ = whole(packets, model)
    got, rings, times = cloud_of(first)
    assert len(got) == len(points)
    assert np.bincount(rings).tolist() == [900] * model.lasers
    np.testing.assert_allclose(np.linalg.norm(got[:, :3], axis=1), 12.0, atol=model.distance_m)
    columns = (np.arctan2(got[:, 1], got[:, 0]) + np.pi) / (2 * np.pi) * 900 - 0.5
    step = 900 * model.column_ns * 1e-9 * 10  # of the packets, in columns of the wall
    assert np.abs(columns - np.rint(columns)).max() < step / 2 + 2 * 900 / 36_000  # azimuths are rounded twice
    assert np.abs(np.rint(columns) % 900 % 256 - np.rint(got[:, 3] * 255)).max() == 0
    assert np.unique(np.round(np.degrees(np.arcsin(got[:, 2] / 12.0)), 1)).size == model.lasers
    clockwise = (0.5 - np.arctan2(got[:, 1], got[:, 0]) / (2 * np.pi)) % 1  # share of the turn from behind
    assert np.abs((clockwise - 1) * 0.1 - times)[(clockwise > 0.01) & (clockwise < 0.99)].max() < 2e-4


def test_turns_follow_each_other_at_the_rate():
    model = MODELS["HDL-32E"]
    turns = Turns(model, 10.0)
    packets = [packet for _ in range(10) for packet in turns.push(turn(model, 60))]
    assert packets[-1][0] == pytest.approx(1.0, abs=0.001)
    assert np.diff([at_s for at_s, _ in packets]).max() == pytest.approx(model.packet_ns(False) * 1e-9, rel=1e-6)


def test_nearer_points_stay_and_points_beside_the_beams_are_lost():
    model = MODELS["VLP-16"]
    points = np.array([[20, 0, 0.35, 1], [10, 0, 0.175, 0.2], [10, 0, 9, 1], [0, 0, 0, 1], [500, 0, 8.7, 1]], np.float32)
    turns = Turns(model, 10.0)
    packets = [packet for scan in (points, *[points[:0]] * 3) for packet in turns.push(scan)]
    got, *_ = cloud_of(scans_of([(round(at_s * 1e9), data) for at_s, data in packets], model, cut_deg=180.0).ready[0])
    assert len(got) == 1 and np.linalg.norm(got[0, :3]) == pytest.approx(10.0, abs=0.01) and got[0, 3] == pytest.approx(0.2)


def test_the_file_is_a_capture_and_empty_scans_send_packets(tmp_path):
    run_operator(Writer, [{"points": turn(MODELS["VLP-16"], 60)}, {"points": np.zeros((0, 4), np.float32)}],
                 config={"model": "VLP-16", "port": 2400}, out_dir=tmp_path)  # fmt: skip
    capture = Pcap(tmp_path / FILE)
    datagrams = list(capture)
    assert len(datagrams) == round(0.2 / (MODELS["VLP-16"].packet_ns(False) * 1e-9)) - 1 or len(datagrams) == 150
    assert {(d.port, len(d.data)) for d in datagrams} == {(2400, 1206)} and not capture.cut


@pytest.mark.parametrize(("config", "says"), [({"rate_hz": 50}, "needs 5..20"), ({"port": 0}, "needs 1..65535")])
def test_wrong_config(config, says):
    with pytest.raises(ValueError, match=says):
        WriterConfig(**config)
