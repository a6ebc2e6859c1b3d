"""One run: who starts, feeds, watches and settles the processes."""
