"""Pictures of one camera."""
