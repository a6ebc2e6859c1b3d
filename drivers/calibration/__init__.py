"""The rig file: lenses of cameras and mounting of sensors in one YAML; imports of other formats. docs/calibration.md"""
