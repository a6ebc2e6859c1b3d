"""Velodyne sensors: their packets, live and recorded."""
