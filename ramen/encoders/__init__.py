"""Encoders: text to unit vector."""
