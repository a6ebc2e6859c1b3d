"""One run: starts, feeds, watches and settles the processes."""
