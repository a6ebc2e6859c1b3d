"""The machine that a run runs on: what it is, how warm it is, what it draws. It imports nothing of the engine."""
