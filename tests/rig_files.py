"""A rig of two cameras, a LiDAR and an IMU, as the text of a rig file."""

RIG = """\
frames: [velodyne, imu]
cameras:
  front:
    size: [160, 90]
    K: [[126.6, 0, 81.6], [0, 126.4, 44.2], [0, 0, 1]]
    distortion: {model: plumb_bob, coefficients: [-0.31, 0.11, 0.0004, -0.0002, 0.0]}
  rear_left:
    size: [80, 60]
    K: [[40, 0, 39.5], [0, 40, 29.5], [0, 0, 1]]
    distortion: {model: equidistant, coefficients: [0.01, -0.002, 0, 0]}
    rectified: {fit: inside}
transforms:
  T_front_imu: [[0, -1, 0, 0.25], [0, 0, -1, -0.5], [1, 0, 0, -1], [0, 0, 0, 1]]
  T_velodyne_imu: [[1, 0, 0, -0.75], [0, 1, 0, 0.25], [0, 0, 1, 1], [0, 0, 0, 1]]
"""
