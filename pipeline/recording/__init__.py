"""MCAP recordings: written while a graph runs, read in the place of its sources."""
