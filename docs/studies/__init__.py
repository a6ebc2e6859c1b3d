"""Programs that answer one question each; README.md has the list."""
