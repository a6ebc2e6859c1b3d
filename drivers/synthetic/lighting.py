"""The light of a drive: day, dusk or night, a low sun ahead, headlights of the ego and of others, and the sensor in that light.

Light has no unit: 1 is a white face in the shade at noon after the exposure of that time of day. By day nothing is added
to sun and sky, and the image has no noise. A drive's light is a function of (seed, drive).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from drivers.synthetic.materials import HEADLIGHT, MATERIALS, TAIL_LIGHT
from drivers.synthetic.scene import Scene
from drivers.synthetic.street import CAR, TRUCK, VAN, Street
from operators.kernels import raster
from operators.kernels.chance import eight
from operators.kernels.glare import SPOT
from operators.kernels.shade import BOUNCE, CLOUD, DAY, GLOW, HORIZON, LAMP, SKYLIGHT, STREET, SUNLIGHT, ZENITH, Lamps

Hour = Literal["day", "dusk", "night"]
Light = Literal["day", "dusk", "night", "mixed"]

_LIGHT = 3  # key of the random numbers of a drive's light
_DAYS, _DUSKS = 0.4, 0.6  # of mixed drives: up to 0.4 day, up to 0.6 dusk, the others night
_DRIVEN_MPS = 0.3
_EGO_LAMP_M, _EGO_LAMP, _EGO_REACH_M = (1.6, 0.0, -1.05), 320.0, 75.0
_OTHER_LAMP, _OTHER_REACH_M, _OTHERS = 150.0, 26.0, 6
_LAMP_GLOW, _TAIL_GLOW = (9.0, 8.4, 7.4), (1.3, 0.05, 0.04)
_HIDDEN_M = 0.7  # a lamp shines over what is this much nearer: it lies in the body


class Lighting(NamedTuple):
    hour: Hour
    tones: np.ndarray
    """(8, 3) of operators/kernels/shade.py."""
    sun: np.ndarray
    """(3,) unit vector towards the sun, street frame."""
    shadows: bool
    sensor: tuple[float, float, float, float] | None
    """exposure, veil, read and shot noise of glare.develop; None: neither noise nor glare."""
    lamps: float
    """Gain of headlights, 0 = off."""
    lit: float
    """Share of the windows that are lit."""
    dazzle: float
    """0, or how strongly the sun or headlights dazzle."""


class Shine(NamedTuple):
    """What shines in one scene: the lamps of operators/kernels/shade.py, and points (S, 3) [m, velodyne] with light (S, 3) and
    radius_rad (S,), around which the lens scatters. far (S,) bool: in the sky, hidden by anything."""

    lamps: Lamps
    points: np.ndarray
    light: np.ndarray
    radius_rad: np.ndarray
    far: np.ndarray

    def spots(self, pixel: Callable[[np.ndarray], np.ndarray], focal_px: float, depth_m: np.ndarray) -> np.ndarray:
        """(N, SPOT) of those that are seen. pixel: (S, 3) -> (S, 3) u v depth; depth_m (H, W)."""
        rows, columns = depth_m.shape
        uvd = pixel(self.points)
        ahead = uvd[:, 2] > 0.5
        out = []
        for (u, v, depth), light, radius, far in zip(
            uvd[ahead].tolist(), self.light[ahead], self.radius_rad[ahead].tolist(), self.far[ahead].tolist(), strict=True
        ):
            i, j = round(v), round(u)
            if not (0 <= i < rows and 0 <= j < columns):
                continue
            if far:
                seen = float(np.isinf(depth_m[max(i - 3, 0) : i + 4, max(j - 3, 0) : j + 4]).mean())
            else:
                seen = float(depth_m[i, j] > depth - _HIDDEN_M)
            if seen > 0:
                out.append((u, v, radius * focal_px, *(seen * light)))
        return np.array(out, np.float64).reshape(-1, SPOT)


def _tones(**rows: tuple[float, float, float]) -> np.ndarray:
    names = {
        "sunlight": SUNLIGHT, "skylight": SKYLIGHT, "bounce": BOUNCE, "horizon": HORIZON, "zenith": ZENITH, "cloud": CLOUD,
        "glow": GLOW, "street": STREET,
    }  # fmt: skip
    tones = DAY.copy()
    for name, row in rows.items():
        tones[names[name]] = row
    return tones


_LOW_SUN = _tones(
    sunlight=(1.75, 1.22, 0.70), skylight=(0.30, 0.30, 0.36), horizon=(0.98, 0.74, 0.48), zenith=(0.12, 0.22, 0.46),
    cloud=(1.25, 1.02, 0.80), glow=(2.2, 1.6, 0.9),
)  # fmt: skip
_DUSK = _tones(
    sunlight=(0.0, 0.0, 0.0), skylight=(0.20, 0.22, 0.32), bounce=(0.07, 0.065, 0.07), horizon=(0.34, 0.21, 0.16),
    zenith=(0.030, 0.048, 0.12), cloud=(0.19, 0.14, 0.145), glow=(0.0, 0.0, 0.0), street=(0.06, 0.055, 0.05),
)  # fmt: skip
_NIGHT = _tones(
    sunlight=(0.0, 0.0, 0.0), skylight=(0.115, 0.092, 0.066), bounce=(0.05, 0.042, 0.034), horizon=(0.022, 0.018, 0.017),
    zenith=(0.003, 0.004, 0.008), cloud=(0.018, 0.015, 0.014), glow=(0.0, 0.0, 0.0), street=(0.012, 0.010, 0.008),
)  # fmt: skip
_UP = np.array([0.0, 0.0, 1.0])
DAYLIGHT = Lighting("day", DAY, _UP, True, None, 0.0, 0.0, 0.0)
"""`sun` is the street's."""


