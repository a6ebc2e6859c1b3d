"""Point clouds in single files: PLY, PCD, NumPy, KITTI's bin."""
