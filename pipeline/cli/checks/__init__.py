"""What `pipe doctor` looks at: a file per kind of thing."""
