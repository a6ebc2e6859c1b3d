"""Measurements: `pipe bench NAME`. Each prints its command, machine, commit and data, and measures its rival in the same run."""
