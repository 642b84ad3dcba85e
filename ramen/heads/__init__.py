"""One-vs-all heads over the labels."""
