"""Thermal cameras with 16-bit counts: V4L2 (Y16), folders of TIFF or PNG, FLIR's SEQ."""
