"""The verbs of `pipe`, one small file each."""
