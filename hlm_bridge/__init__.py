"""A large teacher retriever, distilled into the small backbone that RAMEN trains on."""
