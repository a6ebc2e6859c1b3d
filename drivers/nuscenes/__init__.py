"""nuScenes key frames by the info file of MMDetection3D. README.md describes the files."""
