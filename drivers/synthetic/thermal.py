"""A thermal camera in the scenes of the generated world: temperatures by material, class and hour, and the camera's gain.

Counts are 100 per kelvin (300 K = 30,000). Which object is warm is a function of (seed, drive, track id), the weather of
(seed, drive); the fixed pattern belongs to the seed, the temporal noise to (seed, drive, frame).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from drivers.synthetic import materials as m
from drivers.synthetic.camera import Eye
from drivers.synthetic.lighting import Hour, driven_vehicles
from drivers.synthetic.scene import KEYS_PER_PIECE, Scene
from drivers.synthetic.street import CYCLIST, PEDESTRIAN, Street
from operators.geometry.transforms import rigid
from operators.kernels import heat, raster
from operators.kernels.chance import eight
from operators.streams import Calibration

PER_KELVIN = 100.0
ZERO_C = 273.15
_WEATHER, _OBJECT, _PATTERN = 4, 5, 6  # keys of the random numbers
_SUN = {"day": 1.0, "dusk": 0.45, "night": 0.12}  # what is left of the day's sun in the ground
_LEAST_SPAN_K = 6.0  # of the gain control: a scene of one temperature is not stretched into noise
_PARKED_WARM = 0.12  # share of the vehicles that stand with a warm engine


@dataclass(frozen=True, slots=True)
class ThermalConfig:
    """Registered with the RGB camera unless size, view, place or direction differ."""

    width: int | None = None  # None: of the RGB camera
    height: int | None = None
    view_deg: float | None = None  # width of its view; None: that of the RGB camera
    offset_m: tuple[float, float, float] = (0.0, 0.0, 0.0)  # forward, left, up from the RGB camera
    turn_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)  # left, down, clockwise against the RGB camera
    align_m: float = 25.0  # distance at which the static port `homography` is exact if the cameras stand apart
    gain: Literal["percentile", "fixed"] = "percentile"  # how the 8-bit picture is made
    percentiles: tuple[float, float] = (18.0, 99.8)  # become black (half of the sky) and white
    range_c: tuple[float, float] = (-10.0, 45.0)  # of gain fixed
    background: float = 0.15  # share of the objects that are as warm as what is behind them
    noise_k: float = 0.06  # standard deviation of the temporal noise; the fixed pattern has two thirds of it
    blur: float = 0.6  # share of the mean of 3 x 3 pixels

    def __post_init__(self) -> None:
        limits: dict[str, tuple[float, float]] = {"align_m": (1, 1e6), "background": (0, 1), "noise_k": (0, 10), "blur": (0, 1)}
        limits |= {key: (16, 2048) for key in ("width", "height") if getattr(self, key) is not None}
        if self.view_deg is not None:
            limits["view_deg"] = (5, 120)
        for key, (low, high) in limits.items():
            if not low <= getattr(self, key) <= high:
                raise ValueError(f"{key}: needs {low}..{high}, got {getattr(self, key)}")
        for key, most in (("offset_m", 2.0), ("turn_deg", 30.0)):
            if not all(abs(value) <= most for value in getattr(self, key)):
                raise ValueError(f"{key}: needs numbers within {most:g}, got {list(getattr(self, key))}")
        for key, low, high in (("percentiles", 0.0, 100.0), ("range_c", -100.0, 300.0)):
            first, last = getattr(self, key)
            if not low <= first < last <= high:
                raise ValueError(f"{key}: needs two rising numbers {low:g}..{high:g}, got {[first, last]}")


class Mounted(NamedTuple):
    """calibration of the thermal camera; homography (3, 3) float64: thermal [u v 1] ~ homography @ image [u v 1]; registered:
    both cameras are one."""

    calibration: Calibration
    homography: np.ndarray
    registered: bool


def mount(config: ThermalConfig, image: Calibration) -> Mounted:
    """image: calibration of the RGB camera."""
    wide, high = image.image_size.tolist()
    columns, rows = config.width or wide, config.height or high
    focal, cx, cy = image.P_cam[0, 0], image.P_cam[0, 2], image.P_cam[1, 2]
    ratio = columns / wide if config.view_deg is None else columns / 2 / math.tan(math.radians(config.view_deg) / 2) / focal
    K = np.array([[focal, 0, cx], [0, focal, cy], [0, 0, 1.0]])
    # the same point of the sensor's area lies on the axis; pixel centres are whole numbers
    K_thermal = np.array(
        [[focal * ratio, 0, (cx + 0.5) * columns / wide - 0.5], [0, focal * ratio, (cy + 0.5) * rows / high - 0.5], [0, 0, 1.0]]
    )
    left, down, roll = np.radians(config.turn_deg)
    forward_m, left_m, up_m = config.offset_m
    at = np.array([-left_m, -up_m, forward_m])  # camera axes: right, down, forward
    R = _about(2, roll) @ _about(0, -down) @ _about(1, -left)
    T_thermal_image = rigid(R, -R @ at)
    plane = np.array([0, 0, 1 / config.align_m])
    H = K_thermal @ (R + np.outer(T_thermal_image[:3, 3], plane)) @ np.linalg.inv(K)
    registered = (columns, rows) == (wide, high) and ratio == 1 and not any((*config.offset_m, *config.turn_deg))
    if registered:
        return Mounted(image, np.eye(3), True)
    P_cam = np.column_stack([K_thermal, np.zeros(3)])
    calibration = Calibration(P_cam, T_thermal_image @ image.T_cam_velo, np.array([columns, rows], np.int32))
    return Mounted(calibration, H / H[2, 2], False)


def _about(axis: int, angle: float) -> np.ndarray:
    """(3, 3): turns the axes of a camera about one of them, right-handed."""
    c, s = math.cos(angle), math.sin(angle)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    R = np.eye(3)
    R[i, i], R[i, j], R[j, i], R[j, j] = c, s, -s, c
    return R


_ROWS: dict[int, tuple[float, float, float, float, float]] = {
    # material: above the air, more after sun [K], emissivity, patches [K], share of skin
    m.ASPHALT: (1.5, 7.0, 0.95, 0.5, 0), m.SIDEWALK: (1.0, 5.5, 0.94, 0.4, 0), m.KERB: (1.0, 5.0, 0.94, 0.2, 0),
    m.GRASS: (-2.0, 3.5, 0.98, 0.9, 0), m.SOIL: (0.0, 8.0, 0.95, 0.8, 0), m.LANE_MARK: (1.0, 5.0, 0.92, 0.3, 0),
    m.BUILDING: (1.5, 5.0, 0.94, 0.4, 0), m.WINDOW: (1.5, 3.0, 0.86, 0.0, 0), m.ROOF: (-2.5, 15.0, 0.93, 0.3, 0),
    m.WALL: (1.0, 8.0, 0.94, 0.5, 0), m.FENCE: (0.0, 4.0, 0.94, 0.3, 0), m.FOLIAGE: (0.0, 1.0, 0.98, 0.5, 0),
    m.TRUNK: (0.5, 2.0, 0.96, 0.3, 0), m.POLE: (0.0, 3.0, 0.85, 0.0, 0), m.SIGN: (-0.5, 4.0, 0.80, 0.0, 0),
    m.METAL: (-0.5, 5.0, 0.80, 0.2, 0), m.CAR_PAINT: (-1.0, 9.0, 0.90, 0.2, 0), m.CAR_GLASS: (0.0, 5.0, 0.85, 0.0, 0),
    m.CAR_PLASTIC: (0.0, 7.0, 0.94, 0.2, 0), m.HEADLIGHT: (0.0, 5.0, 0.88, 0.0, 0), m.TAIL_LIGHT: (0.0, 5.0, 0.90, 0.0, 0),
    m.PLATE: (-0.5, 6.0, 0.85, 0.0, 0), m.TYRE: (0.0, 6.0, 0.95, 0.1, 0), m.SKIN: (0.0, 0.0, 0.98, 0.2, 1.0),
    m.HAIR: (0.0, 0.0, 0.97, 0.3, 0.7), m.CLOTH: (0.3, 2.0, 0.95, 0.5, -1.0), m.SHOE: (0.0, 0.0, 0.94, 0.2, 0.25),
}  # fmt: skip
_TABLE = np.array([_ROWS[kind] for kind in range(len(m.MATERIALS.names))], np.float64)
_STEEL = (m.CAR_PAINT, m.CAR_PLASTIC, m.HEADLIGHT, m.PLATE)
_PARTS = np.array([heat.WHEEL if k == m.TYRE else heat.STEEL if k in _STEEL else 0 for k in range(len(_TABLE))], np.int32)


class ThermalCamera:
    """Measures what an eye has looked at; keeps buffers between pictures."""

    def __init__(self, config: ThermalConfig, seed: int, eye: Eye) -> None:
        self.config, self.seed, self.eye = config, seed, eye
        rows, columns = eye.size
        self._kelvin = np.empty(eye.size, np.float32)
        cells = max(-(-rows // 4), 2), max(-(-columns // 4), 2)
        self._cells, self._work = np.zeros(cells, np.float32), np.zeros(cells, np.float32)
        self._of_triangle = np.empty(1024, np.float32)
        random = np.random.Generator(np.random.PCG64([seed, _PATTERN]))
        fixed = 2 / 3 * config.noise_k
        self._columns = (0.6 * fixed * random.standard_normal(columns)).astype(np.float32)
        self._pixels = (0.8 * fixed * random.standard_normal(eye.size)).astype(np.float32)

    def measure(self, scene: Scene, street: Street, hour: Hour, sun: np.ndarray, seed: int, counts: np.ndarray) -> None:
        """counts (H, W) uint16 of what the eye has looked at; sun (3,): of the street by day; seed: of the frame's noise."""
        eye, grid, T = self.eye, self.eye.grid, scene.T_street_velo
        count = len(scene.triangles)
        if count > len(self._of_triangle):
            self._of_triangle = np.empty(count + count // 4, np.float32)
        kelvin = self._of_triangle[:count]
        air, table = weather(street, hour)
        objects = heat_of(scene, street, air, table, self.config.background)
        kinds, view = scene.materials & np.int32(raster.MATERIAL), eye.view(T)
        own_seed, pieces = street.seed ^ (street.drive << 20), scene.keys // KEYS_PER_PIECE
        heat.warm(
            scene.triangles, kinds, scene.owners, pieces, scene.colors, table, objects, T, view.eye, sun, air, own_seed,
            grid.boxes, kelvin,
        )  # fmt: skip
        noise = heat.Noise(self._columns, self._pixels, self.config.noise_k, seed)

        def draw(first: int, end: int) -> None:
            heat.see(
                grid.values, grid.index, kelvin, kinds, scene.owners, table, _PARTS, m.MATERIALS.pattern, objects, view, air,
                first, end, self._kelvin,
            )  # fmt: skip

        rows = eye.size[0]
        eye.bands(rows, draw)
        blooms = heat.blooming(self._kelvin, air.bloom, self._cells, self._work)

        def read(first: int, end: int) -> None:
            heat.measure(self._kelvin, self.config.blur, self._cells, blooms, noise, PER_KELVIN, first, end, counts)

        eye.bands(rows, read)


def weather(street: Street, hour: Hour) -> tuple[heat.Air, np.ndarray]:
    """Of a drive, and the table of materials in it."""
    warmth, cover, sunny, *_ = eight(street.seed, street.drive, _WEATHER, 0)
    air = ZERO_C + 3.0 + 24.0 * warmth - {"day": 0.0, "dusk": 2.0, "night": 5.0}[hour]
    clear = 1.0 - 0.8 * cover
    sun = _SUN[hour] * (0.35 + 0.65 * sunny * clear)
    table = _TABLE.copy()
    table[:, heat.SUNNY] *= sun
    direct = 5.0 * sun if hour == "day" else 0.0
    return heat.Air(air, air - 2.0 - 3.0 * clear, air - 5.0 - 17.0 * clear, direct, air + 22.0), table


def heat_of(scene: Scene, street: Street, air: heat.Air, table: np.ndarray, background: float) -> np.ndarray:
    """(M + 1, OBJECT) of the objects; the last row is no object."""
    objects, T = scene.objects, scene.T_street_velo
    rows = np.zeros((len(objects.labels) + 1, heat.OBJECT))
    behind = air.air + float(np.mean(table[[m.ASPHALT, m.BUILDING, m.WALL, m.FOLIAGE]][:, :2].sum(1)))
    driven = set(driven_vehicles(scene).tolist())
    for k, (label, track_id, box) in enumerate(
        zip(objects.labels.tolist(), objects.track_ids.tolist(), objects.boxes3d, strict=True)
    ):
        row = rows[k]
        flat, power, clothed, warm_parked, skin, spread, *_ = eight(street.seed, street.drive, _OBJECT, track_id)
        if flat < background:
            row[heat.FLAT] = behind + 1.2 * (spread - 0.5)
        if label in (PEDESTRIAN, CYCLIST):
            row[heat.SKIN] = ZERO_C + 33.0 - 0.30 * max(ZERO_C + 24.0 - air.air, 0.0) + 2.0 * (skin - 0.5)
            row[heat.CLOTHED] = 0.15 + 0.35 * clothed
        elif k in driven:
            row[heat.ENGINE], row[heat.WHEELS] = 10.0 + 14.0 * power, 6.0 + 14.0 * spread
        elif warm_parked < _PARKED_WARM:
            row[heat.ENGINE], row[heat.WHEELS] = 6.0 + 8.0 * power, 2.0
        heading = T[:3, :3] @ (math.cos(box[6]), math.sin(box[6]), 0.0)
        where = T[:3, :3] @ box[:3] + T[:3, 3]
        norm = math.hypot(heading[0], heading[1])
        row[heat.PLACE :] = (where[0], where[1], heading[0] / norm, heading[1] / norm, box[3])
    return rows


def gain_control(counts: np.ndarray, config: ThermalConfig, out: np.ndarray) -> None:
    """counts (H, W) uint16 -> out (H, W) uint8: the camera's own gain control, linear between two temperatures."""
    if config.gain == "fixed":
        low, high = ((value + ZERO_C) * PER_KELVIN for value in config.range_c)
    else:
        until = np.cumsum(np.bincount(counts.ravel(), minlength=2))
        low, high = (float(np.searchsorted(until, share / 100 * counts.size)) for share in config.percentiles)
        missing = _LEAST_SPAN_K * PER_KELVIN - (high - low)
        if missing > 0:
            low, high = low - missing / 2, high + missing / 2
    top = int(counts.max(initial=0))
    shades = np.rint(np.clip((np.arange(top + 1) - low) * (255 / (high - low)), 0, 255)).astype(np.uint8)
    np.take(shades, counts, out=out)
