"""A small network over words, trained on all labels at once: for sets of some thousand labels with many texts each."""
