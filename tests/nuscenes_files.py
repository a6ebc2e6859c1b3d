"""A generated nuScenes key frame, in the layout of MMDetection3D's info file."""

import pickle

import cv2
import numpy as np

CAMERAS = ("CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_FRONT_LEFT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_BACK_RIGHT")
TURNS_DEG = dict(zip(CAMERAS, (0, -55, 55, 180, 110, -110), strict=True))
SIZE = (160, 90)
K = [[126.0, 0, 80.0], [0, 126.0, 45.0], [0, 0, 1]]
STAMP_S = 1532402927.647951


def lidar2cam(camera):
    """x right, y forward, z up -> x right, y down, z forward, turned to the left by the camera's angle."""
    a = np.radians(TURNS_DEG[camera])
    T = np.eye(4)
    T[:3, :3] = [[np.cos(a), np.sin(a), 0], [0, 0, -1], [-np.sin(a), np.cos(a), 0]]
    T[:3, 3] = [0, -0.3, -0.4]
    return T


def sweep():
    """x right, y forward, z up, intensity 0..255, ring."""
    rng = np.random.default_rng(4)
    points = rng.uniform([-20, -20, -2, 0, 0], [20, 20, 3, 255, 0], (300, 5)).astype(np.float32)
    points[:, 4] = np.arange(300) % 32
    points[0] = [0, 10, 0, 255, 31]  # straight ahead
    return points


def info(frames=1):
    def frame(number):
        images = {
            camera: {
                "img_path": f"n0__{camera}__{number}.jpg",
                "cam2img": K,
                "timestamp": STAMP_S + number / 2 - 0.02,
                "lidar2cam": lidar2cam(camera).tolist(),
            }
            for camera in CAMERAS
        }
        box = {
            "bbox_3d": [0.0, 10.0, 0.5, 4.0, 2.0, 1.5, np.pi / 2],  # ahead, heading forward
            "bbox_label_3d": 0,
            "bbox_3d_isvalid": np.bool_(True),
            "num_lidar_pts": np.int64(7),
            "velocity": [0.0, 1.0],
        }
        return {
            "sample_idx": number,
            "timestamp": STAMP_S + number / 2,
            "images": images,
            "lidar_points": {"num_pts_feats": 5, "lidar_path": f"n0__LIDAR_TOP__{number}.pcd.bin"},
            "instances": [box, box | {"bbox_3d": [-5.0, -8.0, 0.5, 0.6, 0.7, 1.7, 0.0], "bbox_label_3d": -1}],
        }

    return {"metainfo": {"categories": {"pedestrian": 1, "car": 0}}, "data_list": [frame(i) for i in range(frames)]}


def write(folder, data=None, frames=1, protocol=2, nested=False):
    data = info(frames) if data is None else data
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "info.pkl").write_bytes(pickle.dumps(data, protocol))
    for number in range(frames):
        for camera in (*CAMERAS, "LIDAR_TOP"):
            place = folder / "samples" / camera if nested else folder
            place.mkdir(parents=True, exist_ok=True)
            if camera == "LIDAR_TOP":
                sweep().tofile(place / f"n0__LIDAR_TOP__{number}.pcd.bin")
            else:
                picture = np.full((SIZE[1], SIZE[0], 3), 40 * CAMERAS.index(camera), np.uint8)
                cv2.imwrite(str(place / f"n0__{camera}__{number}.jpg"), picture)
    return folder
