"""Outputs of a net for pictures -> boxes, a file per family of nets: pure functions on arrays, which know no runtime.

Each file has a config, `fit` (shapes of the outputs -> `Decoder`, or ValueError: needed, got) and `decode`, which does the work.
"""
