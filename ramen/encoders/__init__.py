"""Text to unit vector."""
