"""Classes of the panoptic task in the generated world, for camera and LiDAR: stuff, then things, as Cityscapes orders them.

Car includes vans. `object` is what stands around without being any of the others: bins, cabinets, bicycles without a rider,
trailers, trams. Class tables of data sets stand beside their drivers.
"""

from __future__ import annotations

WORLD_STUFF = ("road", "sidewalk", "terrain", "building", "fence", "vegetation", "pole", "object", "sky")
WORLD_THINGS = ("Car", "Truck", "Pedestrian", "Cyclist")
WORLD_CLASSES = (*WORLD_STUFF, *WORLD_THINGS)
"""Fact class_names of `synthetic.world`'s panoptic truth; WORLD_THINGS is its fact things."""
