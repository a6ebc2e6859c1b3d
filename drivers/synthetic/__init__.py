"""Worlds that need no data."""
