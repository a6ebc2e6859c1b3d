"""Drivers convert foreign data to our conventions: units, axes, column order, clock."""
