"""Everything that scores labels for a text, behind one contract, and the ranking that joins them."""
