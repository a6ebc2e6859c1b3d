"""Measurements: `pipe bench NAME`. Each prints its command, machine, commit and data, and the rival beside it in one run."""
