"""Draws the street of a drive: lanes, rows of things, and the cross-section of the ground, from the ego's lane outwards."""

from __future__ import annotations

import math

import numpy as np

from drivers.synthetic.street import STYLES, Ground, Row, Street, Style

_STYLE_SHARES = (0.68, 0.12, 0.20)  # of STYLES


def make_street(
    seed: int, drive: int, style: Style | None = None, ego_speed_mps: float | None = None, density: float = 1.0
) -> Street:
    """The street of a drive. density 0: an empty street; style and speed None: the drive's own."""
    r = np.random.Generator(np.random.PCG64([seed, drive, 1]))
    chosen: Style = STYLES[int(r.choice(len(STYLES), p=_STYLE_SHARES))]
    chosen = style or chosen
    lane = r.uniform(2.9, 3.6)
    lanes_right = int(r.random() < (0.5 if chosen == "road" else 0.15))
    lanes_left = 1 + int(r.random() < (0.5 if chosen == "road" else 0.12))
    own_speed = {"street": r.uniform(2, 11), "plaza": r.uniform(0.5, 3), "road": r.uniform(8, 18)}[chosen]
    speed = own_speed if ego_speed_mps is None else ego_speed_mps
    rows, ground, marks = _Layout(r, chosen, lane, lanes_right, lanes_left, speed, density).done()
    hills = tuple(  # most streets are nearly flat
        (a * r.uniform(0, 1) ** 2.5, length * r.uniform(0.8, 1.3), r.uniform(0, 6.28))
        for a, length in ((1.2, 180.0), (0.2, 55.0))
    )
    return Street(
        seed=seed,
        drive=drive,
        style=chosen,
        ego_speed_mps=speed,
        ego_tilt=(float(r.normal(0, 0.006)), float(r.normal(0, 0.006))),
        swing_m=float(r.uniform(0, 9)),
        bend_m=float(r.uniform(160, 320)),
        hills=hills,
        rows=rows,
        ground=ground,
        lane_marks=marks,
        junctions=(float(r.uniform(55, 110)), float(r.uniform(4.5, 8.0))),
        sun=(float(r.uniform(-math.pi, math.pi)), float(r.uniform(0.5, 1.1))),
    )


