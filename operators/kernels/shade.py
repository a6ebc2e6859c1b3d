"""Colours of the pixels that raster.fill filled: sun, sky and haze on flat faces, with patterns fixed to the world.

Light is linear RGB; a table converts it into sRGB bytes, or it is kept for glare and exposure (glare.py). The only operations
beyond sums and products are square roots and divisions (both exact by IEEE 754), and noise is an integer hash: every machine
computes the same bytes.

Directions and positions are in the world frame, z up.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

PLAIN, GRAIN, SLABS, TURF, LEAVES, PLASTER, BLOCKS, PANE, GLOSS, GLASS = range(10)
"""Patterns: none; asphalt; pavement; grass; leaves; house front; masonry; window of a house; car paint; car window."""
FACE = 17
"""Columns of a face: normal x y z; light r g b without sun; sunlight 0..1; of upright faces: horizontal direction x y, start and
length along it, lowest z, height (0: not upright), a random number; albedo r g b."""


class Faces(NamedTuple):
    owners: np.ndarray
    """(T,) int64: object of each triangle."""
    materials: np.ndarray
    """(T,) int32: index into `patterns`."""
    patterns: np.ndarray
    """(K,) int32."""
    faces: np.ndarray
    """(T, FACE) float64, of `light`."""


class View(NamedTuple):
    rays: np.ndarray
    """(3, 3) float64: pixel [u v] shows eye + depth * rays @ [u v 1]."""
    eye: np.ndarray
    """(3,) float64."""
    px_rad: float
    """1 / focal length in pixels."""


class Sun(NamedTuple):
    direction: np.ndarray
    """(3,) float64: unit vector towards the sun."""
    heights: np.ndarray
    """(S, S) float32 shadow map: highest z on the sun's ray through each cell of the plane z = 0."""
    corner: np.ndarray
    """(2,) float64: centre of cell [0, 0]."""
    cell_m: float
    """Edge of a cell."""


class Lamps(NamedTuple):
    """Light that is neither sun nor sky. `DARK`: none."""

    beams: np.ndarray
    """(L, LAMP) float64 low beams; the first is the one beside the camera: retroreflectors send it back."""
    retro: np.ndarray
    """(K,) bool of each material."""
    glowing: np.ndarray
    """(T, 3) float32 light that a triangle emits itself, or (0, 3): none does."""
    lit: float
    """Share of the windows that are lit from inside."""


class Picture(NamedTuple):
    image: np.ndarray
    """(H, W, 3) uint8 RGB."""
    depth_m: np.ndarray
    """(H, W) float32 along the optical axis, inf for sky."""
    pixel_ids: np.ndarray
    """(H, W) int64 owner of the nearest triangle, -1 for sky."""


LAMP = 8
"""Columns of a beam: position x y z [m], unit vector of its axis, light on a white face 1 m away, its reach squared [m2]."""
SUNLIGHT, SKYLIGHT, BOUNCE, HORIZON, ZENITH, CLOUD, GLOW, STREET = range(8)
"""Rows of the tones of a sky, linear RGB: BOUNCE is reflected from the ground, GLOW surrounds the sun, STREET is what windows
mirror below the horizon."""
DAY = np.array([
    (1.95, 1.78, 1.48), (0.34, 0.43, 0.58), (0.20, 0.18, 0.15), (0.50, 0.66, 0.86), (0.06, 0.17, 0.50), (1.15, 1.12, 1.08),
    (1.00, 0.90, 0.70), (0.22, 0.21, 0.20),
])  # fmt: skip
"""(8, 3) float64 tones of a clear day."""
DAY.flags.writeable = False
DARK = Lamps(np.empty((0, LAMP)), np.empty(0, np.bool_), np.empty((0, 3), np.float32), 0.0)
NO_LIGHT = np.empty((0, 0, 3), np.float32)
_NOWHERE = 1e9
_RETRO = 4.0  # gain of retroreflectors over a white face
_WINDOW = (0.85, 0.62, 0.34)
_HAZE_M = 900.0
_OFF_CELLS = 1.6  # offset from the face, in cells, of the shadow test: with less than a cell, faces shadow themselves
_BRIGHTEST = 4.0
STEPS = 4096
"""Steps of light per unit in the table SRGB."""


