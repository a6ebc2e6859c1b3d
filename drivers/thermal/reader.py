"""A thermal camera with 16-bit counts, live: V4L2 (Boson, Lepton, Tau), or a recording played like one.

out  thermal_raw  (H, W) uint16   counts as the camera sends them; warmer is larger. thermal.agc makes 8-bit pictures of them
     thermal_k    (H, W) float32  kelvin, by `config.kelvin`; NaN where a count has no temperature
     facts        clock: "sensor" (the driver's stamp of the buffer) or "arrival"; frozen: equal pictures in a row, 0: none

The newest picture wins, as in driver camera; one copy (thermal_raw) and one look-up (thermal_k) write the loaned slots.
Statics calibration, lens: from the rig file that `calibration` names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from drivers.calibration import latched
from drivers.camera import device, opencv, playback
from drivers.camera.newest import Capture, NewestPicture, Picture
from drivers.camera.reader import check_size
from drivers.flir.forms import RAW_SUFFIXES, check_raw, read_raw
from drivers.listing import listed
from drivers.live import LiveConfig
from drivers.thermal import kelvin, seq
from drivers.thermal.freeze import Freeze
from drivers.thermal.kelvin import Planck
from operators.streams import THERMAL_K, THERMAL_RAW
from pipeline.errors import InputError, RunError
from pipeline.frame import Reading, Static
from pipeline.operator import Found, Source

_WHO, _Y16, _UNKNOWN = "thermal", "Y16", Planck()
_NEEDS = "needs 0, /dev/video0, a folder of 16-bit TIFF or PNG, or a FLIR SEQ file"


@dataclass(frozen=True, slots=True)
class ThermalConfig(LiveConfig):
    device: str = "0"  # 0 or /dev/video0 (Y16), a folder of 16-bit TIFF or PNG, a FLIR SEQ or FFF file
    width: int = 0  # px of the stream, with height; V4L2; 0: as the device has it
    height: int = 0
    fps: float = 0.0  # V4L2: asked for; a recording: rate of play; 0: as the device has it, a recording 10
    telemetry_rows: int = 0  # last rows of the stream that are no pixels, cut off; Lepton on PureThermal with telemetry: 2
    kelvin: Literal["none", "linear", "planck", "file"] = "none"  # scale of thermal_k; file: constants in the SEQ file
    scale_k: float = 0.01  # per count; linear
    offset_k: float = 0.0  # linear
    planck: Planck = _UNKNOWN  # the camera's constants r1, b, f, o, r2; planck
    emissivity: float = 1.0  # planck; file: as in the file, if 1
    reflected_k: float = 293.15  # temperature that the scene reflects; planck
    frozen_after: int = 3  # equal pictures in a row that are a freeze, as while the shutter is closed
    drop_frozen: bool = False  # leave out pictures of a freeze, but for its first ones
    max_hz: float = 0.0  # pictures beyond this rate are dropped at the source, counted; 0: all are sent
    repeat: bool = False  # a recording begins again at its end
    calibration: str = ""  # rig file, see docs/calibration.md
    calibration_camera: str = ""  # which camera of it; "" = the only one
    calibration_lidar: str = "velodyne"  # frame of the points there

    def __post_init__(self) -> None:
        LiveConfig.__post_init__(self)
        latched.check_config(self)
        check_size(self.width, self.height, self.fps, self.max_hz)
        if self.telemetry_rows < 0:
            raise ValueError(f"telemetry_rows: needs 0 or more, got {self.telemetry_rows}")
        if not self.scale_k > 0:
            raise ValueError(f"scale_k: needs more than 0, got {self.scale_k:g}")
        if self.kelvin == "planck" and not self.planck.known:
            raise ValueError(
                "planck: needs r1, b and r2 of this camera, got 0; `exiftool -Planck*` of one of its pictures prints them"
            )
        if not 0 < self.emissivity <= 1:
            raise ValueError(f"emissivity: needs above 0 and at most 1, got {self.emissivity:g}")
        if not self.reflected_k > 0:
            raise ValueError(f"reflected_k: needs kelvin above 0, got {self.reflected_k:g}")
        if self.frozen_after < 2:
            raise ValueError(f"frozen_after: needs 2 or more, got {self.frozen_after}")


class Thermal(NewestPicture, Source):
    Config, outputs = ThermalConfig, {"thermal_raw": THERMAL_RAW, "thermal_k": THERMAL_K, **latched.PORTS}

    @classmethod
    def find(cls, config: ThermalConfig) -> Found:
        kind, text = where = _where(config)
        if kind == "v4l2":
            device.check_v4l2(_WHO, Path(text), _Y16, config.width, config.height)
            return Found(None, config.fps or None)
        if kind == "folder":
            for path in listed(_WHO, text, RAW_SUFFIXES):
                check_raw(path)
        elif config.kelvin == "file" and seq.read(seq.blocks(where.path)[0]).planck is None:
            raise InputError(f"{_WHO}: config.kelvin: file needs Planck constants, got {text} without any")
        return Found(None, config.fps or playback.DEFAULT_HZ)

    @classmethod
    def check_ports(cls, name: str, config: ThermalConfig, wanted: frozenset[str], needed: frozenset[str]) -> None:
        latched.check_ports(name, config, needed)
        if "thermal_k" in wanted and config.kelvin == "none":
            raise InputError(
                f"{name}: thermal_k is connected, but config.kelvin is none: the counts have no known scale; "
                "set kelvin: linear (Lepton TLinear), planck or file (SEQ)"
            )
        if config.kelvin == "file" and _where(config).kind != "file":
            raise InputError(f"{name}: config.kelvin: file needs a SEQ file, got {config.device}")

    @classmethod
    def slot_bytes(cls, config: ThermalConfig) -> dict[str, int]:
        pixels = config.width * config.height
        return {"thermal_raw": 2 * pixels, "thermal_k": 4 * pixels} if pixels else {}

    def statics(self) -> Iterable[Static]:
        return latched.statics(self)

    def open(self, start: int = 0) -> None:
        self._freeze = Freeze(self.config.frozen_after)
        self._constants: tuple[Planck, float, float] | None = None
        self._table = kelvin.linear(self.config.scale_k, self.config.offset_k)
        super().open(start)

    def capture(self) -> Capture:
        config: ThermalConfig = self.config
        kind, text = where = _where(config)
        if kind == "v4l2":
            size = config.width, config.height
            return opencv.open_v4l2(self.name, Path(text), _Y16, size, config.fps, {}, raw=True)
        rate_hz = config.fps or playback.DEFAULT_HZ
        if kind == "folder":
            return playback.Files(listed(_WHO, text, RAW_SUFFIXES), _picture, rate_hz, config.repeat, self.number)
        return playback.Files(seq.blocks(where.path), _shot, rate_hz, config.repeat, self.number)

    def reading(self, picture: Picture, item: str) -> Reading | None:
        counts = picture.pixels
        rows = counts.shape[0] - self.config.telemetry_rows
        if rows <= 0:
            raise RunError(f"{self.name}: config.telemetry_rows: needs less than the {counts.shape[0]} rows of the stream")
        counts = counts[:rows]
        frozen = self._freeze.seen(counts, picture.stamp_ns)
        self._tell_freezes(frozen)
        if frozen and self.config.drop_frozen:
            self.skipped()
            return None
        reading = Reading({}, item, picture.stamp_ns, picture.arrival_ns)
        if "thermal_raw" in self.wanted:
            raw = self.alloc("thermal_raw", "thermal_raw", counts.shape, np.uint16)
            np.copyto(raw, counts)
            reading.values["thermal_raw"] = raw
        if "thermal_k" in self.wanted:
            scaled = self.alloc("thermal_k", "thermal_k", counts.shape, np.float32)
            kelvin.convert(counts, self._scale(picture.extra), scaled)
            reading.values["thermal_k"] = scaled
        reading.meta = {port: {"clock": picture.clock, "frozen": frozen} for port in reading.values}
        return reading

    def _scale(self, shot: seq.Shot | None) -> np.ndarray:
        config: ThermalConfig = self.config
        if config.kelvin == "linear":
            return self._table
        constants, emissivity, reflected_k = config.planck, config.emissivity, config.reflected_k
        if config.kelvin == "file":
            if shot is None or shot.planck is None:
                raise RunError(f"{self.name}: config.kelvin: file needs Planck constants in every picture, got one without")
            constants = shot.planck
            if emissivity == 1.0:
                emissivity, reflected_k = shot.emissivity, shot.reflected_k
        asked = constants, emissivity, reflected_k
        if asked != self._constants:
            self._constants, self._table = asked, kelvin.planck(*asked)
        return self._table

    def _tell_freezes(self, frozen: int) -> None:
        freezes = self._freeze.freezes
        if frozen:
            self.note("freeze", "picture frozen (flat-field correction?)")
        elif freezes:
            self.note("freeze", f"frozen {freezes} {'time' if freezes == 1 else 'times'}, at most {self._freeze.longest_s:.1f} s")


def _where(config: ThermalConfig) -> device.Where:
    where = device.where(_WHO, config.device, _NEEDS)
    if where.kind not in ("v4l2", "folder") and not (where.kind == "file" and seq.is_seq(where.path)):
        raise InputError(f"{_WHO}: config.device: {_NEEDS}, got {config.device}")
    return where


def _picture(path: Path) -> Picture:
    return Picture(read_raw(path, lambda shape: np.empty(shape, np.uint16)), 0, 0, item=path.stem)


def _shot(block: seq.Block) -> Picture:
    shot = seq.read(block)
    return Picture(shot.counts, 0, 0, extra=shot)
