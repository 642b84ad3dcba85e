"""Train an encoder and the scorers: :mod:`ramen.training.train` reads as one page."""