def _to_srgb() -> np.ndarray:
    """(brightest * steps + 1,) uint8: extended Reinhard tone curve (white at the brightest), then the sRGB curve."""
    light = np.arange(int(_BRIGHTEST * STEPS) + 1) / STEPS
    light = light * (1 + light / _BRIGHTEST**2) / (1 + light) * 1.35
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)
    return np.rint(np.clip(curve, 0, 1) * 255).astype(np.uint8)


SRGB = _to_srgb()
LAST = len(SRGB) - 1


def _lattice() -> np.ndarray:
    """(65536,) float32 0..1: white noise by an integer hash, independent of any library's generator."""
    h = np.arange(1 << 16, dtype=np.uint64) * np.uint64(668265263) + np.uint64(374761393)
    for _ in range(2):
        h = ((h ^ (h >> np.uint64(15))) * np.uint64(1274126177)) & np.uint64(0xFFFFFFFF)
    return ((h >> np.uint64(8)) / np.float32(1 << 24)).astype(np.float32)


_LATTICE = _lattice()


@njit(nogil=True, cache=True)
def _random(x: int, y: int, layer: float) -> float:
    """0..1, repeats every 256 in x and y.

    layer: a whole number; a float, because numba compiles once for each literal integer.
    """
    return _LATTICE[((y + 37 * int(layer)) & 255) << 8 | ((x + 101 * int(layer)) & 255)]


@njit(nogil=True, cache=True)
def noise(x: float, y: float, layer: float) -> float:
    """0..1, smooth, one bump per unit. layer: as in _random."""
    x_floor, y_floor = np.floor(x), np.floor(y)
    i, j = int(x_floor) + 101 * int(layer), int(y_floor) + 37 * int(layer)
    s, t = x - x_floor, y - y_floor
    s, t = s * s * (3 - 2 * s), t * t * (3 - 2 * t)
    row, next_row = (j & 255) << 8, ((j + 1) & 255) << 8
    column, next_column = i & 255, (i + 1) & 255
    low = _LATTICE[row | column] * (1 - s) + _LATTICE[row | next_column] * s
    high = _LATTICE[next_row | column] * (1 - s) + _LATTICE[next_row | next_column] * s
    return low * (1 - t) + high * t


@njit(nogil=True, cache=True)
def _sky(x: float, y: float, z: float, sun: np.ndarray, clouds: float, tones: np.ndarray) -> tuple[float, float, float]:
    """Light from the unit vector x y z: gradient from horizon to zenith, glow around the sun; haze below the horizon.

    clouds: 1 with, 0 without; a float, because numba compiles once for each literal bool.
    """
    up = min(max(z, 0.0), 1.0)
    share = 1 - (1 - up) * (1 - up) * (1 - up)
    r = tones[HORIZON, 0] + (tones[ZENITH, 0] - tones[HORIZON, 0]) * share
    g = tones[HORIZON, 1] + (tones[ZENITH, 1] - tones[HORIZON, 1]) * share
    b = tones[HORIZON, 2] + (tones[ZENITH, 2] - tones[HORIZON, 2]) * share
    if clouds > 0 and up > 0.02:
        far = 1.0 / (up + 0.12)
        cover = 0.6 * noise(x * far * 1.1, y * far * 1.1, 7.0) + 0.4 * noise(x * far * 2.9, y * far * 2.9, 8.0)
        cover = min(max((cover - 0.50) * 3.2, 0.0), 0.8) * min(up * 5.0, 1.0)
        cloud = tones[CLOUD]
        r, g, b = r + (cloud[0] - r) * cover, g + (cloud[1] - g) * cover, b + (cloud[2] - b) * cover
    glow = max(x * sun[0] + y * sun[1] + z * sun[2], 0.0)
    glow *= glow
    glow *= glow
    glow *= glow * 0.5
    return r + glow * tones[GLOW, 0], g + glow * tones[GLOW, 1], b + glow * tones[GLOW, 2]


