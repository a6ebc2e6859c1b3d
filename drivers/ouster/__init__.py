"""Ouster sensors: their packets, live and recorded."""