def hour_of(light: Light, street: Street) -> Hour:
    if light != "mixed":
        return light
    u = eight(street.seed, street.drive, _LIGHT, 0)[0]
    return "day" if u < _DAYS else "dusk" if u < _DUSKS else "night"


def lighting(light: Light, glare: float, street: Street) -> Lighting:
    """The light of a drive. glare: share of the drives that dazzle."""
    hour = hour_of(light, street)
    _, dazzled, turn, height, lit, gain, *_ = eight(street.seed, street.drive, _LIGHT, 0)
    dazzle = dazzled < glare
    if hour == "day" and not dazzle:
        return DAYLIGHT._replace(sun=_towards(*street.sun))
    if hour == "day":  # ahead, low, and inside the picture
        sun = _towards(0.36 * (turn - 0.5), 0.16 + 0.07 * height)
        return Lighting("day", _LOW_SUN, sun, True, (0.62, 0.06, 0.004, 0.012), 0.0, 0.0, 1.0)
    if hour == "dusk":
        sensor = (1.0, 0.0, 0.010, 0.022) if not dazzle else (0.7, 0.03, 0.009, 0.022)
        return Lighting("dusk", _DUSK, _UP, False, sensor, 0.35, 0.25 * lit, 2.0 * dazzle)
    tones = _NIGHT.copy()
    tones[[SKYLIGHT, BOUNCE]] *= 0.2 + 1.2 * gain * gain  # from a dark road to a lamplit street
    sensor = (1.0, 0.0, 0.007, 0.025) if not dazzle else (0.6, 0.02, 0.007, 0.025)
    return Lighting("night", tones, _UP, False, sensor, 1.0, 0.05 + 0.35 * lit, 3.0 * dazzle)