@njit(nogil=True, cache=True)
def light(
    triangles: np.ndarray,
    colors: np.ndarray,
    materials: np.ndarray,
    patterns: np.ndarray,
    T_world_velo: np.ndarray,
    eye: np.ndarray,
    sun: np.ndarray,
    tones: np.ndarray,
    boxes: np.ndarray,
    faces: np.ndarray,
) -> None:
    """Once per picture, before shade: fills faces (T, FACE) float64 of the triangles with a box (raster.set_up).

    in   triangles (T, 3, 3) float64, velodyne; colors (T, 3) float32 linear albedo; materials (T,) int32 indices into
         patterns (K,) int32; eye (3,) float64; sun (3,) float64 unit vector towards it; tones (8, 3) float64
    A face is lit on the side that is seen. The two triangles of an upright rectangle have the same extent, so that a pattern
    across it (a window's frame) fits both.
    """
    world = np.empty((3, 3))
    for t in range(triangles.shape[0]):
        if boxes[t, 2] < boxes[t, 0]:
            continue
        for k in range(3):
            for axis in range(3):
                row = T_world_velo[axis]
                world[k, axis] = row[0] * triangles[t, k, 0] + row[1] * triangles[t, k, 1] + row[2] * triangles[t, k, 2] + row[3]
        ax, ay, az = world[1, 0] - world[0, 0], world[1, 1] - world[0, 1], world[1, 2] - world[0, 2]
        bx, by, bz = world[2, 0] - world[0, 0], world[2, 1] - world[0, 1], world[2, 2] - world[0, 2]
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        norm = np.sqrt(nx * nx + ny * ny + nz * nz)
        if nx * (world[0, 0] - eye[0]) + ny * (world[0, 1] - eye[1]) + nz * (world[0, 2] - eye[2]) > 0:
            norm = -norm
        nx, ny, nz = nx / norm, ny / norm, nz / norm
        face = faces[t]
        face[0], face[1], face[2] = nx, ny, nz
        up = 0.5 + 0.5 * nz
        for c in range(3):
            face[3 + c] = tones[BOUNCE, c] + (tones[SKYLIGHT, c] - tones[BOUNCE, c]) * up
            face[14 + c] = colors[t, c]
        face[6] = max(nx * sun[0] + ny * sun[1] + nz * sun[2], 0.0)
        flat = np.sqrt(nx * nx + ny * ny)
        face[12] = 0.0
        if flat > 0.9 and patterns[materials[t]] in (PLASTER, PANE):
            face[7], face[8] = -ny / flat, nx / flat
            start, end, base, top = np.inf, -np.inf, np.inf, -np.inf
            for k in range(3):
                along = world[k, 0] * face[7] + world[k, 1] * face[8]
                start, end = min(start, along), max(end, along)
                base, top = min(base, world[k, 2]), max(top, world[k, 2])
            face[9], face[10], face[11], face[12] = start, end - start, base, top - base
            face[13] = _random(int(np.floor(start * 8)), int(np.floor(base * 8)), 13.0)


@njit(nogil=True, cache=True)
def _mirror(
    x: float, y: float, z: float, face: np.ndarray, shine: float, sun: np.ndarray, tones: np.ndarray, r: float, g: float, b: float
) -> tuple[float, float, float]:
    """Mixes the reflected sky or street into r g b of a shiny face seen along the unit vector x y z; more at grazing angles."""
    back = x * face[0] + y * face[1] + z * face[2]
    grazing = (1 + back) * (1 + back)
    share = shine + (1 - shine) * 0.5 * grazing * grazing
    up = z - 2 * back * face[2]
    if up <= 0:
        return r + tones[STREET, 0] * share, g + tones[STREET, 1] * share, b + tones[STREET, 2] * share
    sky = _sky(x - 2 * back * face[0], y - 2 * back * face[1], up, sun, 0.0, tones)
    return r * (1 - share) + sky[0] * share, g * (1 - share) + sky[1] * share, b * (1 - share) + sky[2] * share


