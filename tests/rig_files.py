"""A rig of two cameras, a LiDAR and an IMU as a rig file; calibrations of other tools by their documentation. Own numbers."""

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
KITTI = """\
P0: 700 0 600 0 0 700 180 0 0 0 1 0
P2: 700 0 600 45 0 700 180 0.2 0 0 1 0.003
R0_rect: 1 0 0 0 1 0 0 0 1
Tr_velo_to_cam: 0 -1 0 0.02 0 0 -1 -0.07 1 0 0 -0.3
Tr_imu_to_velo: 1 0 0 -0.8 0 1 0 0.3 0 0 1 -0.8
"""
ROS = """\
image_width: 640
image_height: 480
camera_name: narrow_stereo/left
camera_matrix:
  rows: 3
  cols: 3
  data: [500.1, 0., 320.2, 0., 501.3, 240.4, 0., 0., 1.]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.3, 0.1, 0.001, -0.002, 0.]
rectification_matrix:
  rows: 3
  cols: 3
  data: [0.9998000066665778, -0.01999866669333308, 0., 0.01999866669333308, 0.9998000066665778, 0., 0., 0., 1.]
projection_matrix:
  rows: 3
  cols: 4
  data: [480., 0., 310., -57.6, 0., 480., 230., 0., 0., 0., 1., 0.]
"""
MESSAGE = """\
header:
  stamp: {sec: 1, nanosec: 2}
  frame_id: cam
height: 480
width: 640
distortion_model: equidistant
d: [0.01, 0.02, 0.03, 0.04]
k: [500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0]
r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
p: [500.0, 0.0, 320.0, 0.0, 0.0, 500.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0]
binning_x: 0
roi: {x_offset: 0, y_offset: 0, height: 0, width: 0, do_rectify: false}
---
"""
KALIBR = """\
cam0:
  T_cam_imu:
  - [0.0, -1.0, 0.0, 0.1]
  - [0.0, 0.0, -1.0, 0.2]
  - [1.0, 0.0, 0.0, 0.3]
  - [0.0, 0.0, 0.0, 1.0]
  cam_overlaps: [1]
  camera_model: pinhole
  distortion_coeffs: [-0.3, 0.1, 0.001, -0.002]
  distortion_model: radtan
  intrinsics: [458.6, 457.2, 367.2, 248.3]
  resolution: [752, 480]
  rostopic: /cam0/image_raw
  timeshift_cam_imu: 0.001
cam1:
  T_cn_cnm1:
  - [1.0, 0.0, 0.0, -0.11]
  - [0.0, 1.0, 0.0, 0.0]
  - [0.0, 0.0, 1.0, 0.0]
  - [0.0, 0.0, 0.0, 1.0]
  camera_model: pinhole
  distortion_coeffs: [0.01, 0.02, 0.03, 0.04]
  distortion_model: equidistant
  intrinsics: [457.5, 456.1, 379.9, 255.2]
  resolution: [752, 480]
"""
