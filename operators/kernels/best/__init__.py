"""Preset `best`, one frame at a time: `state.py` has the arrays, `step.py` the order of the steps, the others one step each."""