@njit(nogil=True, cache=True)
def _sunlit(
    x: float, y: float, z: float, heights: np.ndarray, corner: np.ndarray, per_m: float, slant: tuple[float, float]
) -> float:
    """0 in the shadow .. 1 in the sun; 1 beyond the map. heights, corner: as in Sun."""
    u = (x - z * slant[0] - corner[0]) * per_m
    v = (y - z * slant[1] - corner[1]) * per_m
    if not (u >= 0 and v >= 0 and u < heights.shape[1] - 1 and v < heights.shape[0] - 1):
        return 1.0
    i, j = int(u), int(v)
    s, t = u - i, v - j
    floor = z + 0.03
    near = (0.0 if heights[j, i] > floor else 1 - s) + (0.0 if heights[j, i + 1] > floor else s)
    far = (0.0 if heights[j + 1, i] > floor else 1 - s) + (0.0 if heights[j + 1, i + 1] > floor else s)
    return near * (1 - t) + far * t


@njit(nogil=True, cache=True)
def _paint(pattern: int, x: float, y: float, z: float, footprint: float, face: np.ndarray) -> tuple[float, float, float, float]:
    """Albedo r g b of a face at x y z, and its share of mirrored sky. Detail finer than a pixel's footprint [m] fades."""
    r, g, b = face[14], face[15], face[16]
    if pattern == PLAIN:
        return r, g, b, 0.0
    if pattern == GLOSS:
        return r, g, b, 0.10
    if pattern == GLASS:
        return r, g, b, 0.30
    if pattern == GRAIN:
        m = 0.80 + 0.28 * noise(x * 0.35, y * 0.35, 0.0)
        if footprint < 0.06:
            m += (1 - footprint / 0.06) * 0.34 * (noise(x * 11, y * 11, 1.0) - 0.5)
        return r * m, g * m, b * m, 0.0
    if pattern == SLABS:
        m = 0.88 + 0.2 * noise(x * 0.5, y * 0.5, 2.0)
        if footprint < 0.05:
            sharp = 1 - footprint / 0.05
            row, column = np.floor(x * 1.6), np.floor(y * 1.6)
            if x * 1.6 - row < 0.05 or y * 1.6 - column < 0.05:
                m -= 0.35 * sharp
            m += 0.14 * sharp * (_random(int(row), int(column), 3.0) - 0.5)
        return r * m, g * m, b * m, 0.0
    if pattern == TURF:
        dry = noise(x * 0.22, y * 0.22, 4.0)
        m = 0.75 + 0.35 * dry
        if footprint < 0.12:
            m += (1 - footprint / 0.12) * 0.6 * (noise(x * 6, y * 6, 5.0) - 0.5)
        return r * m * (0.85 + 0.45 * dry), g * m, b * m, 0.0
    if pattern == LEAVES:
        m = 0.55 + 0.6 * noise(x * 1.7 + z * 1.1, y * 1.7 + z * 1.5, 6.0)
        if footprint < 0.15:
            m += (1 - footprint / 0.15) * 1.1 * (noise(x * 6.1 + z * 4.7, y * 6.3 - z * 5.1, 9.0) - 0.5)
        m = max(m, 0.15)
        return r * m, g * m, b * m * 0.9, 0.0
    if pattern == BLOCKS:
        along, course = x * face[1] - y * face[0], np.floor(z * 4)
        place = along * 2 + 0.5 * (course - 2 * np.floor(course / 2))
        m = 0.9 + 0.2 * noise(along * 0.6, z * 0.6, 10.0)
        if footprint < 0.06:
            sharp = 1 - footprint / 0.06
            m += 0.24 * sharp * (_random(int(np.floor(place)), int(course), 11.0) - 0.5)
            if z * 4 - course < 0.08 or place - np.floor(place) < 0.05:
                m -= 0.25 * sharp
        return r * m, g * m, b * m, 0.0
    if pattern == PLASTER:
        m = 0.90 + 0.2 * noise((x + y) * 0.4, z * 0.4, 12.0)
        if face[12] > 2 and z - face[11] < 0.45:
            m *= 0.65  # plinth
        return r * m, g * m, b * m, 0.0
    if face[12] == 0:
        return r, g, b, 0.33
    return _pane(x, y, z, face)


