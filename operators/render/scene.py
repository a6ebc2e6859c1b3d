"""Draw all connected inputs: the scene from above, the camera's picture, the scene from behind the car.

in   points       POINTS       optional: painted by height or intensity, and into the camera's picture by depth
     pillars      PILLARS      optional: grey spots under the points
     tracks       TRACKS       optional: boxes in the colour of their class, ids and names, trails of the last positions
     boxes3d      BOXES3D      optional: detections, thin and grey
     image        IMAGE        optional: points and boxes are drawn onto it only with calibration
     pose         POSE         optional: trails are then fixed in the world, not relative to the car
     calibration  CALIBRATION  static, optional
layout: stacked = the camera's picture (after the first image) over the scene from above; side_by_side = the camera's picture
over the scene from behind the car, and the scene from above to the right of both.
Level half: pictures of half the width and height, in a video file of their own.
Writes files as album.py says: DIR/<node>/frames/ITEM.png every `png_every` frames, and video.mp4.
State: trails, the open video.   Empty frame: rings, and the header line.   Same input: same bytes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np

from operators.geometry.transforms import invert, transform_points
from operators.render import album, birdseye, camera, chase, colors
from operators.streams import (
    BOXES3D,
    CALIBRATION,
    CLASSES,
    IMAGE,
    PILLARS,
    POINTS,
    POSE,
    TRACKS,
    Boxes3D,
    Calibration,
    Pillars,
    Tracks,
)
from pipeline.operator import Level, Operator
from pipeline.schema import optional, static

_COLORED_BY = {"height": (2, -2.5, 1.5), "intensity": (3, 0.0, 1.0)}  # column of the points, ends of the ramp
_LEAST_PX = 16
_LEFT = 1.6  # side by side: width of the left column, in heights of the picture
_CAMERA_MOST = 0.62  # side by side: height of the camera's panel, in heights of the picture


@dataclass(frozen=True, slots=True)
class SceneConfig:
    range_m: tuple[float, float, float, float] = (-10.0, -40.0, 70.0, 40.0)  # x0 y0 x1 y1 seen from above
    px_per_m: float = 10.0
    layout: Literal["stacked", "side_by_side"] = "stacked"
    color_by: Literal["height", "intensity"] = "height"
    points_in_camera: bool = True
    trail: int = 20  # positions drawn behind a track; 0: none
    png_every: int = 10  # frames; 0: no PNG
    video: bool = True
    video_rate_hz: float = 10.0  # pictures per second when played
    video_crf: int = 24  # x264's: 0 = lossless, 51 = smallest file
    video_preset: Literal["veryfast", "superfast", "ultrafast"] = "veryfast"  # x264's: a faster preset makes a larger file

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.range_m
        if not (x1 > x0 and y1 > y0):
            raise ValueError(f"range_m: needs x1 > x0 and y1 > y0, got {list(self.range_m)}")
        if not self.px_per_m * min(x1 - x0, y1 - y0) >= _LEAST_PX:
            raise ValueError(f"px_per_m: needs a picture of at least {_LEAST_PX} pixels each way, got {self.px_per_m}")
        if self.trail < 0 or self.png_every < 0:
            raise ValueError(f"trail: needs 0 or more, as png_every, got {self.trail} and {self.png_every}")
        album.check(self)


class Trails:
    """Past positions of the last frame's tracks: in the world if the pose is known, else relative to the car."""

    def __init__(self, length: int) -> None:
        self.paths: dict[int, deque[np.ndarray]] = {}
        self.T_world_velo = np.eye(4)
        self.length = length

    def set_length(self, length: int) -> None:
        """From the next frame on; of a path that is longer the newest positions stay."""
        self.length = length
        self.paths = {i: deque(path, maxlen=length) for i, path in self.paths.items()}

    def add(self, tracks: Tracks, T_world_velo: np.ndarray | None) -> list[np.ndarray]:
        """One frame -> per track (K, 2) x y, old to new, in the car's present frame."""
        if T_world_velo is not None:
            self.T_world_velo = T_world_velo.copy()  # the frame's memory is returned when process() returns
        T_velo_world = invert(self.T_world_velo)
        places = transform_points(tracks.boxes3d[:, :3], self.T_world_velo)
        ids = tracks.track_ids.tolist()
        self.paths = {i: self.paths.get(i) or deque(maxlen=self.length) for i in ids}
        for i, place in zip(ids, places, strict=True):
            self.paths[i].append(place)
        return [transform_points(np.array(self.paths[i]), T_velo_world)[:, :2] for i in ids]


