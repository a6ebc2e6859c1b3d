"""`pipe bench world`: ray casting of the generated world compared with Open3D, and the cost of one step.

Rays: 64 beams x 1800 columns at 80 objects, twice: boxes on a plain, and complete streets. Ours needs only the triangles;
Open3D's RaycastingScene builds its tree first in each round, since everything may have moved (the cast alone is also shown).
Both alternate; rays with different hits are counted. Without Open3D (extra `open3d`): ours alone.
Step: LiDAR 64 x 2155, camera 640 x 192 and truth, of three drives.
Writes bench/results/world-<machine>.json.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import numpy as np

from bench.common import RESULTS, header, quantile, save
from bench.rivals import open3d
from bench.rivals.open3d import RANGE_M, milliseconds
from drivers.synthetic import materials, mesh
from drivers.synthetic.scene import Objects, Placed, Scene, Stage
from drivers.synthetic.street_layout import make_street
from drivers.synthetic.world import SyntheticWorld, WorldConfig
from operators.streams import CLASSES
from pipeline.operator import prepare

OBJECTS, SCENES, ROUNDS = 80, 5, 9
DRIVES, STEPS = 3, 40
THREADS = 2
FRAMES_PER_S = 15.0
"""The aim, on two cores."""
_HEIGHT_M = 1.73
_NEAREST_M, _FARTHEST_M, _APART_M = 6.0, 60.0, 4.0
_SIZES_M = {"Car": (4.2, 1.8, 1.5), "Pedestrian": (0.6, 0.6, 1.7), "Cyclist": (1.8, 0.6, 1.7)}


def main(rounds: int = ROUNDS, steps: int = STEPS, results: Path = RESULTS) -> dict[str, Any]:
    data = f"generated: {OBJECTS} objects on {SCENES} plains and in {SCENES} streets; {DRIVES} drives of {steps} steps"
    about = header("pipe bench world", data)
    cases = {"boxes": [plain(k) for k in range(SCENES)], "street": [street(k) for k in range(SCENES)]}
    out: dict[str, Any] = {"about": about, "rays": {}, "figures": {}}
    for name, scenes in cases.items():
        out["rays"][name] = row = open3d.compare(scenes, rounds, THREADS)
        out["figures"] |= {f"{name}.{what}": value for what, value in row.items() if what.endswith("_ms")}
        print(open3d.line(name, row))
    out["step"] = step = measure_steps(steps)
    out["figures"]["step.step_ms"] = step["p50"]
    print(f"step: {step['p50']:.2f} ms (p90 {step['p90']:.2f}), {1e3 / step['p50']:.1f} frames/s (aim {FRAMES_PER_S:g})")
    save(results, "world", out)
    return out


def plain(number: int) -> Scene:
    """Boxes of the sizes of cars, pedestrians and cyclists on flat ground."""
    random = np.random.default_rng([number, 1])
    parts, owners = [], []
    for k, (label, x, y, yaw) in enumerate(_places(random, OBJECTS, np.zeros((0, 2)))):
        body = mesh.box(_SIZES_M[CLASSES[label]], materials.CAR_PAINT, (0.4, 0.4, 0.4)).moved(x, y, -_HEIGHT_M, yaw)
        parts.append(body)
        owners += [k] * len(body.triangles)
    a = 2 * RANGE_M
    corners = np.array([[-a, -a, -_HEIGHT_M], [a, -a, -_HEIGHT_M], [a, a, -_HEIGHT_M], [-a, a, -_HEIGHT_M]])
    parts.append(mesh.of_faces(corners, [[0, 1, 2, 3]], materials.ASPHALT, (0.1, 0.1, 0.1)))
    whole = mesh.join(parts)
    count = len(whole.triangles)
    objects = Objects(np.zeros((OBJECTS, 7)), np.zeros(OBJECTS, np.int32), np.arange(OBJECTS), np.zeros((OBJECTS, 3)))
    reflectance = materials.MATERIALS.lidar_reflectance[whole.materials]
    return Scene(
        whole.triangles, whole.materials, whole.colors, np.array([*owners, -1, -1]), reflectance, np.arange(count), objects,
        np.eye(4), np.zeros(3), 0.0,
    )  # fmt: skip


def street(number: int) -> Scene:
    """The first streets with at most 80 objects in range, filled up to exactly 80 in free places. Foliage is solid."""
    stage, found = Stage("train"), -1
    for drive in range(1000):
        made = make_street(7, drive, None, None, 1.0)
        own = stage.build(made, 5.0, RANGE_M).objects
        found += len(own.labels) <= OBJECTS
        if found == number:
            break
    random = np.random.default_rng([number, 2])
    ego_x, ego_y, *_ = made.ego(5.0)
    free = _places(random, OBJECTS - len(own.labels), own.boxes3d[:, :2])
    placed = tuple(Placed(label, ego_x + x, ego_y + y, yaw, k) for k, (label, x, y, yaw) in enumerate(free))
    scene = stage.build(made, 5.0, RANGE_M, placed)
    still = scene.objects._replace(velocities=np.zeros((OBJECTS, 3)))
    return scene._replace(objects=still, ego_velocity=np.zeros(3), ego_yaw_rate=0.0)


def _places(random: np.random.Generator, count: int, taken: np.ndarray) -> list[tuple[int, float, float, float]]:
    """(label, x, y, yaw) within 6..60 m, far enough from each other and from `taken` (M, 2) that they hardly touch."""
    out: list[tuple[int, float, float, float]] = []
    while len(out) < count:
        r, azimuth = random.uniform(_NEAREST_M, _FARTHEST_M), random.uniform(-np.pi, np.pi)
        at = np.array([r * np.cos(azimuth), r * np.sin(azimuth)])
        if len(taken) and np.linalg.norm(taken - at, axis=1).min() < _APART_M:
            continue
        taken = np.concatenate([taken, at[None]])
        label = CLASSES.index(tuple(_SIZES_M)[len(out) % 3])
        out.append((label, float(at[0]), float(at[1]), random.uniform(-np.pi, np.pi)))
    return out


def measure_steps(steps: int) -> dict[str, float]:
    """Milliseconds of a step, without the first step of a drive, which builds bodies and street."""
    wanted = ("points", "image", "truth")
    world = prepare(SyntheticWorld(), "world", WorldConfig(drives=DRIVES, frames=steps + 1), threads=THREADS, wanted=wanted)
    world.open()
    world.read()  # compiles
    world.number = 0
    times = [milliseconds(world.read) for _ in range(DRIVES * (steps + 1))]
    world.close()
    kept = [ms for number, ms in enumerate(times) if number % (steps + 1)]
    return {"p50": statistics.median(kept), "p90": quantile(kept, 0.9)}