@njit(nogil=True, cache=True)
def _pane(x: float, y: float, z: float, face: np.ndarray) -> tuple[float, float, float, float]:
    """As _paint, of a window: frame, bar, pane, sometimes a curtain."""
    left, low = x * face[7] + y * face[8] - face[9], z - face[11]
    right, high = face[10] - left, face[12] - low
    if left < 0.07 or right < 0.07 or low < 0.09 or high < 0.07 or abs(left - right) < 0.05:
        return 0.62, 0.61, 0.58, 0.0
    if face[13] > 0.55 and high < (face[13] - 0.4) * face[12]:
        return 0.32, 0.31, 0.29, 0.25
    return face[14], face[15], face[16], 0.33


@njit(nogil=True, cache=True, error_model="numpy")
def _reached(at: np.ndarray, beam: np.ndarray) -> int:
    """How many points of a row, as of _lamplight, a beam reaches."""
    count = 0
    for u in range(at.shape[1]):
        dx, dy, dz = at[0, u] - beam[0], at[1, u] - beam[1], at[2, u] - beam[2]
        within = dx * dx + dy * dy + dz * dz <= beam[7]
        count += within & (dx * beam[3] + dy * beam[4] + dz * beam[5] > 0)
    return count


@njit(nogil=True, cache=True, error_model="numpy")
def _shine(at: np.ndarray, beam: np.ndarray, returned: float, light: np.ndarray) -> None:
    """Adds a beam to `light`, as of _lamplight; returned: what retroreflectors send back instead of their share, 0: nothing."""
    # a loop without branches, so that the compiler handles several pixels at a time
    x0, y0, z0, ax, ay, az, gain, reach2 = beam[0], beam[1], beam[2], beam[3], beam[4], beam[5], beam[6], beam[7]
    xs, ys, zs, nx, ny, nz, retro = at[0], at[1], at[2], at[3], at[4], at[5], at[6]
    for u in range(len(light)):
        dx, dy, dz = xs[u] - x0, ys[u] - y0, zs[u] - z0
        squared = dx * dx + dy * dy + dz * dz
        along = dx * ax + dy * ay + dz * az
        distance = np.sqrt(squared)
        share = along / distance
        spread = share * share
        spread *= spread
        spread *= spread
        below = min(max((0.02 - dz / distance + az * share) / 0.05, 0.0), 1.0)
        spread *= 0.10 + 0.90 * below * below * (3 - 2 * below)
        facing = max(-(dx * nx[u] + dy * ny[u] + dz * nz[u]) / distance, 0.0)
        facing = returned if retro[u] * returned > 0 else facing
        more = gain * spread * facing * (1 - squared / reach2) / (squared + 30)
        light[u] += more if (squared <= reach2) & (along > 0) else 0.0


@njit(nogil=True, cache=True)
def _lamplight(
    values: np.ndarray, index: np.ndarray, of: Faces, view: View, retro: np.ndarray, beams: np.ndarray, v: int,
    at: np.ndarray, light: np.ndarray,
) -> None:  # fmt: skip
    """light (W,) float64 of all low beams on the faces in row v. Each is cut off above its axis; nothing casts a shadow.

    at (7, W) float64 is overwritten: position x y z, normal x y z, 1 for retroreflectors
    """
    rays, eye, _ = view
    for u in range(values.shape[1]):
        t = index[v, u]
        if t < 0:
            at[0, u], at[1, u], at[2, u] = _NOWHERE, _NOWHERE, _NOWHERE
            at[3, u], at[4, u], at[5, u], at[6, u] = 0.0, 0.0, 0.0, 0.0
        else:
            depth = 1.0 / values[v, u]
            for axis in range(3):
                at[axis, u] = eye[axis] + depth * (rays[axis, 0] * u + rays[axis, 1] * v + rays[axis, 2])
                at[3 + axis, u] = of.faces[t, axis]
            at[6, u] = 1.0 if retro[of.materials[t]] else 0.0
    light[:] = 0.0
    for k in range(beams.shape[0]):
        if _reached(at, beams[k]) > 0:
            _shine(at, beams[k], _RETRO if k == 0 else 0.0, light)


