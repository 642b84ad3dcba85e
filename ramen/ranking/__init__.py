"""The joint ranking: candidates of every scorer, what is known of each, and a weighted sum or learned trees over it."""
