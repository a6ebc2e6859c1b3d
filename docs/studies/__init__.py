"""Questions asked once and worth asking again; README.md has the list."""
