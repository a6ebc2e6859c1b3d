"""Constant-velocity Kalman filter of upright 3D boxes, all tracks at once.      Source: Weng et al. 2020 (AB3DMOT)

State x (T, 10) = [x, y, z, yaw, l, w, h, vx, vy, vz], measurement z (D, 7) = its first seven; velodyne frame, metres and
radians, velocity in metres per step (one frame period). P (T, 10, 10). T = 0 is fine everywhere.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from operators.geometry.boxes3d import wrap_angle

YAW = 3
POSITION, VELOCITY = slice(0, 3), slice(7, 10)
MEASURED = slice(0, 7)

_STATE_OF_BOX = np.array([0, 1, 2, 6, 3, 4, 5])
_BOX_OF_STATE = np.argsort(_STATE_OF_BOX)


class Model(NamedTuple):
    F: np.ndarray
    H: np.ndarray
    Q: np.ndarray
    R: np.ndarray
    P0: np.ndarray


def constant_velocity() -> Model:
    """AB3DMOT's matrices. Imports filterpy, which takes over a second: call it before frames flow."""
    from filterpy.common import kinematic_kf
    from filterpy.kalman import KalmanFilter

    moving = kinematic_kf(dim=3, order=1, dt=1.0, order_by_dim=False)  # x y z vx vy vz, dt = one step
    box = KalmanFilter(dim_x=10, dim_z=7)  # P, Q, R start as identities
    at = np.r_[POSITION, VELOCITY]
    box.F[np.ix_(at, at)] = moving.F
    box.H[:] = np.eye(7, 10)
    box.Q[VELOCITY, VELOCITY] *= 0.01  # objects change speed slowly
    box.P *= 10.0
    box.P[VELOCITY, VELOCITY] *= 1000.0  # nothing is known of a newborn's velocity
    return Model(box.F, box.H, box.Q, box.R, box.P)


def measurements(boxes3d: np.ndarray) -> np.ndarray:
    """boxes3d (M, 7) -> z (M, 7) float64."""
    return boxes3d[:, _STATE_OF_BOX].astype(np.float64)


def boxes(x: np.ndarray) -> np.ndarray:
    """x (T, 10) -> boxes3d (T, 7) float64."""
    return x[:, _BOX_OF_STATE]


def newborn(z: np.ndarray, model: Model) -> tuple[np.ndarray, np.ndarray]:
    """x, P of tracks born from the measurements z: standing still."""
    x = np.zeros((len(z), 10))
    x[:, MEASURED] = z
    return x, np.repeat(model.P0[None], len(z), 0)


def predict(x: np.ndarray, P: np.ndarray, model: Model) -> tuple[np.ndarray, np.ndarray]:
    """One step ahead."""
    return x @ model.F.T, model.F @ P @ model.F.T + model.Q


def update(x: np.ndarray, P: np.ndarray, z: np.ndarray, model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Row k of z is the measurement of track k."""
    x = face(x, z)
    PHt = P @ model.H.T
    K = PHt @ np.linalg.inv(model.H @ PHt + model.R)
    x = x + (K @ (z - x @ model.H.T)[:, :, None])[:, :, 0]
    x[:, YAW] = wrap_angle(x[:, YAW])
    # Joseph's form, as filterpy: stays symmetric and positive whatever is rounded
    I_KH = np.eye(10) - K @ model.H
    return x, I_KH @ P @ I_KH.transpose(0, 2, 1) + K @ model.R @ K.transpose(0, 2, 1)


def face(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """x with its yaw turned by half turns until within 90 deg of the measured one, and by whole turns until it is also
    near as a number. Detectors confuse front and back; AB3DMOT believes the newest detection."""
    x = x.copy()
    ahead = wrap_angle(z[:, YAW] - x[:, YAW])
    ahead = np.where(np.abs(ahead) > np.pi / 2, wrap_angle(ahead + np.pi), ahead)
    x[:, YAW] = z[:, YAW] - ahead
    return x


def carry(x: np.ndarray, T_now_prev: np.ndarray) -> np.ndarray:
    """Ego-motion: states from the velodyne frame of the previous sweep into the present one.

    AB3DMOT moves x, y, z and leaves yaw and velocity; so do we (a turn per frame is small, and the filter follows).
    """
    x = x.copy()
    x[:, POSITION] = x[:, POSITION] @ T_now_prev[:3, :3].T + T_now_prev[:3, 3]
    return x
