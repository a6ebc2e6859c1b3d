"""Weights of other programs: their files -> weight files of this one (operators/nets/weights.py), conventions converted.

    import_file(path, model, out, sets)      convert.py; `pipe weights import`

What differs, and who converts it (layouts.py says who has which):
names of tensors, padding layers among them      layouts.py, tanet_layout.py
overwritten coordinates of a point               conventions.py: weights of the first layer
boxes w l h with the camera's angle              conventions.py: rows of the box heads
order of the two directions                      conventions.py: rows of the direction heads
ten features, rows of zeros in the maximum, pillar centres of another grid, yaws and places of anchors, offset of the directions
                                                 options of PointPillarsConfig
classes and their order                          `anchors` of the config
Equal in all of them: eps of batch norm (1e-3), rows = y and columns = x, class then rotation at a location, heights against
centres.
"""
