"""Distils a large teacher retriever into the small backbone that RAMEN trains on."""
