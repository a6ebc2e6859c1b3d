"""Generated worlds: drivers that need no data."""
