"""Bodies of road users: each seed gives another one. On z = 0 at the origin, facing along x [m].

Two families share no body: `train` and `test`. They differ in their random numbers and in their outlines, so a detector
trained on the first has seen no shape of the second.
Sizes are spread around KITTI's means (Car 3.9 x 1.6 x 1.5, Pedestrian 0.8 x 0.6 x 1.75, Cyclist 1.76 x 0.6 x 1.73).
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np

from drivers.synthetic.materials import (
    CAR_GLASS,
    CAR_PAINT,
    CAR_PLASTIC,
    CLOTH,
    HAIR,
    HEADLIGHT,
    METAL,
    PLATE,
    SHOE,
    SKIN,
    TAIL_LIGHT,
    TYRE,
)
from drivers.synthetic.mesh import Color, Mesh, blob, box, ellipse, hoop, join, limb, loft, of_faces, wheel

Family = Literal["train", "test"]
FAMILIES: tuple[Family, ...] = ("train", "test")


class Body(NamedTuple):
    """size: l, w, h of the box an annotator would draw [m]: without mirrors, with the whole stride of a walker."""

    mesh: Mesh
    size: tuple[float, float, float]


_TYRE_COLOR, _GLASS_COLOR, _PLASTIC_COLOR = (0.02, 0.02, 0.022), (0.03, 0.038, 0.045), (0.03, 0.03, 0.032)
_PAINTS: tuple[Color, ...] = (
    (0.75, 0.75, 0.74), (0.50, 0.51, 0.52), (0.20, 0.21, 0.22), (0.03, 0.03, 0.035), (0.05, 0.08, 0.22), (0.35, 0.03, 0.03),
    (0.10, 0.16, 0.10), (0.55, 0.45, 0.10), (0.10, 0.25, 0.40), (0.30, 0.26, 0.20),
)  # fmt: skip

# Outlines of the body: (x, z of the upper edge) from tail to nose; x in 0..1 of the length, z in 0..1 of
# the height. Between the belt line (z about 0.6) and the roof the sides are glass and lean inwards.
_Outline = tuple[tuple[float, float], ...]
_OUTLINES: dict[Family, dict[str, _Outline]] = {
    "train": {
        "hatchback": ((0.0, 0.62), (0.06, 0.92), (0.30, 1.0), (0.55, 0.98), (0.72, 0.66), (0.96, 0.56), (1.0, 0.40)),
        "sedan": ((0.0, 0.62), (0.14, 0.68), (0.27, 0.97), (0.45, 1.0), (0.55, 0.97), (0.70, 0.66), (0.96, 0.54), (1.0, 0.38)),
        "estate": ((0.0, 0.64), (0.04, 0.95), (0.35, 1.0), (0.56, 0.97), (0.71, 0.66), (0.97, 0.55), (1.0, 0.40)),
        "suv": ((0.0, 0.62), (0.04, 0.93), (0.35, 1.0), (0.60, 0.98), (0.72, 0.68), (0.96, 0.62), (1.0, 0.44)),
        "minivan": ((0.0, 0.60), (0.04, 0.95), (0.35, 1.0), (0.60, 0.97), (0.82, 0.62), (0.97, 0.52), (1.0, 0.38)),
        "van": ((0.0, 0.97), (0.03, 1.0), (0.55, 1.0), (0.78, 0.97), (0.89, 0.58), (0.98, 0.46), (1.0, 0.34)),
    },
    "test": {
        "hatchback": ((0.0, 0.58), (0.09, 0.88), (0.36, 1.0), (0.50, 0.99), (0.69, 0.64), (0.95, 0.53), (1.0, 0.37)),
        "sedan": ((0.0, 0.66), (0.18, 0.66), (0.31, 0.95), (0.42, 1.0), (0.52, 0.96), (0.66, 0.63), (0.95, 0.50), (1.0, 0.35)),
        "estate": ((0.0, 0.60), (0.07, 0.91), (0.30, 1.0), (0.53, 0.99), (0.69, 0.63), (0.96, 0.52), (1.0, 0.36)),
        "suv": ((0.0, 0.66), (0.02, 0.96), (0.30, 1.0), (0.57, 1.0), (0.69, 0.70), (0.97, 0.65), (1.0, 0.47)),
        "minivan": ((0.0, 0.64), (0.02, 0.92), (0.30, 1.0), (0.64, 0.95), (0.85, 0.58), (0.97, 0.48), (1.0, 0.35)),
        "van": ((0.0, 0.95), (0.02, 1.0), (0.60, 1.0), (0.74, 0.98), (0.86, 0.62), (0.97, 0.50), (1.0, 0.38)),
    },
}
_CAR_SIZES = {  # mean l, w, h [m] and share among cars
    "hatchback": ((3.75, 1.62, 1.48), 0.34),
    "sedan": ((4.25, 1.66, 1.43), 0.20),
    "estate": ((4.30, 1.66, 1.48), 0.24),
    "suv": ((4.25, 1.74, 1.66), 0.12),
    "minivan": ((4.15, 1.70, 1.64), 0.10),
}
_VAN_SIZES = (((4.45, 1.80, 1.98), 0.55), ((5.35, 1.95, 2.30), 0.45))


def generator(family: Family, kind: str, number: int) -> np.random.Generator:
    """The random generator of body `number` of a kind; families never share one."""
    return np.random.Generator(np.random.PCG64([FAMILIES.index(family), *kind.encode(), number]))


def car(random: np.random.Generator, family: Family) -> Body:
    names = list(_CAR_SIZES)
    name = names[int(random.choice(len(names), p=[share for _, share in _CAR_SIZES.values()]))]
    return _vehicle(random, _CAR_SIZES[name][0], _OUTLINES[family][name], windows=True)


def van(random: np.random.Generator, family: Family) -> Body:
    size = _VAN_SIZES[0 if random.random() < _VAN_SIZES[0][1] else 1][0]
    name = "van" if random.random() < 0.7 else "minivan"
    return _vehicle(random, size, _OUTLINES[family][name], windows=bool(random.random() < 0.45))


def truck(random: np.random.Generator, family: Family) -> Body:
    """A cab with a box or a flat bed; some are buses."""
    length, width, height = random.uniform(6.5, 10.0), random.uniform(2.2, 2.5), random.uniform(2.7, 3.4)
    if random.random() < 0.3:
        return _bus(random, length, width, height)
    cab = random.uniform(1.7, 2.2)
    paint = _PAINTS[int(random.integers(len(_PAINTS)))]
    load = (0.6, 0.6, 0.58) if random.random() < 0.6 else _PAINTS[int(random.integers(len(_PAINTS)))]
    parts = [
        box((length - cab - 0.3, width, height - 1.0), METAL, load).moved(-cab / 2 - 0.15, 0, 1.0),
        box((length, width * 0.5, 0.35), CAR_PLASTIC, _PLASTIC_COLOR).moved(0, 0, 0.6),
        box((cab, width * 0.97, 1.0 + 0.35 * height - 0.45), CAR_PAINT, paint).moved((length - cab) / 2, 0, 0.45),
        box((cab * 0.9, width * 0.93, 0.22 * height), CAR_GLASS, _GLASS_COLOR).moved(
            (length - cab) / 2 - 0.05 * cab, 0, 1.0 + 0.35 * height
        ),
    ]
    for x in (length / 2 - 1.1, -length / 2 + 1.2, -length / 2 + 2.4):
        parts += [wheel(x, side * (width / 2 - 0.16), 0.48, 0.3, TYRE, _TYRE_COLOR) for side in (-1, 1)]
    mesh = join(parts).centred()
    return Body(mesh, mesh.size)


def _bus(random: np.random.Generator, length: float, width: float, height: float) -> Body:
    paint = _PAINTS[int(random.integers(len(_PAINTS)))]
    sill = random.uniform(1.1, 1.4)
    parts = [
        box((length, width, sill - 0.3), CAR_PAINT, paint).moved(0, 0, 0.3),
        box((length - 0.1, width - 0.06, height - sill - 0.4), CAR_GLASS, _GLASS_COLOR).moved(0, 0, sill),
        box((length, width, 0.4), CAR_PAINT, paint).moved(0, 0, height - 0.4),
    ]
    for x in (length / 2 - 1.6, -length / 2 + 2.0):
        parts += [wheel(x, side * (width / 2 - 0.16), 0.46, 0.3, TYRE, _TYRE_COLOR) for side in (-1, 1)]
    for x in np.linspace(-length / 2 + 0.15, length / 2 - 0.15, int(length / 1.6)):  # between the windows
        parts.append(box((0.12, width, height - sill - 0.4), CAR_PAINT, paint).moved(float(x), 0, sill))
    mesh = join(parts).centred()
    return Body(mesh, mesh.size)


def _vehicle(random: np.random.Generator, mean: tuple[float, float, float], outline: _Outline, windows: bool) -> Body:
    length = mean[0] * random.normal(1, 0.06)
    width = mean[1] * random.normal(1, 0.035)
    height = mean[2] * random.normal(1, 0.04)
    length, width, height = (float(np.clip(v, 0.84 * m, 1.18 * m)) for v, m in zip((length, width, height), mean, strict=True))
    paint = _PAINTS[int(random.choice(len(_PAINTS), p=_PAINT_SHARES))]
    bottom, sill = random.uniform(0.16, 0.24), random.uniform(0.30, 0.38)
    lean = random.uniform(0.76, 0.88) if height < 1.9 else random.uniform(0.88, 0.95)  # width of the roof
    belt_share = random.uniform(0.57, 0.64)
    stations = [(x, z + random.normal(0, 0.012)) for x, z in outline]
    parts = [_body(stations, length, width, height, bottom, sill, belt_share, lean, paint, windows)]
    radius = random.uniform(0.29, 0.34) if height < 1.9 else random.uniform(0.32, 0.37)
    axle = random.uniform(0.29, 0.32) * length
    for x in (axle + 0.02 * length, -axle):
        parts += [wheel(x, side * (width / 2 - 0.10), radius, 0.19, TYRE, _TYRE_COLOR) for side in (-1, 1)]
    front, rear = length / 2, -length / 2
    lamp_z = random.uniform(0.40, 0.46) * height if height < 1.9 else random.uniform(0.34, 0.42) * height
    for side in (-1, 1):
        y = side * width * 0.37
        parts.append(box((0.10, 0.26, 0.14), HEADLIGHT, (0.8, 0.8, 0.78)).moved(front - 0.05, y, lamp_z - 0.02))
        parts.append(box((0.08, 0.16, 0.22), TAIL_LIGHT, (0.5, 0.025, 0.02)).moved(rear + 0.035, y * 1.1, lamp_z + 0.12))
        mirror_x, mirror_z = random.uniform(0.16, 0.20) * length, belt_share * height
        parts.append(box((0.12, 0.16, 0.13), CAR_PAINT, paint).moved(mirror_x, side * (width / 2 + 0.03), mirror_z))
    parts.append(box((0.03, 0.50, 0.11), PLATE, (0.75, 0.74, 0.65)).moved(rear - 0.005, 0, random.uniform(0.35, 0.75)))
    parts.append(box((0.03, 0.50, 0.11), PLATE, (0.75, 0.74, 0.65)).moved(front + 0.005, 0, random.uniform(0.30, 0.42)))
    mesh = join(parts)
    return Body(mesh, (length, width, mesh.size[2]))


_PAINT_SHARES = np.array([0.16, 0.24, 0.16, 0.18, 0.09, 0.08, 0.03, 0.02, 0.02, 0.02])


def _body(
    outline: list[tuple[float, float]],
    length: float,
    width: float,
    height: float,
    bottom: float,
    sill: float,
    belt_share: float,
    lean: float,
    paint: Color,
    windows: bool,
) -> Mesh:
    """Cross-sections at each station of the outline, joined: underbody, flanks, glass between belt and roof."""
    rings = []
    for x, top in outline:
        z_top = top * height
        z_belt = min(belt_share * height, z_top)
        end = 0.88 if x in (outline[0][0], outline[-1][0]) else 1.0  # bumpers are narrower
        half = width / 2 * end
        # above the belt the side leans inwards in proportion to height
        rise = (z_top - z_belt) / max(height - belt_share * height, 1e-6)
        half_top = half * (1 - (1 - lean) * min(max(rise, 0.0), 1.0)) * (1.0 if rise > 0.01 else 0.96)
        rings.append(
            [
                (-half * 0.93, bottom),
                (-half, sill),
                (-half, z_belt * 0.98),
                (-half_top, z_top),
                (half_top, z_top),
                (half, z_belt * 0.98),
                (half, sill),
                (half * 0.93, bottom),
            ]
        )
    k = len(rings[0])
    corners = np.array(
        [[(x - 0.5) * length, y, z] for (x, _), ring in zip(outline, rings, strict=True) for y, z in ring], np.float64
    )
    painted: list[list[int]] = [list(range(k)), [len(corners) - k + j for j in range(k)][::-1]]
    glass: list[list[int]] = []
    for s in range(len(rings) - 1):
        a, b = s * k, (s + 1) * k
        for j in range(k):
            face = [a + (j + 1) % k, a + j, b + j, b + (j + 1) % k]
            upper = min(rings[s][3][1], rings[s + 1][3][1]) > (belt_share + 0.06) * height
            climbs = abs(rings[s + 1][3][1] - rings[s][3][1]) > 0.22 * height  # windscreens
            low_enough = max(rings[s][3][1], rings[s + 1][3][1]) > (belt_share + 0.10) * height
            side, top = j in (2, 4), j == 3
            is_front = s >= len(rings) - 4
            if (side and (upper or climbs) and low_enough and (windows or is_front)) or (
                top and climbs and (windows or is_front)
            ):
                glass.append(face)
            else:
                painted.append(face)
    return join([of_faces(corners, painted, CAR_PAINT, paint), of_faces(corners, glass, CAR_GLASS, _GLASS_COLOR)])


_CLOTHES: tuple[Color, ...] = (
    (0.02, 0.02, 0.025), (0.05, 0.07, 0.18), (0.30, 0.30, 0.32), (0.45, 0.05, 0.05), (0.55, 0.52, 0.45), (0.10, 0.25, 0.12),
    (0.65, 0.65, 0.65), (0.60, 0.45, 0.05), (0.20, 0.12, 0.07),
)  # fmt: skip
_SKINS: tuple[Color, ...] = ((0.55, 0.36, 0.27), (0.46, 0.27, 0.19), (0.22, 0.12, 0.08))
_HAIRS: tuple[Color, ...] = ((0.03, 0.02, 0.015), (0.10, 0.06, 0.03), (0.30, 0.20, 0.08), (0.40, 0.38, 0.36))


def pedestrian(random: np.random.Generator, family: Family, phase: float = 0.0) -> Body:
    """A walker; phase 0..1 is the phase of the stride (two steps)."""
    height = float(np.clip(random.normal(1.74, 0.09) if family == "train" else random.normal(1.72, 0.10), 1.1, 2.02))
    if random.random() < 0.08:
        height *= 0.72  # a child
    build = random.uniform(0.85, 1.25)
    stride = random.uniform(0.16, 0.36) if random.random() < 0.8 else 0.03
    swing = stride * math.sin(2 * math.pi * phase + random.uniform(0, 0.3))
    trousers, top = (_CLOTHES[int(i)] for i in random.integers(len(_CLOTHES), size=2))
    skin, hair = _SKINS[int(random.integers(len(_SKINS)))], _HAIRS[int(random.integers(len(_HAIRS)))]
    hip, shoulder, neck = 0.50 * height, 0.81 * height, 0.86 * height
    skirt = random.random() < (0.15 if family == "train" else 0.25)
    coat = random.random() < 0.2
    arms = random.random()  # most swing them; some hold something before them, or have their hands in the pockets
    parts = []
    for side, ahead in ((-1, swing), (1, -swing)):
        y = side * 0.09 * build
        knee = (0.55 * ahead + 0.03, y, 0.27 * height)
        parts.append(limb((0, y, hip), knee, 0.095 * build, 0.07 * build, CLOTH, trousers, 4))
        parts.append(limb(knee, (ahead, y, 0.05), 0.065 * build, 0.05, CLOTH, trousers, 4))
        parts.append(box((0.26, 0.10, 0.08), SHOE, (0.05, 0.045, 0.045)).moved(ahead + 0.05, y, 0))
        swung = -0.45 * ahead if arms < 0.65 else 0.0
        elbow = (swung, side * 0.25 * build, 0.62 * height)
        bend = random.uniform(0.0, 0.2)
        parts.append(limb((0, side * 0.20 * build, shoulder), elbow, 0.06 * build, 0.05 * build, CLOTH, top, 4))
        hand = (-0.8 * ahead + bend, side * 0.25 * build, 0.49 * height + bend * 0.5)
        if arms >= 0.85:
            hand = (0.05, side * 0.17 * build, 0.50 * height)
        elif arms >= 0.65:
            hand = (0.24, side * 0.08, (0.60 + 0.5 * bend) * height)
        parts.append(limb(elbow, hand, 0.045 * build, 0.035, SKIN, skin, 4))
    if coat:
        rings = [(0.28 * height, ellipse(0.19 * build, 0.23 * build, 8)), (0.62 * height, ellipse(0.14 * build, 0.19 * build, 8))]
        parts.append(loft(rings, CLOTH, top))
    elif skirt:
        rings = [(0.33 * height, ellipse(0.20 * build, 0.24 * build, 8)), (hip, ellipse(0.12 * build, 0.16 * build, 8))]
        parts.append(loft(rings, CLOTH, trousers))
    rings = [
        (hip - 0.05, ellipse(0.12 * build, 0.17 * build, 8)),
        (0.60 * height, ellipse(0.11 * build, 0.155 * build, 8)),
        (0.74 * height, ellipse(0.13 * build, 0.20 * build, 8)),
        (shoulder, ellipse(0.11 * build, 0.20 * build, 8)),
        (neck, ellipse(0.055, 0.06, 8)),
    ]
    parts.append(loft(rings, CLOTH, top))
    parts.append(blob(random, (0.02, 0, height - 0.115), (0.10, 0.08, 0.115), 0.05, SKIN, skin))
    parts.append(blob(random, (-0.025, 0, height - 0.095), (0.095, 0.088, 0.095), 0.05, HAIR, hair))
    if random.random() < 0.3:  # a bag on the back or at the side
        bag = _CLOTHES[int(random.integers(len(_CLOTHES)))]
        if random.random() < 0.5:
            parts.append(box((0.16, 0.28, 0.42), CLOTH, bag).moved(-0.20 * build, 0, 0.56 * height))
        else:
            parts.append(box((0.32, 0.12, 0.28), CLOTH, bag).moved(0, 0.33 * build, 0.36 * height))
    return Body(join(parts), (0.52 + 1.1 * stride, 0.56 * build, height))


def cyclist(random: np.random.Generator, family: Family, phase: float = 0.0) -> Body:
    """A rider on a bicycle; phase 0..1 is the position of the pedals."""
    lean = random.uniform(0.10, 0.42) if family == "train" else random.uniform(0.18, 0.50)
    radius = random.uniform(0.31, 0.36)
    base = random.uniform(0.98, 1.10)
    frame = _PAINTS[int(random.integers(len(_PAINTS)))]
    trousers, top = (_CLOTHES[int(i)] for i in random.integers(len(_CLOTHES), size=2))
    skin, hair = _SKINS[int(random.integers(len(_SKINS)))], _HAIRS[int(random.integers(len(_HAIRS)))]
    build = random.uniform(0.9, 1.2)
    rear, front, saddle = (-base / 2, 0, radius), (base / 2, 0, radius), (-0.20, 0, random.uniform(0.88, 1.0))
    bars, crank = (base / 2 - 0.12, 0, random.uniform(0.95, 1.1)), (-0.03, 0, 0.28)
    parts = [hoop(x, 0, radius, 0.045, 0.05, TYRE, _TYRE_COLOR) for x in (-base / 2, base / 2)]
    for a, b in ((rear, saddle), (rear, crank), (crank, saddle), (crank, bars), (saddle, bars), (front, bars)):
        parts.append(limb(a, b, 0.022, 0.022, METAL, frame, 4))
    parts.append(limb((bars[0], -0.28, bars[2]), (bars[0], 0.28, bars[2]), 0.018, 0.018, METAL, frame, 4))
    parts.append(box((0.26, 0.15, 0.06), CAR_PLASTIC, _PLASTIC_COLOR).moved(saddle[0], 0, saddle[2]))
    if random.random() < 0.4:  # a carrier with a bag
        parts.append(
            box((0.32, 0.26, 0.26), CLOTH, _CLOTHES[int(random.integers(len(_CLOTHES)))]).moved(-base / 2 - 0.02, 0, 0.72)
        )
    if random.random() < 0.5:
        parts.append(box((0.5, 0.05, 0.10), METAL, frame).moved(-base / 2, 0, 2 * radius))  # mudguard
    hip_z, trunk = saddle[2] + 0.10, random.uniform(0.50, 0.58)
    neck = (saddle[0] + trunk * math.sin(lean) + 0.08, 0, hip_z + trunk * math.cos(lean))
    for side in (-1, 1):
        angle = 2 * math.pi * phase + (0 if side > 0 else math.pi)
        foot = (crank[0] + 0.17 * math.cos(angle), side * 0.11, crank[2] + 0.17 * math.sin(angle))
        knee = (0.5 * (saddle[0] + foot[0]) + 0.22, side * 0.12, 0.5 * (hip_z + foot[2]) + 0.10)
        parts.append(limb((saddle[0], side * 0.10, hip_z), knee, 0.095 * build, 0.07 * build, CLOTH, trousers, 4))
        parts.append(limb(knee, (foot[0], foot[1], foot[2] + 0.05), 0.065 * build, 0.045, CLOTH, trousers, 4))
        parts.append(box((0.25, 0.09, 0.08), SHOE, (0.05, 0.045, 0.045)).moved(foot[0] + 0.04, foot[1], foot[2]))
        shoulder = (neck[0] - 0.05, side * 0.20 * build, neck[2] - 0.03)
        elbow = (0.5 * (shoulder[0] + bars[0]) - 0.03, side * 0.27, 0.5 * (shoulder[2] + bars[2]) - 0.06)
        parts.append(limb(shoulder, elbow, 0.055 * build, 0.048, CLOTH, top, 4))
        parts.append(limb(elbow, (bars[0], side * 0.24, bars[2] + 0.02), 0.045, 0.035, SKIN, skin, 4))
    hips = (saddle[0], 0.0, hip_z - 0.05)
    parts.append(limb(hips, neck, 0.17 * build, 0.15 * build, CLOTH, top, 7))
    head = (neck[0] + 0.06, 0.0, neck[2] + 0.17)
    parts.append(limb(neck, head, 0.06, 0.06, SKIN, skin, 4))
    parts.append(blob(random, head, (0.10, 0.08, 0.12), 0.05, SKIN, skin))
    parts.append(blob(random, (head[0] - 0.02, 0, head[2] + 0.05), (0.12, 0.09, 0.09), 0.05, HAIR, hair))
    mesh = join(parts)
    return Body(mesh, (base + 2 * radius, 0.62, mesh.size[2]))
