"""A linear classifier per label over exact words."""
