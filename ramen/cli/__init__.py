"""The command line ``ramen``: one file per verb."""
