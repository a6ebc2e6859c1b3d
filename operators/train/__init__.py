"""Training: one loop for all nets, and a folder per net with what is its own."""