@njit(nogil=True, cache=True)
def shade(
    values: np.ndarray,
    index: np.ndarray,
    of: Faces,
    view: View,
    sun: Sun,
    tones: np.ndarray,
    lamps: Lamps,
    first_row: int,
    end_row: int,
    out: Picture,
    linear: np.ndarray,
) -> None:
    """Fills rows first_row .. end_row - 1 of `out`; rows are independent.

    values (H, W) float32 1/depth, index (H, W) int32: of raster.fill; tones (8, 3) float64.
    linear (H, W, 3) float32 takes the light instead of out.image; NO_LIGHT: the bytes go to out.image.
    """
    # locals, because an array taken from a tuple inside the loops is reference-counted each time
    owners, materials, patterns, faces = of
    rays, eye, px_rad = view
    towards, heights, corner, cell_m = sun
    image, depth_m, pixel_ids = out
    beams, retro, glowing, lit = lamps
    lamplit, keep = glowing.shape[0] > 0, linear.shape[0] > 0
    at, lamplight = np.empty((7, values.shape[1] if lamplit else 0)), np.empty(values.shape[1] if lamplit else 0)
    slant, per_m, off = (towards[0] / towards[2], towards[1] / towards[2]), 1 / cell_m, _OFF_CELLS * cell_m
    for v in range(first_row, end_row):
        if lamplit:
            _lamplight(values, index, of, view, retro, beams, v, at, lamplight)
        for u in range(values.shape[1]):
            rx = rays[0, 0] * u + rays[0, 1] * v + rays[0, 2]
            ry = rays[1, 0] * u + rays[1, 1] * v + rays[1, 2]
            rz = rays[2, 0] * u + rays[2, 1] * v + rays[2, 2]
            t = index[v, u]
            if t < 0:
                depth_m[v, u], pixel_ids[v, u] = np.inf, -1
                norm = np.sqrt(rx * rx + ry * ry + rz * rz)
                r, g, b = _sky(rx / norm, ry / norm, rz / norm, towards, 1.0, tones)
            else:
                # 1. the point, its face, its paint
                depth = 1.0 / values[v, u]
                depth_m[v, u], pixel_ids[v, u] = depth, owners[t]
                x, y, z = eye[0] + depth * rx, eye[1] + depth * ry, eye[2] + depth * rz
                face = faces[t]
                r, g, b, shine = _paint(patterns[materials[t]], x, y, z, depth * px_rad, face)

                # 2. light: albedo * (sky and ground + sun + lamps), and what shines itself
                sunlight = face[6]
                if sunlight > 0:
                    lifted = x + off * face[0], y + off * face[1], z + off * face[2]
                    sunlight *= _sunlit(*lifted, heights, corner, per_m, slant)
                red = face[3] + tones[SUNLIGHT, 0] * sunlight
                green = face[4] + tones[SUNLIGHT, 1] * sunlight
                blue = face[5] + tones[SUNLIGHT, 2] * sunlight
                if lamplit:
                    more = lamplight[u]
                    red, green, blue = red + more, green + 0.94 * more, blue + 0.82 * more
                r, g, b = r * red, g * green, b * blue
                if lamplit:
                    r, g, b = r + glowing[t, 0], g + glowing[t, 1], b + glowing[t, 2]
                    if shine > 0 and patterns[materials[t]] == PANE and face[13] < lit:
                        r, g, b = r + _WINDOW[0], g + _WINDOW[1], b + _WINDOW[2]

                # 3. mirrored sky, then haze
                if shine > 0:
                    norm = np.sqrt(rx * rx + ry * ry + rz * rz)
                    r, g, b = _mirror(rx / norm, ry / norm, rz / norm, face, shine, towards, tones, r, g, b)
                haze = depth / (depth + _HAZE_M)
                r, g, b = (
                    r + (tones[HORIZON, 0] - r) * haze,
                    g + (tones[HORIZON, 1] - g) * haze,
                    b + (tones[HORIZON, 2] - b) * haze,
                )
            if keep:
                linear[v, u, 0], linear[v, u, 1], linear[v, u, 2] = r, g, b
            else:
                image[v, u, 0] = SRGB[min(max(int(r * STEPS), 0), LAST)]
                image[v, u, 1] = SRGB[min(max(int(g * STEPS), 0), LAST)]
                image[v, u, 2] = SRGB[min(max(int(b * STEPS), 0), LAST)]