class _Layout:
    """Adds rows from the ego's lane outwards, on each side."""

    def __init__(
        self, r: np.random.Generator, style: Style, lane: float, right: int, left: int, speed: float, density: float
    ) -> None:
        self.r, self.style, self.density, self.speed = r, style, density, speed
        self.rows: list[Row] = []
        self.edges: list[tuple[float, float, str]] = []  # y, z, material of the strip towards +y
        right_edge, left_edge = -lane / 2 - right * lane, lane / 2 + left * lane
        self.marks = tuple(-lane / 2 + lane * k for k in range(-right, left + 2))
        if style == "plaza":
            right_edge, left_edge = -17.0, 17.0
            self._plaza()
        else:
            right_edge, left_edge = self._traffic(lane, right, left, right_edge, left_edge)
        strips_right = self._side(-1, right_edge)
        strips_left = self._side(+1, left_edge)
        points = [(y, z) for y, z, _ in strips_right[::-1]] + [(right_edge, 0.0), (left_edge, 0.0)]
        points += [(y, z) for y, z, _ in strips_left]
        materials = [m for _, _, m in strips_right[::-1]] + ["ASPHALT"] + [m for _, _, m in strips_left]
        self.ground = Ground(tuple(y for y, _ in points), tuple(z for _, z in points), tuple(materials))

    def done(self) -> tuple[tuple[Row, ...], Ground, tuple[float, ...]]:
        return tuple(self.rows), self.ground, self.marks if self.style != "plaza" else ()

    def row(self, kind: str, offset: float, speed: float, spacing: float, occupancy: float, **more: object) -> None:
        occupancy = min(occupancy * self.density, 0.98)
        if occupancy > 0:
            self.rows.append(Row(kind, float(offset), float(speed), float(spacing), float(occupancy), **more))  # type: ignore[arg-type]

    def _traffic(self, lane: float, right: int, left: int, right_edge: float, left_edge: float) -> tuple[float, float]:
        """Returns the edges of the road, including lanes for cyclists."""
        r = self.r
        if r.random() < 0.70:
            self.row("vehicles", 0.0, self.speed, r.uniform(34, 60), 0.8, wander_m=0.25)
        elif r.random() < 0.6:  # cyclists ahead in the ego's lane
            self.row("cyclists", r.uniform(-0.9, 0.4), self.speed, r.uniform(22, 40), 0.8, wander_m=0.3)
        for k in range(right):
            self.row("vehicles", -lane * (k + 1), self.speed + r.uniform(-3, 2), r.uniform(14, 40), 0.7, wander_m=0.3)
        for k in range(left):
            ahead = self.style == "road" and k == 0 and left > 1
            speed = self.speed + r.uniform(1, 5) if ahead else -r.uniform(2, 14) * (r.random() < 0.85)
            queue = r.random() < (0.3 if ahead or speed else 0.7)  # close together, as before a traffic light
            spacing, full = (r.uniform(6.2, 9), 0.9) if queue else (r.uniform(10, 40), 0.7)
            yaw = 0.0 if ahead or speed else math.pi
            self.row("vehicles", lane * (k + 1), speed, spacing, full, wander_m=0.3, yaw=yaw)
        if r.random() < 0.5:
            right_edge -= 1.3
            self.row("cyclists", right_edge + 0.6, r.uniform(2.5, 6), r.uniform(9, 30), 0.6, wander_m=0.2)
        if r.random() < 0.15:  # trams beside the road, their parts end to end
            left_edge += 3.4
            self.row("trams", left_edge - 1.7, -r.uniform(2, 12) * (r.random() < 0.6), 14.5, r.uniform(0.1, 0.5), through=True)
        if r.random() < 0.35:
            left_edge += 1.3
            self.row("cyclists", left_edge - 0.6, -r.uniform(2.5, 6), r.uniform(9, 30), 0.6, wander_m=0.2)
        return right_edge, left_edge

    def _plaza(self) -> None:
        """People and bicycles everywhere except in the ego's path."""
        r = self.r
        for k in range(int(r.integers(4, 9))):
            side = -1 if k % 2 else 1
            speed = float(r.choice([0.0, 1.2, -1.2, 1.5, -0.9]))
            self.row("pedestrians", side * (2.2 + 1.6 * (k // 2)), speed, r.uniform(6, 20), 0.6, wander_m=0.4)
        for k in range(int(r.integers(1, 4))):
            side = -1 if k % 2 else 1
            self.row(
                "cyclists",
                side * (9.5 + 2.2 * (k // 2)),
                float(r.choice([3.0, -3.5, 4.5, 0.0])),
                r.uniform(6, 20),
                0.6,
                wander_m=0.3,
            )
        self.row("car_like", r.choice([-1, 1]) * 14.5, 0.0, 6.2, r.uniform(0.1, 0.8), wander_m=0.2)
        for side in (-1, 1):  # between the rows of people
            for kind, at in (
                ("posts", 3.0),
                ("posts", 6.2),
                ("bicycles", 8.0),
                ("street_trees", 8.0),
                ("bins", 13.0),
                ("shrubs", 13.0),
            ):
                if r.random() < 0.6:
                    self.row(kind, side * at, 0.0, r.uniform(4, 16), r.uniform(0.2, 0.7), wander_m=0.1)

    def _side(self, side: int, edge: float) -> list[tuple[float, float, str]]:
        """From the road's edge outwards: parking, kerb, pavement, front gardens, houses. Returns strips (y, z, material)."""
        r = self.r
        y = abs(edge)
        strips: list[tuple[float, float, str]] = []

        def to(width: float, z: float, material: str) -> float:
            nonlocal y
            y += width
            strips.append((side * y, z, material))
            return y - width / 2

        parking = r.choice(["none", "along", "across", "slanted"], p=[0.35, 0.47, 0.10, 0.08])
        if self.style != "street":
            parking = "none"
        if parking == "along":
            middle = to(2.15, 0.0, "ASPHALT")
            self.row(
                "car_like",
                side * middle,
                0.0,
                r.uniform(5.6, 7.0),
                r.uniform(0.3, 0.98),
                wander_m=0.15,
                yaw=0 if side < 0 else math.pi,
            )
        elif parking in ("across", "slanted"):
            middle = to(5.2, 0.0, "ASPHALT")
            spacing, yaw = (2.7, math.pi / 2) if parking == "across" else (3.6, r.choice([0.8, 1.1]))
            self.row("car_like", side * middle, 0.0, spacing, r.uniform(0.3, 0.95), wander_m=0.3, yaw=side * yaw)
        if self.style == "road" and r.random() < 0.6:
            verge = to(0.8, 0.02, "SOIL")
            self.row("posts", side * verge, 0.0, r.uniform(8, 40), 0.8, wander_m=0.1)
            if r.random() < 0.4:
                self.row("fences", side * (y + 0.3), 0.0, 8.2, 0.9)
        else:
            kerb = r.uniform(0.05, 0.15)
            to(0.02, kerb, "KERB")
            if r.random() < 0.40:
                strip = to(r.uniform(0.8, 1.8), kerb + 0.02, "GRASS")
                self.row(
                    str(r.choice(["trees", "street_trees"], p=[0.3, 0.7])),
                    side * strip,
                    0.0,
                    r.uniform(5, 18),
                    r.uniform(0.3, 0.9),
                    wander_m=0.1,
                )
            else:
                strip = to(0.6, kerb + 0.02, "SIDEWALK")
            for kind, share in (("poles", 0.7), ("posts", 0.8), ("bins", 0.25), ("bicycles", 0.25)):
                if r.random() < share:
                    self.row(kind, side * strip, 0.0, r.uniform(6, 24), r.uniform(0.2, 0.9), wander_m=0.1)
            start, walk = y, r.uniform(1.8, 4.0)
            to(walk, kerb + 0.03, "SIDEWALK")
            lanes = max(1, int(walk / 0.95))
            self._walkers(side, start, walk / lanes, lanes)
            if r.random() < 0.2:
                to(1.6, kerb + 0.03, "SIDEWALK")
                self.row("cyclists", side * (y - 0.8), -side * r.uniform(2.5, 6), r.uniform(8, 25), 0.5, wander_m=0.2)
            to(0.9, kerb + 0.04, "SIDEWALK")
            for kind, share in (("clutter", 1.0), ("bins", 0.5), ("bicycles", 0.5), ("posts", 0.4), ("shrubs", 0.3)):
                if r.random() < share:
                    self.row(kind, side * (y - 0.45), 0.0, r.uniform(6, 16), r.uniform(0.1, 0.6), wander_m=0.1)
        self._gardens(side, y, to)
        return strips

    def _walkers(self, side: int, start: float, lane: float, lanes: int) -> None:
        """Pedestrians in `lanes` rows from `start` outwards, some in pairs side by side."""
        r = self.r
        for k in range(lanes):
            if r.random() >= 0.75:
                continue
            speed = float(r.choice([0.0, 1.0, 1.3, 1.6, -1.0, -1.3, -1.6]))
            at = side * (start + (k + 0.5) * lane)
            spacing, full = r.choice([3.0, 6.0, 12.0, 24.0]), r.uniform(0.1, 0.5)
            if lanes == 2 and spacing >= 6 and r.random() < 0.5:
                for row in (0, 1):
                    beside = side * (start + lane + (row - 0.5) * 0.9)
                    self.row("pedestrians", beside, speed, spacing, full + 0.3, wander_m=0.02, loose=0.06)
                return
            self.row("pedestrians", at, speed, spacing, full, wander_m=0.12)

    def _gardens(self, side: int, y: float, to: object) -> None:
        r = self.r
        assert callable(to)
        base = 0.12
        if r.random() < 0.75:
            kind, spacing = [("hedges", 8.0), ("walls", 8.0), ("fences", 8.2)][int(r.choice(3, p=[0.45, 0.25, 0.30]))]
            to(0.9, base + 0.02, "GRASS")
            self.row(kind, side * (y + 0.5), 0.0, spacing, r.uniform(0.4, 0.95))
            self.row("pillars", side * (y + 0.5), 0.0, r.uniform(7, 20), r.uniform(0.2, 0.8))
            y += 0.9
        garden = r.uniform(1.0, 8.0)
        rise = r.uniform(-0.03, 0.08) * garden
        to(garden, base + rise, "GRASS")
        self.row("bushes", side * (y + 0.35 * garden), 0.0, r.uniform(4, 12), r.uniform(0.2, 0.8), wander_m=0.3 * garden)
        if garden > 4:
            self.row("trees", side * (y + 0.7 * garden), 0.0, r.uniform(6, 14), r.uniform(0.3, 0.95), wander_m=0.6)
            self.row("clutter", side * (y + 0.5 * garden), 0.0, r.uniform(8, 20), 0.3, wander_m=0.5)
            if r.random() < 0.35:  # cars in driveways
                self.row("strays", side * (y + 0.55 * garden), 0.0, r.uniform(12, 30), r.uniform(0.2, 0.7))
            elif r.random() < 0.5:
                self.row("trailers", side * (y + 0.55 * garden), 0.0, r.uniform(10, 40), r.uniform(0.2, 0.7), wander_m=0.4)
        for kind, share in (("shrubs", 0.6), ("posts", 0.3), ("bins", 0.3), ("bicycles", 0.2), ("pillars", 0.3)):
            if r.random() < share:
                at = side * (y + r.uniform(0.1, 0.9) * garden)
                self.row(kind, at, 0.0, r.uniform(5, 20), r.uniform(0.2, 0.7), wander_m=0.05 * garden)
        y += garden
        open_land = self.style == "road" or r.random() < 0.2
        if open_land:
            far = base + rise + r.uniform(-0.02, 0.10) * 14
            to(14.0, far, "GRASS")
            for behind in (4, 9, 20):
                self.row("trees", side * (y + behind), 0.0, r.uniform(6, 12), r.uniform(0.4, 0.98), wander_m=2.0)
            self.row("bushes", side * (y + 4), 0.0, r.uniform(2, 6), r.uniform(0.2, 0.95), wander_m=3.0)
            self.row("street_trees", side * (y + 6), 0.0, r.uniform(3, 9), r.uniform(0.2, 0.95), wander_m=4.0)
            self.row("trailers", side * (y + 7), 0.0, r.uniform(15, 60), 0.5, wander_m=3.0)
            self.row("trees", side * (y + 30), 0.0, 6.0, 0.98, wander_m=2.0, through=True)
            y += 14
            to(50.0, far + r.uniform(-0.02, 0.08) * 50, "GRASS")
        else:
            if r.random() < 0.3:  # a car park between the houses: two rows of cars across
                to(16.0, base + rise, "ASPHALT")
                for at in (y + 3.0, y + 12.5):
                    self.row("car_like", side * at, 0.0, 2.8, r.uniform(0.2, 0.8), wander_m=0.2, yaw=math.pi / 2)
                y += 16
            self.row("houses", side * (y + 0.5), 0.0, 15.0, r.uniform(0.75, 0.98), yaw=0 if side > 0 else math.pi)
            self.row("houses", side * (y + 24.5), 0.0, 15.0, r.uniform(0.5, 0.98), yaw=0 if side > 0 else math.pi)
            self.row("trees", side * (y + 16), 0.0, r.uniform(8, 16), r.uniform(0.2, 0.9), wander_m=2.0)
            self.row("houses", side * (y + 42), 0.0, 14.5, 0.98, yaw=0 if side > 0 else math.pi, through=True)
            to(60.0, base + rise + r.uniform(-0.01, 0.05) * 60, "GRASS")
        # side streets: waiting and parked vehicles beyond the pavement, on both halves of the street
        for lane in (-2.0, 2.0):
            low, high = (abs(y) - 4, abs(y) + 30) if side > 0 else (-abs(y) - 30, -abs(y) + 4)
            self.row(
                "car_like", lane, 0.0, r.uniform(6.5, 12), r.uniform(0.1, 0.5), axis="y", first=low, last=high, wander_m=0.3,
                yaw=0.0 if lane > 0 else math.pi,
            )  # fmt: skip