def shine(light: Lighting, scene: Scene) -> Shine | None:
    """None where nothing shines but sun and sky."""
    if light.sensor is None:
        return None
    if light.lamps == 0:  # only the sun dazzles
        ahead = scene.T_street_velo[:3, :3].T @ light.sun * 1e5
        colors = np.array([[60.0, 52.0, 40.0], [0.9, 0.75, 0.5]]) * light.dazzle
        lamps = Lamps(np.empty((0, LAMP)), MATERIALS.retro, np.empty((0, 3), np.float32), 0.0)
        return Shine(lamps, np.array([ahead, ahead]), colors, np.array([0.012, 0.16]), np.ones(2, np.bool_))
    objects = scene.objects
    driven = driven_vehicles(scene)
    beams = [_beam(scene.T_street_velo, _EGO_LAMP_M, (1.0, 0.0, -0.008), light.lamps * _EGO_LAMP, _EGO_REACH_M)]
    points: list[np.ndarray] = []
    colors_of: list[np.ndarray] = []
    radii: list[float] = []
    near = driven[np.argsort(np.hypot(*objects.boxes3d[driven, :2].T), kind="stable")]
    for k in near.tolist():
        x, y, z, length, width, height, yaw = objects.boxes3d[k].tolist()
        c, s = math.cos(yaw), math.sin(yaw)
        lamp_z = z - height / 2 + min(0.43 * height, 0.9)
        nose = (x + c * length / 2, y + s * length / 2, lamp_z)
        if len(beams) <= _OTHERS and nose[0] > -_OTHER_REACH_M:
            beams.append(_beam(scene.T_street_velo, nose, (c, s, -0.01), light.lamps * _OTHER_LAMP, _OTHER_REACH_M))
        for end, glow in ((1, np.array(_LAMP_GLOW)), (-1, 0.35 * np.array(_TAIL_GLOW))):
            for side in (-0.37, 0.37):
                at = np.array([x + end * c * length / 2 - s * side * width, y + end * s * length / 2 + c * side * width, lamp_z])
                distance = float(np.linalg.norm(at))
                facing = max(-end * (c * at[0] + s * at[1]) / max(distance, 1e-6), 0.0) ** 4
                power = facing * light.lamps / (1 + (distance / 25) ** 2)
                points += [at, at]
                colors_of += [glow * power, glow * power * (0.03 + 0.15 * light.dazzle)]
                radii += [0.0035, 0.025 + 0.012 * light.dazzle]
    emitted = np.zeros((len(scene.triangles), 3), np.float32)
    kinds = scene.materials & np.int32(raster.MATERIAL)
    of_driven = np.zeros(len(objects.labels) + 1, np.bool_)
    of_driven[driven] = True
    shining = of_driven[scene.owners]
    for kind, color in ((HEADLIGHT, _LAMP_GLOW), (TAIL_LIGHT, _TAIL_GLOW)):
        emitted[shining & (kinds == kind)] = np.array(color) * light.lamps
    lamps = Lamps(np.array(beams), MATERIALS.retro, emitted, light.lit)
    count = len(points)
    return Shine(
        lamps,
        np.array(points).reshape(count, 3),
        np.array(colors_of).reshape(count, 3),
        np.array(radii),
        np.zeros(count, np.bool_),
    )


def driven_vehicles(scene: Scene) -> np.ndarray:
    """Indices of the objects that are vehicles and move."""
    objects = scene.objects
    moving = np.linalg.norm(objects.velocities, axis=1) > _DRIVEN_MPS
    return np.flatnonzero(moving & np.isin(objects.labels, (CAR, VAN, TRUCK)))


def _beam(
    T_street_velo: np.ndarray, at: tuple[float, float, float], axis: tuple[float, float, float], light: float, reach_m: float
) -> tuple[float, ...]:
    """One row of Lamps.beams, in the street frame."""
    where = T_street_velo[:3, :3] @ at + T_street_velo[:3, 3]
    along = T_street_velo[:3, :3] @ axis
    return (*where.tolist(), *(along / np.linalg.norm(along)).tolist(), light, reach_m**2)


def _towards(azimuth: float, elevation: float) -> np.ndarray:
    return np.array([math.cos(azimuth) * math.cos(elevation), math.sin(azimuth) * math.cos(elevation), math.sin(elevation)])
