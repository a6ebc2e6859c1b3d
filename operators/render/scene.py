"""Draw what is known: the scene from above, and the camera's picture over it when there is one.

in   points       POINTS       optional: painted by height or intensity, and into the camera's picture by depth
     pillars      PILLARS      optional: grey spots under the points
     tracks       TRACKS       optional: boxes in the colour of their class, ids, trails of the last positions
     boxes3d      BOXES3D      optional: detections, thin and grey
     image        IMAGE        optional: needs calibration for anything to be drawn onto it
     pose         POSE         optional: trails stay where they were in the world, not relative to the car
     calibration  CALIBRATION  static, optional
Writes DIR/<node>/frames/ITEM.png ("/" as "_") every `png_every` frames, and video.mp4 (H.264, fragmented: see video.py).
After the n-th restart the video goes on in video-rn.mp4; a picture of another size begins a file ending in -2, -3, ...
State: trails, the open video.   Empty frame: rings, and the header line.   Same input: same bytes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from operators.geometry.transforms import invert, transform_points
from operators.render import birdseye, camera, colors
from operators.render.video import Video, require_encoder
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
from operators.write.files import failed, replace
from pipeline.operator import Operator
from pipeline.schema import optional, static

_COLORED_BY = {"height": (2, -2.5, 1.5), "intensity": (3, 0.0, 1.0)}  # column of the points, ends of the ramp


@dataclass(frozen=True, slots=True)
class SceneConfig:
    range_m: tuple[float, float, float, float] = (-10.0, -40.0, 70.0, 40.0)  # x0 y0 x1 y1 seen from above
    px_per_m: float = 10.0
    color_by: Literal["height", "intensity"] = "height"
    points_in_camera: bool = True
    trail: int = 20  # positions drawn behind a track; 0: none
    png_every: int = 10  # frames; 0: no PNG
    video: bool = True
    video_rate_hz: float = 10.0  # pictures per second when played

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.range_m
        if not (x1 > x0 and y1 > y0):
            raise ValueError(f"range_m: needs x1 > x0 and y1 > y0, got {list(self.range_m)}")
        if not self.px_per_m * min(x1 - x0, y1 - y0) >= 16:
            raise ValueError(f"px_per_m: needs a picture of at least 16 pixels each way, got {self.px_per_m}")
        if self.trail < 0 or self.png_every < 0:
            raise ValueError(f"trail: needs 0 or more, as png_every, got {self.trail} and {self.png_every}")
        if not self.video_rate_hz > 0:
            raise ValueError(f"video_rate_hz: needs more than 0, got {self.video_rate_hz}")


class Trails:
    """Where the tracks of the last frame have been, in the world where a pose is known, else relative to the car."""

    def __init__(self, length: int) -> None:
        self.paths: dict[int, deque[np.ndarray]] = {}
        self.T_world_velo = np.eye(4)
        self.length = length

    def add(self, tracks: Tracks, T_world_velo: np.ndarray | None) -> list[np.ndarray]:
        """One frame -> per track (K, 2) x y, old to new, as seen from where the car is now."""
        if T_world_velo is not None:
            self.T_world_velo = T_world_velo.copy()  # the frame's memory goes back when process() returns
        T_velo_world = invert(self.T_world_velo)
        places = transform_points(tracks.boxes3d[:, :3], self.T_world_velo)
        ids = tracks.track_ids.tolist()
        self.paths = {i: self.paths.get(i) or deque(maxlen=self.length) for i in ids}
        for i, place in zip(ids, places, strict=True):
            self.paths[i].append(place)
        return [transform_points(np.array(self.paths[i]), T_velo_world)[:, :2] for i in ids]


class Scene(Operator):
    Config = SceneConfig
    inputs = {
        "points": optional(POINTS),
        "pillars": optional(PILLARS),
        "tracks": optional(TRACKS),
        "boxes3d": optional(BOXES3D),
        "image": optional(IMAGE),
        "pose": optional(POSE),
        "calibration": static(CALIBRATION, optional=True),
    }

    def open(self) -> None:
        config = self.config
        if config.video:
            require_encoder(self.name)
        self.view = birdseye.View(config.range_m, config.px_per_m)
        self.background = birdseye.background(self.view)
        self.trails = Trails(config.trail)
        self.camera_rows = 0  # of the camera's panel, once there was a picture
        self.video: Video | None = None
        self.num_videos = 0
        (self.out_dir / "frames").mkdir(parents=True, exist_ok=True)

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
        picture = self._from_above(points, pillars, tracks, boxes3d, pose)
        if image is not None and not self.camera_rows:
            self.camera_rows = 2 * round(picture.shape[1] * image.shape[0] / image.shape[1] / 2)
        if self.camera_rows:
            picture = np.vstack([self._from_camera(points, tracks, boxes3d, image, calibration), picture])
        self._save(picture)

    def close(self) -> None:
        if self.video is not None:
            self.video.close()

    def _from_above(
        self,
        points: np.ndarray | None,
        pillars: Pillars | None,
        tracks: Tracks | None,
        boxes3d: Boxes3D | None,
        pose: np.ndarray | None,
    ) -> np.ndarray:
        canvas, view, counts = self.background.copy(), self.view, []
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
            if self.config.trail:
                birdseye.draw_trails(canvas, view, self.trails.add(tracks, pose), mine)
            birdseye.draw_boxes(canvas, view, tracks.boxes3d, mine, _names(tracks), 2)
            counts.append(f"{len(tracks.labels)} tracks")
        birdseye.write(canvas, "   ".join([self.header.item, *counts]), (8, 16), colors.TEXT)
        for k, label in enumerate([] if tracks is None else np.unique(tracks.labels).tolist()):
            birdseye.write(canvas, CLASSES[label], (8, 34 + 16 * k), colors.of_labels(np.array([label]))[0])
        return canvas

    def _from_camera(
        self,
        points: np.ndarray | None,
        tracks: Tracks | None,
        boxes3d: Boxes3D | None,
        image: np.ndarray | None,
        calibration: Calibration | None,
    ) -> np.ndarray:
        rows, columns = self.camera_rows, self.background.shape[1]
        if image is None:
            return np.zeros((rows, columns, 3), np.uint8)
        canvas = camera.panel(image, columns, rows)
        if calibration is None:
            return canvas
        P_cam, T_cam_velo = camera.scaled(calibration, image, columns, rows), calibration.T_cam_velo
        if points is not None and self.config.points_in_camera:
            camera.paint_points(canvas, points, P_cam, T_cam_velo)
        if boxes3d is not None and tracks is None:
            grey, nameless = [colors.DETECTION] * len(boxes3d.labels), [""] * len(boxes3d.labels)
            camera.draw_boxes(canvas, boxes3d.boxes3d, grey, nameless, P_cam, T_cam_velo)
        if tracks is not None:
            camera.draw_boxes(canvas, tracks.boxes3d, colors.of_labels(tracks.labels), _names(tracks), P_cam, T_cam_velo)
        return canvas

    def _save(self, picture: np.ndarray) -> None:
        every = self.config.png_every
        if every and self.header.frame_id % every == 0:
            path = self.out_dir / "frames" / f"{self.header.item.replace('/', '_')}.png"
            data = cv2.imencode(".png", picture[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
            try:
                replace(path, data)
            except OSError as error:
                raise failed(self.name, path, error, f"frame {self.header}") from error
        if self.config.video:
            self._film(picture)

    def _film(self, picture: np.ndarray) -> None:
        if self.video is not None and self.video.size != picture.shape[:2]:
            self.video.close()
            self.video = None
        if self.video is None:
            self.num_videos += 1
            restart = f"-r{self.resume.restarts}" if self.resume else ""
            part = f"-{self.num_videos}" if self.num_videos > 1 else ""
            path = self.out_dir / f"video{restart}{part}.mp4"
            self.video = Video(path, picture.shape[0], picture.shape[1], self.config.video_rate_hz, self.name)
        self.video.write(picture)


def _names(tracks: Tracks) -> list[str]:
    return [str(track_id) for track_id in tracks.track_ids.tolist()]