class Panels:
    """Sizes of the panels at one resolution, all even, and their backgrounds.

    view         of the scene from above
    camera_size  rows, columns of the camera's picture; no rows before the first picture
    chase        side by side: the view from behind the car
    """

    def __init__(self, config: SceneConfig, px_per_m: float) -> None:
        self.view = birdseye.View(config.range_m, px_per_m)
        self.background = birdseye.background(self.view)
        self.camera_size = (0, self.view.size[1])
        self.chase: Calibration | None = None
        self._side_by_side = config.layout == "side_by_side"
        if self._side_by_side:
            self.arrange(0.0)

    def arrange(self, height: float) -> None:
        """height: of the camera's picture, relative to its width; 0: no picture."""
        rows, columns = self.view.size
        if self._side_by_side:
            columns = 2 * round(min(_LEFT * rows, _CAMERA_MOST * rows / max(height, 1e-9)) / 2)
        self.camera_size = 2 * round(columns * height / 2), columns
        if self._side_by_side:
            self.chase = chase.view(columns, rows - self.camera_size[0])
            self.chase_background = chase.background(self.chase)


class Scene(Operator):
    Config = SceneConfig
    tunable = ("color_by", "points_in_camera", "trail", "png_every")
    inputs = {
        "points": optional(POINTS),
        "pillars": optional(PILLARS),
        "tracks": optional(TRACKS),
        "boxes3d": optional(BOXES3D),
        "image": optional(IMAGE),
        "pose": optional(POSE),
        "calibration": static(CALIBRATION, optional=True),
    }
    levels = (Level("half", "pictures of half the width and height", 0.02, cost=0.4),)

    @classmethod
    def levels_of(cls, config: SceneConfig) -> tuple[Level, ...]:
        x0, y0, x1, y1 = config.range_m
        return cls.levels if config.px_per_m / 2 * min(x1 - x0, y1 - y0) >= _LEAST_PX else ()

    def open(self) -> None:
        config = self.config
        self.sizes = [Panels(config, config.px_per_m / (1 << k)) for k in range(1 + len(self.levels_of(config)))]
        self.set_level(0)
        self.trails = Trails(config.trail)
        self.paths: list[np.ndarray] = []  # of this frame's tracks
        nothing = np.zeros((0, 4), np.float32)
        nothing.flags.writeable = False  # compile for read-only points before the first frame
        birdseye.paint_points(self.panels.background, self.panels.view, nothing, *_COLORED_BY[config.color_by])
        camera.paint_points(self.panels.background, nothing, np.zeros((3, 4)), np.eye(4))
        self.album = album.Album(config, self.name, self.out_dir, self.resume)

    def set_level(self, level: int) -> None:
        self.panels = self.sizes[level]

    def reconfigured(self, old: SceneConfig, new: SceneConfig) -> None:
        self.album.config = new
        self.trails.set_length(new.trail)

    def process(
        self,
        points: np.ndarray | None = None,
        pillars: Pillars | None = None,
        tracks: Tracks | None = None,
        boxes3d: Boxes3D | None = None,
        image: np.ndarray | None = None,
        pose: np.ndarray | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        self.paths = self.trails.add(tracks, pose) if tracks is not None and self.config.trail else []
        picture = self._from_above(points, pillars, tracks, boxes3d)
        if image is not None and not self.panels.camera_size[0]:
            for panels in self.sizes:
                panels.arrange(image.shape[0] / image.shape[1])
        pictures = [self._from_camera(points, tracks, boxes3d, image, calibration)] if self.panels.camera_size[0] else []
        if self.panels.chase is not None:
            pictures.append(self._from_behind(points, tracks, boxes3d))
            picture = np.hstack([np.vstack(pictures), picture])
        elif pictures:
            picture = np.vstack([*pictures, picture])
        self.album.add(picture, self.header)

    def close(self) -> None:
        self.album.close()

    def _from_above(
        self,
        points: np.ndarray | None,
        pillars: Pillars | None,
        tracks: Tracks | None,
        boxes3d: Boxes3D | None,
    ) -> np.ndarray:
        canvas, view, counts = self.panels.background.copy(), self.panels.view, []
        if pillars is not None:
            birdseye.paint_pillars(canvas, view, pillars.pillars, pillars.counts)
            counts.append(f"{len(pillars.counts)} pillars")
        if points is not None:
            birdseye.paint_points(canvas, view, points, *_COLORED_BY[self.config.color_by])
            counts.append(f"{len(points)} points")
        if boxes3d is not None:
            grey, nameless = [colors.DETECTION] * len(boxes3d.labels), [""] * len(boxes3d.labels)
            birdseye.draw_boxes(canvas, view, boxes3d.boxes3d, grey, nameless, 1)
            counts.append(f"{len(boxes3d.labels)} detections")
        if tracks is not None:
            mine = colors.of_labels(tracks.labels)
            if self.paths:
                birdseye.draw_trails(canvas, view, self.paths, mine)
            birdseye.draw_boxes(canvas, view, tracks.boxes3d, mine, [str(i) for i in tracks.track_ids.tolist()], 2)
            counts.append(f"{len(tracks.labels)} tracks")
        birdseye.write(canvas, "   ".join([self.header.item, *counts]), (8, 16), colors.TEXT)
        for k, label in enumerate([] if tracks is None else np.unique(tracks.labels).tolist()):
            birdseye.write(canvas, _class(label), (8, 34 + 16 * k), colors.of_labels(np.array([label]))[0])
        return canvas

    def _from_camera(
        self,
        points: np.ndarray | None,
        tracks: Tracks | None,
        boxes3d: Boxes3D | None,
        image: np.ndarray | None,
        calibration: Calibration | None,
    ) -> np.ndarray:
        rows, columns = self.panels.camera_size
        if image is None:
            return np.zeros((rows, columns, 3), np.uint8)
        canvas = camera.panel(image, columns, rows)
        if calibration is None:
            return canvas
        P_cam, T_cam_velo = camera.scaled(calibration, image, columns, rows), calibration.T_cam_velo
        if points is not None and self.config.points_in_camera:
            camera.paint_points(canvas, points, P_cam, T_cam_velo)
        self._boxes_through(canvas, tracks, boxes3d, P_cam, T_cam_velo)
        return canvas

    def _from_behind(self, points: np.ndarray | None, tracks: Tracks | None, boxes3d: Boxes3D | None) -> np.ndarray:
        view = self.panels.chase
        assert view is not None
        canvas, (P_cam, T_cam_velo, _) = self.panels.chase_background.copy(), view
        if points is not None:
            camera.paint_points(canvas, points, P_cam, T_cam_velo, *_COLORED_BY[self.config.color_by])
        if tracks is not None and self.paths:
            floors = tracks.boxes3d[:, 2] - tracks.boxes3d[:, 5] / 2
            chase.draw_paths(canvas, self.paths, floors, colors.of_labels(tracks.labels), view)
        self._boxes_through(canvas, tracks, boxes3d, P_cam, T_cam_velo)
        return canvas

    def _boxes_through(
        self,
        canvas: np.ndarray,
        tracks: Tracks | None,
        boxes3d: Boxes3D | None,
        P_cam: np.ndarray,
        T_cam_velo: np.ndarray,
    ) -> None:
        """Tracks with their names; detections if no tracks are connected."""
        if tracks is not None:
            names = [f"{_class(label)} {i}" for label, i in zip(tracks.labels.tolist(), tracks.track_ids.tolist(), strict=True)]
            camera.draw_boxes(canvas, tracks.boxes3d, colors.of_labels(tracks.labels), names, P_cam, T_cam_velo)
        elif boxes3d is not None:
            grey, nameless = [colors.DETECTION] * len(boxes3d.labels), [""] * len(boxes3d.labels)
            camera.draw_boxes(canvas, boxes3d.boxes3d, grey, nameless, P_cam, T_cam_velo)


def _class(label: int) -> str:
    return CLASSES[label] if 0 <= label < len(CLASSES) else "?"
