"""The joint ranking: candidates of all scorers, ranked by a weighted sum of scores or by learned trees."""
