"""Packets made by the manual's layout (drivers/velodyne/encode.py), and a made-up laser table."""

import numpy as np
import pytest

from drivers.velodyne.encode import turning
from drivers.velodyne.models import MODELS


@pytest.fixture(scope="session")
def hdl64(tmp_path_factory):
    """A made-up laser table of an HDL-64E, in the layout of the ROS driver."""
    path = tmp_path_factory.mktemp("lasers") / "hdl64.yaml"
    rng = np.random.default_rng(64)
    lines = ["num_lasers: 64", "distance_resolution: 0.002", "lasers:"]
    for n in rng.permutation(64):
        far, near_x, near_y = 1.2 + rng.random(3) * 0.3
        lines.append(
            f"- {{laser_id: {n}, rot_correction: {rng.uniform(-0.1, 0.1):.6f}, vert_correction: {0.03 - n * 0.007:.6f}, "
            f"dist_correction: {far:.6f}, dist_correction_x: {near_x:.6f}, dist_correction_y: {near_y:.6f}, "
            f"vert_offset_correction: {rng.uniform(0.1, 0.2):.6f}, horiz_offset_correction: {0.026 * (-1) ** n}, "
            f"focal_distance: {rng.uniform(2, 20):.3f}, focal_slope: {rng.uniform(0.5, 2):.3f}, "
            "min_intensity: 30, max_intensity: 235}"
        )
    path.write_text("\n".join(lines))
    return str(path)


@pytest.fixture
def lasers_of(hdl64):
    """Model -> its laser table's file."""
    return lambda model: hdl64 if model.lasers == 64 else ""


@pytest.fixture
def vlp16():
    """Packets of a VLP-16 that stands at 300 degrees at the start: 60 degrees, two whole scans, 156 degrees; an hour ends."""
    return list(turning(MODELS["VLP-16"], 2.6, start_deg=300.0, start_us=3_599_900_000))
