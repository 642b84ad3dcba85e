"""The HTTP service of ``ramen serve``."""
