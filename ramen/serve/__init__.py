"""A run as an HTTP service: ``ramen serve``."""
