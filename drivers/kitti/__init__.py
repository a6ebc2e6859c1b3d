"""KITTI as recorded: tracking, object and raw layouts. What the files say they are: README.md."""
