"""The kernel against an obvious twin and velodyne-decoder, for all models, on packets made by the manual's layout."""

import math
import struct
from pathlib import Path

import numpy as np
import pytest
from velodyne_scans import cloud_of, scans_of

from drivers.velodyne.calibration import calibration_of
from drivers.velodyne.decode import Decoder
from drivers.velodyne.encode import encode, turning
from drivers.velodyne.models import MODELS
from operators.kernels import velodyne as kernel

CASES = [(name, dual) for name in MODELS if name != "Puck LITE" for dual in (False, True)]


def naive(scan, lasers):
    """One return after another, in the words of the manual; float64."""
    model, table = scan.model, calibration_of(scan.model, lasers)
    rows = []
    for p, packet in enumerate(scan.packets.tolist()):
        data = bytes(packet)
        stride = model.blocks * (2 if scan.duals[p] else 1)
        azimuths = [struct.unpack_from("<H", data, 100 * b + 2)[0] for b in range(12)]
        steps = [(azimuths[b + stride] - azimuths[b]) % 36000 for b in range(12 - stride)]
        steps += steps[-stride:]
        for b in range(12):
            for j in range(32):
                half = j // (32 // model.halves)
                column = b // stride * model.halves + half
                if (p == 0 and column < scan.first) or (p == len(scan.packets) - 1 and column >= scan.stop):
                    continue
                count, strength = struct.unpack_from("<HB", data, 100 * b + 4 + 3 * j)
                twin = b - model.blocks if b % stride >= model.blocks else b
                if not count or (twin != b and count == struct.unpack_from("<H", data, 100 * twin + 4 + 3 * j)[0]):
                    continue
                laser = table.lasers[j % (32 // model.halves) + 32 * (b % model.blocks)]
                angle = azimuths[b] + math.floor(steps[b] * model.ticks[j] / model.cycle + 0.5 + 1e-9)
                a = math.radians(angle / 100) - laser[kernel.ROT]
                away = count * table.distance_m + laser[kernel.FAR]
                flat, up = away * laser[kernel.COS], away * laser[kernel.SIN]
                x, y = flat * math.cos(a), flat * math.sin(a)
                if table.exact:
                    side, offset = laser[kernel.SIDE], laser[kernel.UP]
                    x, y = x + side * math.sin(a), y - side * math.cos(a)
                    more_x = more_y = 0.0
                    if laser[kernel.TWO_POINT] and count * table.distance_m < 25:
                        far, near_x, near_y = laser[kernel.FAR], laser[kernel.FAR_X], laser[kernel.FAR_Y]
                        more_x = (far - near_x) * (abs(y) - 2.4) / 22.64 + near_x - far
                        more_y = (far - near_y) * (abs(x) - 1.93) / 23.11 + near_y - far
                    x += more_y * laser[kernel.COS] * math.cos(a)
                    y += more_x * laser[kernel.COS] * math.sin(a)
                    up = (away + (more_x + more_y) / 2) * laser[kernel.SIN] + offset
                    bend = abs(laser[kernel.FOCAL] - (1 - count / 65535) ** 2)
                    strength = min(max(strength + 256 * laser[kernel.SLOPE] * bend, laser[kernel.LEAST]), laser[kernel.MOST])
                ns = int(scan.starts_ns[p]) + (b // stride * model.cycle + model.ticks[j]) * model.tick_ns - scan.end_ns
                rows.append((x, -y, up, strength / 255, laser[kernel.RING], ns * 1e-9))
    return np.array(rows).reshape(-1, 6)


@pytest.mark.parametrize("name, dual", CASES)
def test_the_kernel_equals_the_twin(name, dual, lasers_of):
    model = MODELS[name]
    scan = scans_of(list(turning(model, 0.04, dual=dual, start_deg=350, seed=3)), model).ready[-1]
    points, rings, times = cloud_of(scan, lasers_of(model))
    expected = naive(scan, lasers_of(model))
    assert len(points) == len(expected) > 100 and scan.dual is dual
    np.testing.assert_allclose(points, expected[:, :4], rtol=1e-6, atol=1e-5)
    assert rings.tolist() == expected[:, 4].tolist()
    np.testing.assert_allclose(times, expected[:, 5], atol=1e-8)
    assert times.max() <= 0


def table_of(model):
    """The manual's table in the layout of the ROS driver."""
    lines = [f"num_lasers: {model.lasers}", f"distance_resolution: {model.distance_m}", "lasers:"]
    for n, (up, aside) in enumerate(zip(model.vertical_deg, model.azimuth_deg, strict=True)):
        lines.append(f"- {{laser_id: {n}, rot_correction: {-math.radians(aside)}, vert_correction: {math.radians(up)}}}")
    return "\n".join(lines)


@pytest.mark.parametrize("name, dual", CASES)
def test_the_kernel_equals_velodyne_decoder(name, dual, lasers_of):
    vd = pytest.importorskip("velodyne_decoder", reason="needs the extra test: velodyne-decoder")
    model = MODELS[name]
    packets = list(turning(model, 0.05, dual=dual, start_deg=10, seed=4))
    theirs = {"HDL-64E": "HDL64E_S2", "HDL-64E S3": "HDL64E_S3", "Puck Hi-Res": "PuckHiRes"}.get(name, name.replace("-", ""))
    text = Path(lasers_of(model)).read_text() if model.lasers == 64 else table_of(model)  # their own has offsets of millimetres
    table = vd.Calibration.from_string(text)
    config = vd.Config(model=getattr(vd.Model, theirs), min_range=0.0, max_range=1000.0, calibration=table)
    given = vd.PacketVector([vd.VelodynePacket(1.7e9 + ns * 1e-9, data) for ns, data in packets])
    _, other = vd.ScanDecoder(config).decode(given)
    points, rings, times = cloud_of(scans_of(packets, model).ready[0], lasers_of(model))
    assert len(points) == len(other) > 100
    slack_m = 0.03 if model.lasers == 64 else 1e-3  # of those whose correction for short range begins or ends between the two
    away, away_other = np.linalg.norm(points[:, :3], axis=1), np.linalg.norm(other[:, :3], axis=1)
    assert abs(np.sort(away) - np.sort(away_other)).max() < slack_m
    assert sorted(rings) == sorted(model.lasers - 1 - other[:, 6])
    if dual:  # the two returns of a firing come in another order
        return
    assert rings.tolist() == (model.lasers - 1 - other[:, 6]).tolist()
    np.testing.assert_allclose(points[:, 3] * 255, other[:, 3], atol=1e-3)
    np.testing.assert_allclose(np.diff(times), np.diff(other[:, 4]), atol=1e-6)
    # they take one speed for a packet, we one for each block: 0.01 degrees, and as much from rounding
    error_m = np.linalg.norm(points[:, :3] - other[:, :3], axis=1)
    assert (error_m < away * np.radians(0.021) + slack_m).all()


def test_axes_and_units():
    """At azimuth 0 a laser looks ahead, at 90 degrees to the right: our y is left."""
    model = MODELS["VLP-16"]
    counts, strengths = np.zeros((12, 32), int), np.zeros((12, 32), int)
    counts[:2, 1], strengths[:2, 1] = 5000, (255, 51)  # laser 1: 1 degree up, 10 m
    azimuths = np.array([0, 9000, *range(9001, 9011)])
    scan = scans_of([(0, encode(model, 0, azimuths, counts, strengths))]).ready[0]
    points, rings, _ = cloud_of(scan)
    flat, up = 10 * math.cos(math.radians(1)), 10 * math.sin(math.radians(1))
    np.testing.assert_allclose(points, [[flat, 0, up, 1], [0, -flat, up, 0.2]], atol=2e-3)
    assert rings.tolist() == [7, 7]


def test_a_sector_that_is_left_out_is_no_speed():
    model = MODELS["VLP-16"]
    steps = np.zeros(12, np.int64)
    azimuths = np.array([100, 120, 140, 9000, 9020, 9040, 9060, 9080, 9100, 9120, 9140, 9160])
    data = encode(model, 0, azimuths, np.zeros((12, 32), int), np.zeros((12, 32), int))
    kernel.steps_of(np.frombuffer(data, np.uint8), 1, steps)
    assert steps.tolist() == [20] * 12


def test_no_returns_range_limits_and_room(vlp16):
    model = MODELS["VLP-16"]
    empty = encode(model, 0, np.arange(12) * 20, np.zeros((12, 32), int), np.zeros((12, 32), int))
    assert len(cloud_of(scans_of([(0, empty)]).ready[0])[0]) == 0
    scan = scans_of(vlp16).ready[1]
    points, _, _ = cloud_of(scan)
    away = np.linalg.norm(points[:, :3], axis=1)
    kept, _, _ = cloud_of(scan, least_m=10.0, most_m=20.0)
    assert len(kept) == ((away >= 10) & (away <= 20)).sum() and 0 < len(kept) < len(points)
    few = np.empty((100, 4), np.float32)
    assert Decoder(model, calibration_of(model)).fill(scan, few) == (100, len(points) - 100)
    np.testing.assert_array_equal(few, points[:100])
