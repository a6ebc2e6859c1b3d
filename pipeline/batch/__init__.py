"""`pipe batch`: one graph, many items (sequences, recordings, folders), each a run of its own in a process of its own."""
