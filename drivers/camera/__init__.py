"""Colour cameras: V4L2, CSI on Jetson, RTSP, HTTP, video files, folders of pictures, GStreamer text."""
