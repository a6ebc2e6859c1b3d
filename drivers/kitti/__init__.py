"""KITTI's tracking, object and raw layouts. README.md describes the files."""
