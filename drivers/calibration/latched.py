"""How a driver gives the calibration of a rig file as static ports, live or from files:

    @dataclass(frozen=True, slots=True)
    class CameraConfig(LiveConfig):
        calibration: str = ""  # rig file, see docs/calibration.md
        calibration_camera: str = ""  # which camera of it; "" = the only one
        calibration_lidar: str = "velodyne"  # frame of the points there

        def __post_init__(self) -> None:
            latched.check_config(self)

    class Camera(Live, Source):
        outputs = {"image": IMAGE, **latched.PORTS}

        @classmethod
        def check_ports(cls, name, config, wanted, needed) -> None:
            latched.check_ports(name, config, needed)

        def statics(self) -> Iterable[Static]:
            return latched.statics(self)

A LiDAR driver has the same keys: its ports are those of the camera that `calibration_camera` names.
`calibration` is of the rectified picture; `lens` is what `camera.rectify` needs to make that picture.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Protocol

from drivers.calibration import rig_file
from operators.streams import CALIBRATION, LENS
from pipeline.errors import InputError
from pipeline.frame import Static
from pipeline.operator import Source
from pipeline.schema import Port, static

PORTS: dict[str, Port] = {"calibration": static(CALIBRATION), "lens": static(LENS)}


class CalibratedConfig(Protocol):
    """The keys that the config of such a driver has."""

    @property
    def calibration(self) -> str: ...

    @property
    def calibration_camera(self) -> str: ...

    @property
    def calibration_lidar(self) -> str: ...


def check_config(config: CalibratedConfig) -> None:
    """Is the rig file right, and is the camera in it? Raises InputError, a line for each thing that is wrong."""
    if not config.calibration:
        return
    try:
        rig_file.read(config.calibration).camera(config.calibration_camera)
    except InputError as error:
        raise InputError("\n".join(f"calibration: {line}" for line in str(error).splitlines())) from None


def check_ports(name: str, config: CalibratedConfig, needed: Collection[str]) -> None:
    """Has the rig file what the connected ports need: for `calibration`, a path between the camera and the LiDAR? Raises
    InputError."""
    asked = sorted(PORTS.keys() & needed)
    if asked and not config.calibration:
        raise InputError(
            f"{name}: {asked[0]} is connected, but config.calibration names no rig file; "
            f"set --set {name}.config.calibration=RIG.yaml, or disconnect {name}.{asked[0]}"
        )
    if "calibration" in asked:
        rig_file.read(config.calibration).calibration(config.calibration_camera, config.calibration_lidar)


def statics(node: Source) -> Iterator[Static]:
    """The values of those of PORTS that are connected; none without a rig file. A port that no operator requires stays silent
    where the rig file lacks its path."""
    config: CalibratedConfig = node.config
    asked = PORTS.keys() & node.wanted
    if not (config.calibration and asked):
        return
    rig = rig_file.read(config.calibration)
    lens = rig.cameras[rig.camera(config.calibration_camera)]
    if "lens" in asked:
        yield Static("lens", lens)
    if "calibration" not in asked:
        return
    if lens.distortion.any() and "lens" not in asked:
        node.log.warning("calibration is of the rectified picture, and this lens distorts: put camera.rectify behind the image")
    try:
        yield Static("calibration", rig.calibration(config.calibration_camera, config.calibration_lidar))
    except InputError as error:
        if "calibration" in node.needed:
            raise
        node.log.warning("no calibration: %s", error)
