"""Models of preset `best`: each class, and the evidence of a score. Metres, radians, steps of one frame period (0.1 s)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal, NamedTuple

import numpy as np

from operators.kernels.best import state as kernel
from operators.streams import CLASSES


@dataclass(frozen=True, slots=True)
class Model:
    """Defaults: a car, measured on nine KITTI sequences; one digit instead of two costs 0.1 HOTA there (docs/tracking.md).

    Evidence is the log-odds that a detection, or a track, is true.
    """

    # noise of a detection: standard deviations at evidence 2; they fall with evidence and grow with range
    sigma_xy: float = 0.13
    sigma_growth: float = 0.0092  # of x, y per metre of range, relative
    sigma_slope: float = 0.18  # of all, relative, per unit of evidence
    sigma_floor: float = 0.11  # added when distances are weighed
    sigma_z: float = 0.052
    sigma_yaw: float = 0.027
    sigma_l: float = 0.047
    sigma_w: float = 0.015
    sigma_h: float = 0.07
    # motion, per step
    acceleration: float = 0.089
    across: float = 0.58  # share of acceleration across the heading
    speed_0: float = 0.47  # of a new track
    drift_z: float = 0.029
    drift_z_moving: float = 0.015  # per metre moved
    drift_yaw: float = 0.015
    drift_yaw_moving: float = 0.025  # per metre moved
    drift_size: float = 0.0083
    # size
    mean_l: float = 3.9
    mean_w: float = 1.62
    mean_h: float = 1.53
    spread_l: float = 0.28
    spread_w: float = 0.1
    spread_h: float = 0.17
    # association
    metric: Literal["distance", "mahalanobis"] = "distance"
    gate: float = 2.9  # metres, or standard deviations
    gate_low: float = 2.3  # of the second stage
    high: float = -1.7  # evidence of a detection of the first stage
    low: float = -2.6  # of the second stage
    tentative: float = -1.5  # evidence of a track that the second stage may continue
    # life
    birth: float = -1.2  # evidence of a detection that begins a track
    crowded: float = 2.3  # no birth within this distance of a track just seen
    memory: float = 0.19  # share of the newest detection in a track's evidence, in the long run
    miss: float = 0.061  # evidence lost in a step without detection
    max_age: int = 25  # steps without a detection until it dies
    max_age_young: int = 4  # with less than 3 detections
    # output
    show: float = 0.08  # least evidence of a shown track
    odd_size: float = 0.3  # added to `show` per squared spread of each size beyond 1.5 spreads
    far: float = 1.0  # subtracted from `show` per 10 m beyond 40 m, up to 20 m
    min_hits: int = 2  # least detections of a shown track
    at_once: float = 2.4  # evidence that shows a track before min_hits
    max_coast: int = 8  # steps that a track is shown without a detection
    coast: float = 0.27  # least evidence then


CAR = Model()
PEDESTRIAN = Model(  # round numbers: most available pedestrians are in one sequence, too few to measure more
    sigma_xy=0.1,  # arms and legs; independent of range and evidence
    sigma_growth=0.0,
    sigma_slope=0.0,
    sigma_floor=0.1,
    sigma_z=0.1,
    sigma_yaw=0.1,
    sigma_l=0.1,
    sigma_w=0.1,
    sigma_h=0.05,
    acceleration=0.03,  # 3 m/s2: starts or stops within half a second, in any direction
    across=1.0,
    speed_0=0.15,  # 1.5 m/s
    drift_z=0.03,
    drift_z_moving=0.0,
    drift_yaw=0.1,
    drift_yaw_moving=0.0,
    drift_size=0.002,
    mean_l=0.8,
    mean_w=0.65,
    mean_h=1.75,
    spread_l=0.2,
    spread_w=0.2,
    spread_h=0.2,
    metric="mahalanobis",  # a distance in metres cannot separate people who walk side by side
    gate=5.0,
    gate_low=4.0,
    high=-2.0,
    low=-6.0,  # any score: a person who walks on is still there
    tentative=0.0,
    birth=-2.0,
    crowded=0.4,
    memory=0.1,
    miss=0.1,
    show=-0.5,
    odd_size=0.0,  # children are people
    far=0.0,
    min_hits=3,  # poles look like people for a frame or two
    at_once=3.0,
    max_coast=5,
    coast=-0.5,
    max_age=12,
    max_age_young=2,
)
CYCLIST = replace(
    PEDESTRIAN,
    acceleration=0.06,
    across=0.5,
    speed_0=0.5,
    drift_yaw=0.03,
    mean_l=1.76,
    mean_w=0.6,
    mean_h=1.74,
    metric="distance",
    gate=2.5,
    gate_low=1.5,
    crowded=1.0,
)
OTHER = replace(CAR, mean_l=5.0, mean_w=1.9, mean_h=2.0, spread_l=4.0, spread_w=0.6, spread_h=1.0)


class Worth(NamedTuple):
    """evidence = slope * (score - middle), score as a logit."""

    slope: float
    middle: float


LOGIT = {"Car": Worth(0.72, 2.3), "Pedestrian": Worth(1.9, 2.7), "Cyclist": Worth(1.2, 2.5)}
PROBABILITY = Worth(1.0, 0.0)


def worth(label: int, kind: str) -> Worth:
    """kind: probability or logit"""
    return LOGIT.get(CLASSES[label], LOGIT["Car"]) if kind == "logit" else PROBABILITY


def of_label(label: int) -> Model:
    return {"Car": CAR, "Pedestrian": PEDESTRIAN, "Person_sitting": PEDESTRIAN, "Cyclist": CYCLIST}.get(CLASSES[label], OTHER)


def row(model: Model) -> np.ndarray:
    """The model as a row of the kernel's parameters."""
    out = np.empty(kernel.NUM_PARAMETERS)
    for field in fields(model):
        value = getattr(model, field.name)
        if field.name == "metric":
            value = kernel.MAHALANOBIS if value == "mahalanobis" else kernel.DISTANCE
        out[getattr(kernel, field.name.upper())] = value
    return out
