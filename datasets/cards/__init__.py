"""The shipped data set cards, one yaml file each; installed as ``ramen.data.card_files``."""
