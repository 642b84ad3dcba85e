"""Graph metadata as a regulariser of the encoder."""
